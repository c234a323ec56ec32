"""Plans that the daemon keeps the world with, where nobody has to write one."""

from __future__ import annotations

from datetime import datetime

from failover.model import Mode
from failover.recover.plan import Plan
from failover.recover.steps import (
    AddressHeld,
    BackupMade,
    BackupRestored,
    BackupVerified,
    Connected,
    ContentSynced,
    DatabaseParked,
    DatabaseRestored,
    Parked,
    ServiceBack,
    ServiceParked,
    ServiceRunning,
    ShadowReady,
)


def park(role: str, address: str) -> Plan:
    """Keep the standby quiet about an address: it came back, or something put the address on it (I10). For KEEP."""
    return Plan(mode=Mode.AUTO, role=role, steps=(Parked(address=address, on="standby"),))


def reassert(role: str, address: str, *, park_first: bool = False) -> Plan:
    """Give the holder its address, which a reboot took from it: nothing else comes up by itself. For KEEP.

    ``park_first`` where the standby was never parked, as on a site's first day: nothing is given before it is.
    """
    first = (Parked(address=address, on="standby"),) if park_first else ()
    return Plan(mode=Mode.AUTO, role=role, steps=(*first, AddressHeld(address=address)))


def copy_ahead(role: str, content: ContentSynced) -> Plan:
    """Have the content on the standby before it's needed; ``content`` is the step of the role's own plan. For AHEAD."""
    return Plan(mode=Mode.AUTO, role=role, steps=(content.model_copy(update={"on": "standby"}),))


def follow(role: str, content: ContentSynced) -> Plan:
    """Let what is published reach a holder that its source doesn't feed itself, as after a takeover. For AHEAD."""
    return Plan(mode=Mode.AUTO, role=role, steps=(content.model_copy(update={"on": "holder"}),))


def restore_ahead(role: str, step: DatabaseRestored) -> Plan:
    """Have the newest good backup restored on the standby; ``step`` is the one of the role's own plan. For AHEAD."""
    shadow = ShadowReady(backups=step.backups, within=step.within)
    return Plan(mode=Mode.AUTO, role=role, steps=(shadow,))


def park_database(role: str) -> Plan:
    """Keep the database of a server that came back, and doesn't hold the role, from taking writes (I11). For KEEP."""
    return Plan(mode=Mode.AUTO, role=role, steps=(DatabaseParked(),))


def park_service(role: str, unit: str) -> Plan:
    """Keep a unit that only the holder may run from running on a server that came back (I10, I12). For KEEP."""
    return Plan(mode=Mode.AUTO, role=role, steps=(ServiceParked(unit=unit),))


def start_again(role: str, like: ServiceRunning) -> Plan:
    """Start the holder's unit that the boot guard parked; ``like`` is the step of the role's own plan. For KEEP."""
    known = like.model_dump(exclude={"kind", "on", "healing"}, by_alias=True)
    return Plan(mode=Mode.AUTO, role=role, steps=(ServiceBack.model_validate(known),))


def connect_standby(step: Connected) -> Plan:
    """Have the standby's file name the database that serves, before anything there starts with it. For KEEP."""
    there = step.model_copy(update={"on": "standby", "restart": None, "proof": None})
    return Plan(mode=Mode.AUTO, role=step.role, steps=(there,))


def back_up(role: str, name: str, since: datetime, timezone: str) -> Plan:
    """Have a backup of the set that is no older than ``since``, on both of its servers. For AHEAD."""
    return Plan(mode=Mode.AUTO, role=role, steps=(BackupMade(set=name, since=since, timezone=timezone),))


def verify_backup(role: str, name: str, backup: str, server: str) -> Plan:
    """Read a backup to its end, and write down what that came to. For AHEAD."""
    return Plan(mode=Mode.AUTO, role=role, steps=(BackupVerified(set=name, id=backup, server=server),))


def restore_backup(role: str, name: str, backup: str, server: str, into: str) -> Plan:
    """Restore a backup beside what serves, for people to look at. For AHEAD."""
    return Plan(mode=Mode.AUTO, role=role, steps=(BackupRestored(set=name, id=backup, server=server, into=into),))
