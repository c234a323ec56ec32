"""Backups for people: what there is, which one would be used and why no newer one, and what may be begun by hand."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from failover.backups import Backup, BackupSet, Choice, FilesSet, MadeSet, Target, choose
from failover.backups.catalogue import Shelf
from failover.console.desk import Person
from failover.daemon.house import House
from failover.errors import NotAllowed, NotFound
from failover.journal.queries import RunView
from failover.model import RunKind, utc_now
from failover.recover.builtin import back_up, restore_backup, verify_backup
from failover.recover.plan import Plan

Json = dict[str, Any]


def the_set(house: House, name: str) -> BackupSet:
    """A set's settings.

    Raises:
        NotFound: the site has none of that name.
    """
    known = house.monitor.setup.backups
    if name not in known:
        raise NotFound(f"there is no backup set {name!r}; there is {', '.join(known) or 'none'}")
    return known[name]


def sets_view(house: House, name: str | None) -> list[Json]:
    """One set, or all, for ``failover backup list``."""
    names = [name] if name is not None else list(house.monitor.setup.backups)
    return [_set_view(house, one, the_set(house, one)) for one in names]


def begin(
    house: House, verb: str, name: str, backup: str | None, server: str | None, into: str | None, person: Person
) -> RunView:
    """Begin to make, verify or restore a backup by hand, in a run that gives way to a recovery.

    Raises:
        NotFound: no such set, server or backup. NotAllowed: other tools make this set's, or there is no good one.
        Busy: another run is under way.
    """
    its = the_set(house, name)
    if verb == "now":
        if not isinstance(its, MadeSet):
            raise NotAllowed(f"other tools make the backups of {name}: here they are only read")
        plan = back_up(its.role, name, utc_now(), house.monitor.setup.timezone)
        return _start(house, f"backup-{name}", plan, person, f"a backup of {name}, asked for by a person")
    place = server or its.on
    if place not in its.servers:
        raise NotFound(f"{name} has no place on {place!r}; it has {', '.join(its.servers)}")
    shelf = house.monitor.backups.catalogue.shelf(name, place)
    if verb == "verify":
        chosen = _named(shelf, backup) if backup else (shelf.backups[0] if shelf.backups else None)
        if chosen is None:
            raise NotFound(f"there is no backup of {name} on {place}")
        plan = verify_backup(its.role, name, chosen.id, place)
        return _start(house, f"verify-{name}", plan, person, f"{chosen.id} is to be read, asked for by a person")
    chosen = _named(shelf, backup) if backup else _best(house, name, its, place).best
    if chosen is None:
        raise NotAllowed(f"{place} has no good backup of {name}; failover backup list {name} says why")
    plan = restore_backup(its.role, name, chosen.id, place, into or "")
    return _start(house, f"restore-{name}", plan, person, f"{chosen.id} is to be restored aside, asked for by a person")


def _start(house: House, name: str, plan: Plan, person: Person, why: str) -> RunView:
    return house.runner.start(name, RunKind.AHEAD, person.cause(why), plan=plan)


def _named(shelf: Shelf, backup: str) -> Backup:
    for one in shelf.backups:
        if one.id == backup:
            return one
    raise NotFound(f"there is no backup {backup!r} of {shelf.set} on {shelf.server}")


def _best(house: House, name: str, its: BackupSet, place: str | None = None) -> Choice:
    role = house.monitor.setup.roles.get(its.role)
    engine = role.database.engine if role is not None and role.database is not None else None
    target = Target(engine=None if isinstance(its, FilesSet) else engine, server=place)
    there = house.monitor.backups.catalogue.backups(name)
    return choose([one for one in there if place in (None, one.server)], {name: its}, target, utc_now())


def _set_view(house: House, name: str, its: BackupSet) -> Json:
    catalogue = house.monitor.backups.catalogue
    choice = _best(house, name, its)
    last = catalogue.last_made(name)
    due, done = None, None
    if isinstance(its, MadeSet):
        due = house.monitor.backups.due(its)
        done = house.monitor.backups.is_done(name, its, due)
    return {
        "name": name,
        "kind": its.kind,
        "role": its.role,
        "path": its.path,
        "at": list(its.at) if isinstance(its, MadeSet) else [],
        "due_at": _moment(due),
        "done": done,
        "best": choice.best.id if choice.best else None,
        "passed_over": [
            {"id": one.id, "server": one.server, "taken_at": _moment(one.taken_at), "reason": one.reason}
            for one in choice.passed_over
        ],
        "last_made": {"id": last.id, "at": _moment(last.at), "problem": last.problem} if last else None,
        "places": [_shelf_view(catalogue.shelf(name, server)) for server in its.servers],
    }


def _shelf_view(shelf: Shelf) -> Json:
    return {
        "server": shelf.server,
        "asked_at": _moment(shelf.at),
        "trouble": shelf.trouble,
        "free_bytes": shelf.free_bytes,
        "backups": [_backup_view(one) for one in shelf.backups],
    }


def _backup_view(one: Backup) -> Json:
    return {
        "id": one.id,
        "good": one.good,
        "problem": one.problem,
        "taken_at": _moment(one.taken_at),
        "bytes": one.bytes,
        "format": one.format,
        "engine": one.engine,
        "server_version": one.server_version,
        "sha256": one.sha256,
        "path": one.path,
        "tables": dict(one.tables) if one.tables is not None else None,
        "verified_at": _moment(one.verified_at),
        "restored_at": _moment(one.restored_at),
        "made_by": one.made_by,
    }


def _moment(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
