"""Which backup is used: the newest good one from before the incident, and why each newer one was passed over."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from failover.backups.backup import Backup
from failover.backups.band import outside
from failover.backups.settings import BackupSet

AHEAD = timedelta(minutes=5)
"""Clocks of two servers may differ by so much."""
PHYSICAL = frozenset({"base", "mariadb-backup"})
"""Formats that only the same major version of a server can use."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a backup is wanted for."""

    engine: str | None = None
    version: str | None = None
    """Of the database server that is to take it, as ``15.20`` or ``10.11.6-MariaDB``."""
    formats: Collection[str] | None = None
    """What it can take; None: anything."""
    server: str | None = None
    """Where the backup has to lie; None: anywhere."""
    before: datetime | None = None
    """When the incident began, where what came after it can't be trusted."""


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A backup that isn't used, and the reason."""

    id: str
    server: str
    taken_at: datetime
    reason: str

    def __str__(self) -> str:
        return f"{self.id} on {self.server}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Choice:
    """The best backup, if there is one, and every newer one that isn't it, newest first."""

    best: Backup | None
    passed_over: tuple[PassedOver, ...]


def choose(backups: Iterable[Backup], sets: Mapping[str, BackupSet], target: Target, now: datetime) -> Choice:
    """The newest backup of these sets that can be used. Without one, all are passed over, each with its reason.

    Args:
        backups: as the catalogue has them, in any order, of several sets and servers.
        sets: their settings, by name.
        target: what it is for.
        now: aware UTC.
    """
    there = sorted((one for one in backups if one.set in sets), key=lambda one: (one.taken_at, one.id), reverse=True)
    passed: list[PassedOver] = []
    for backup in there:
        reason = against(backup, there, sets[backup.set], target, now)
        if reason is None:
            return Choice(backup, tuple(passed))
        passed.append(PassedOver(backup.id, backup.server, backup.taken_at, reason))
    return Choice(None, tuple(passed))


def against(backup: Backup, others: Iterable[Backup], settings: BackupSet, target: Target, now: datetime) -> str | None:
    """Why this backup isn't to be used; None when nothing speaks against it."""
    if backup.bytes == 0:
        return "it is empty"
    if backup.problem is not None:
        return backup.problem
    if backup.taken_at > now + AHEAD:
        return f"its time, {backup.taken_at:%Y-%m-%d %H:%M:%S} UTC, is still to come"
    if target.before is not None and backup.taken_at >= target.before:
        return f"it was taken after the incident began, {target.before:%Y-%m-%d %H:%M:%S} UTC"
    if target.engine is not None and backup.engine is not None and backup.engine != target.engine:
        return f"it is of {backup.engine}, and {target.engine} is wanted"
    if target.formats is not None and backup.format not in target.formats:
        return f"its format, {backup.format or 'unknown'}, can't be restored there"
    if (wrong := _version(backup, target)) is not None:
        return wrong
    if backup.verified_at is None:
        return "it isn't verified"
    if (odd := outside(backup, others, settings)) is not None:
        return odd
    if target.server is not None and backup.server != target.server:
        return f"it lies on {backup.server}, not on {target.server}"
    return None


def major(engine: str | None, version: str) -> tuple[int, ...] | None:
    """What has to fit: PostgreSQL's first number (its own since 10), MariaDB's and MySQL's first two."""
    numbers = re.findall(r"\d+", version.partition("-")[0])
    if not numbers:
        return None
    count = 1 if engine == "postgresql" and int(numbers[0]) >= 10 else 2
    return tuple(int(number) for number in numbers[:count])


def _version(backup: Backup, target: Target) -> str | None:
    if target.version is None or backup.server_version is None:
        return None
    theirs, ours = major(backup.engine, backup.server_version), major(backup.engine, target.version)
    if theirs is None or ours is None:
        return None
    if backup.format in PHYSICAL and theirs != ours:
        return f"it is of version {backup.server_version}, and a copy of files fits {target.version} only"
    if theirs > ours:
        return f"it is of version {backup.server_version}, newer than {target.version}, which is to take it"
    return None
