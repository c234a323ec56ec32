"""Backups: what a set is, which of its backups is used, which may go, and what the monitor knows of them all."""

from failover.backups.backup import Backup
from failover.backups.catalogue import Catalogue
from failover.backups.choose import Choice, PassedOver, Target, choose
from failover.backups.retention import Retention, retention
from failover.backups.settings import AnyBackupSet, BackupSet, DatabaseSet, FilesSet, FoundSet, Keep, MadeSet

__all__ = [
    "AnyBackupSet",
    "Backup",
    "BackupSet",
    "Catalogue",
    "Choice",
    "DatabaseSet",
    "FilesSet",
    "FoundSet",
    "Keep",
    "MadeSet",
    "PassedOver",
    "Retention",
    "Target",
    "choose",
    "retention",
]
