"""The backup that a planned move makes first: of a database that nobody writes to any more, so that nothing is lost."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from datetime import datetime

from failover.backups import Backup, DatabaseSet
from failover.backups.backup import new_id
from failover.errors import ServerError, StepRefused
from failover.recover.catalogue import find, look_at
from failover.recover.databases import Database
from failover.recover.outcome import Made, Outcome
from failover.recover.restoring import quiet
from failover.recover.scene import Scene
from failover.recover.step import ANY_FAILURE, Change

_TRIES = 2


def set_for(scene: Scene, names: Sequence[str]) -> str:
    """The set that a fresh backup goes to: the first that failover makes itself.

    Raises:
        StepRefused: there is none.
    """
    for name in names:
        if isinstance(scene.backups[name], DatabaseSet):
            return name
    raise StepRefused(
        f"a switch makes a fresh backup first, and failover makes none of {', '.join(names)} itself: "
        "a set of the kind 'database' is needed"
    )


def make(
    scene: Scene, name: str, database: Database, within_seconds: float
) -> Generator[Change, Outcome | None, Backup | None]:
    """Have a backup of the set that was made since the old database takes no writes; None: look anew.

    Raises:
        StepRefused: it can't be made, or isn't good.
    """
    place = scene.backups[name].on
    there = made(scene, name)
    try:
        old = look_at(scene, scene.old, database)
    except ServerError:
        if there is None or _quiet_since(scene) is None:
            raise
        return _judged(
            scene, place, there, within_seconds
        )  # it fell silent after that, and nobody let it be written to
    if old.takes_writes:
        if not scene.dry:
            scene.note(f"from now on nothing can be saved in {database.name}: a fresh backup is made")
        yield quiet(scene.old, database)
        if not scene.dry:
            return None  # whether it's so is read back first
    if there is not None:
        return _judged(scene, place, there, within_seconds)
    tries = _tries(scene, place)
    if len(tries) >= _TRIES:
        raise StepRefused(f"no fresh backup could be made, so that would lose data: {tries[-1].outcome.sentence}")
    backup_id = new_id(name, scene.now())
    args = {"set": name, "want": "made", "id": backup_id, "source": scene.old}
    says = f"make a fresh backup {backup_id} of {database.name} on {place}"
    outcome = yield Change(place, "backups", args, says, within_seconds=within_seconds, tolerates=ANY_FAILURE)
    if outcome is None and scene.dry:
        return Backup(
            id=backup_id, set=name, server=place, kind="database", format=None, bytes=old.bytes,
            taken_at=scene.now(), verified_at=scene.now(),
        )  # fmt: skip
    return None


def made(scene: Scene, name: str) -> Backup | None:
    """The newest whole backup that this run made since the old database takes no writes."""
    place = scene.backups[name].on
    tries = [str(one.args["id"]) for one in reversed(_tries(scene, place)) if one.outcome.touched]
    if not tries:
        return None
    there = {one.id: one for one in find(scene, [name]).backups if one.server == place and one.finished_at is not None}
    return next((there[one] for one in tries if one in there), None)


def _tries(scene: Scene, place: str) -> list[Made]:
    since = _quiet_since(scene)
    tries = [made for made in scene.made(place, "backups") if made.args.get("want") == "made"]
    return [made for made in tries if since is None or made.at >= since]


def _quiet_since(scene: Scene) -> datetime | None:
    """When this run made the old database read-only last, if it wasn't let be written to again."""
    wants = ("read-only", "read-write")
    changes = [made for made in scene.made(scene.old, "database") if made.args.get("want") in wants]
    return changes[-1].at if changes and changes[-1].args["want"] == "read-only" else None


def _judged(scene: Scene, place: str, backup: Backup, within_seconds: float) -> Backup:
    if backup.problem is not None:
        raise StepRefused(f"the fresh backup {backup.id} is no good: {backup.problem}")
    if backup.verified_at is not None:
        return backup
    answer = scene.server(place).ask(
        "backups", within_seconds=within_seconds, set=backup.set, id=backup.id, verify=True
    )  # fmt: skip
    if not answer["sound"]:
        raise StepRefused(f"the fresh backup {backup.id} is no good: {answer['why']}")
    return replace(backup, verified_at=scene.now())
