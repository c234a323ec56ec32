"""The kinds of steps. A new one is a file here, its name in the union, its test, and its paragraph in the docs."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from failover.recover.steps.address_held import AddressHeld
from failover.recover.steps.answers import Answers
from failover.recover.steps.backup_made import BackupMade
from failover.recover.steps.backup_read import BackupRestored, BackupVerified
from failover.recover.steps.command import Command
from failover.recover.steps.connected import Connected
from failover.recover.steps.content_synced import ContentSynced
from failover.recover.steps.database_parked import DatabaseParked
from failover.recover.steps.database_restored import DatabaseRestored
from failover.recover.steps.parked import Parked
from failover.recover.steps.released import Released
from failover.recover.steps.service_back import ServiceBack
from failover.recover.steps.service_parked import ServiceParked
from failover.recover.steps.service_running import Requires, ServiceRunning
from failover.recover.steps.service_stopped import ServiceStopped
from failover.recover.steps.shadow_ready import ShadowReady


def _from_words(value: object) -> object:
    """``released: {address: www}`` as people write it, to ``{kind: released, address: www}``."""
    if isinstance(value, dict) and len(value) == 1 and "kind" not in value:
        ((kind, settings),) = value.items()
        if settings is None:
            return {"kind": kind}
        if isinstance(settings, dict) and "kind" not in settings:
            return {"kind": kind, **settings}
    return value


AnyStep = Annotated[
    Annotated[
        ServiceRunning
        | ServiceStopped
        | Released
        | ContentSynced
        | AddressHeld
        | DatabaseRestored
        | Answers
        | Parked
        | ServiceBack
        | ServiceParked
        | Connected
        | Command
        | ShadowReady
        | DatabaseParked
        | BackupMade
        | BackupVerified
        | BackupRestored,
        Field(discriminator="kind"),
    ],
    BeforeValidator(_from_words),
]

__all__ = [
    "AddressHeld",
    "Answers",
    "AnyStep",
    "BackupMade",
    "BackupRestored",
    "BackupVerified",
    "Command",
    "Connected",
    "ContentSynced",
    "DatabaseParked",
    "DatabaseRestored",
    "Parked",
    "Released",
    "Requires",
    "ServiceBack",
    "ServiceParked",
    "ServiceRunning",
    "ServiceStopped",
    "ShadowReady",
]
