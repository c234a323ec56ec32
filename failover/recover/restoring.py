"""Restoring a backup beside what serves, until one good shadow stands ready; what serves isn't touched (I7, I8)."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from failover.backups import Backup
from failover.errors import Refused, StepRefused
from failover.model import RunKind, format_span
from failover.recover.catalogue import NOT_ITS_FAULT, SERVER_LACKS, Found, Pick, failed_in_this_run, find, look_at, pick
from failover.recover.databases import Database, Seen, Shadow, moment_of, shadow_name
from failover.recover.outcome import Outcome
from failover.recover.scene import Scene
from failover.recover.step import ANY_FAILURE, Change

_TRIES = 50
"""Backups that are tried before the step gives up."""
_BRINGS = 2
"""Times that one backup is brought to a server within a run: a machine may lose its power just then."""
_DROP_SECONDS = 60.0
QUIET_SECONDS = 30.0
"""For ending the connections of those who write."""
_STARTS, _START_SECONDS, _LOOK_SECONDS = 2, 60.0, 0.25


@dataclass(frozen=True, slots=True)
class Ready:
    """A shadow that can be put in place, and the backup that it holds."""

    shadow: Shadow
    backup: Backup
    tables: Mapping[str, int] | None
    """Rows by table, as they were counted in the backup."""
    there: Seen
    """All that stands on the server."""


Restoring = Generator[Change, Outcome | None, Ready | None]
"""Yields changes like a step; returns what stands ready, or None when the world has to be looked at anew."""


def restore(
    scene: Scene, server: str, names: Sequence[str], within_seconds: float, only: Backup | None = None
) -> Restoring:
    """Have the newest good backup of these sets as a shadow on a server.

    Args:
        scene: the run's.
        server: where.
        names: of the backup sets.
        within_seconds: how long bringing, reading or restoring one backup may take.
        only: the one backup that will do, as the fresh one of a planned move.

    Raises:
        StepRefused: no backup can be restored there; every reason is said.
        ServerError: the server can't be asked; or no place of backups can, and nothing stands ready.
    """
    database = the_database(scene)
    against: dict[str, str] = {}
    for _ in range(_TRIES):
        now = look_at(scene, server, database)
        if not now.up:
            yield from start(scene, server, database)
            if not scene.dry:
                return None
        elif now.takes_writes and scene.kind.moves:
            yield quiet(server, database)  # what doesn't serve takes no writes, however it came up (I11)
            if not scene.dry:
                return None
        found = find(scene, names, server)
        choice = (
            pick(scene, server, names, found, now, against) if only is None else _only(scene, server, only, against)
        )
        if choice.best is None:
            _give_up(server, names, found, choice)
        assert choice.best is not None  # noqa: S101 - _give_up raises
        for passed in choice.passed_over:
            scene.note(f"not used: {passed}")
        shadow = now.shadow_of(choice.best.id)
        if shadow is not None:
            return Ready(shadow, choice.best, found.tables(choice.best.id), now)
        outcome = yield from _next(scene, server, database, choice.best, found, now, within_seconds)
        if outcome is not None and outcome.kind == "unsound":
            against[choice.best.id] = outcome.sentence
        if outcome is None and scene.dry:  # what it would do was said
            into = name_for(database, choice.best, now)
            return Ready(Shadow(into, choice.best.id), choice.best, found.tables(choice.best.id), now)
        if outcome is None:
            return None
        if outcome.result in ("unreachable", "unknown") or outcome.kind in ("past-deadline", "other-boot", "busy"):
            return None
        if outcome.kind in SERVER_LACKS:
            raise StepRefused(f"nothing can be restored on {server}: {outcome.sentence}")
        if outcome.kind == "no-space" and not (yield from _make_room(scene, server, database, now, outcome)):
            return None
    raise StepRefused(f"{_TRIES} backups in a row couldn't be restored on {server}")


def start(scene: Scene, server: str, database: Database) -> Generator[Change, Outcome | None, None]:
    """Start the server that backups are restored in, where a move needs it; ahead of time that is for people.

    Raises:
        StepRefused: it can't be started, or nobody said how.
    """
    why = f"no database server runs on {server}, so nothing can be restored there"
    args = {"unit": scene.role.unit, "want": "running"}
    tries = [made for made in scene.made(server, "service") if made.args == args]
    if scene.role.unit is None or not scene.kind.moves or len(tries) >= _STARTS:
        said = f": {tries[-1].outcome.sentence}" if tries and tries[-1].outcome.sentence else ""
        raise StepRefused(why + said)
    says = f"start {scene.role.unit} on {server}, so that a backup can be restored there"
    outcome = yield Change(server, "service", args, says, within_seconds=_START_SECONDS, tolerates=ANY_FAILURE)
    if outcome is None or not outcome.ok:
        return
    give_up = scene.clock() + _START_SECONDS
    while not look_at(scene, server, database).up and scene.clock() < give_up:
        scene.wait(_LOOK_SECONDS)  # the unit runs before the server takes questions


def the_database(scene: Scene) -> Database:
    """The database of the run's role.

    Raises:
        StepRefused: the config doesn't say it any more.
    """
    if scene.role.database is None:
        raise StepRefused(f"the role {scene.role.name} has no 'database' in the config")
    return scene.role.database


def name_for(database: Database, backup: Backup, now: Seen) -> str:
    """What the shadow of a backup is called; two backups of the same second don't share a name."""
    moment = backup.taken_at.replace(microsecond=0)
    others = {shadow.into: shadow.backup for shadow in now.shadows}
    while others.get(shadow_name(database.name, moment)) not in (None, backup.id):
        moment += timedelta(seconds=1)
    return shadow_name(database.name, moment)


def _only(scene: Scene, server: str, backup: Backup, against: Mapping[str, str]) -> Pick:
    if why := {**failed_in_this_run(scene, server), **against}.get(backup.id):
        raise StepRefused(f"{backup.id}, made just now, can't be used on {server}: {why}")
    return Pick(backup)


def _give_up(server: str, names: Sequence[str], found: Found, choice: Pick) -> None:
    if found.silent and not found.backups:
        raise found.silent[0]  # it may be back in a moment
    reasons = [str(passed) for passed in choice.passed_over] + [f"{error}" for error in found.silent]
    raise StepRefused(
        f"no backup of {', '.join(names)} can be restored on {server}: {'; '.join(reasons) or 'there is none'}"
    )


def _next(
    scene: Scene, server: str, database: Database, backup: Backup, found: Found, now: Seen, within_seconds: float
) -> Generator[Change, Outcome | None, Outcome | None]:
    """Bring it, read it to its end, restore it: whichever comes next; what came of that."""
    into = name_for(database, backup, now)
    for shadow in now.shadows:
        if shadow.into == into:
            outcome = yield drop(server, database, shadow)  # half made: an earlier try was cut off
            if not scene.dry:
                return outcome
    if found.on(server, backup.id) is None and backup.server != server:
        if _brought(scene, server, backup) >= _BRINGS:
            why = next((one.problem for one in found.backups if (one.server, one.id) == (server, backup.id)), None)
            return Outcome(
                "failed", "unsound", f"it was brought to {server}, and isn't good there: {why or 'not seen'}"
            )
        outcome = yield _bring(server, backup, within_seconds)
        if not scene.dry:
            return outcome
    if not scene.dry and (against := _unsound(scene, server, backup, within_seconds)):
        scene.restores.refused(server, backup.id, against)
        return Outcome("failed", "unsound", against)
    args = {
        "name": database.name,
        "want": "restored",
        "set": backup.set,
        "backup": backup.id,
        "into": into,
    }
    age = format_span(max(0.0, (scene.now() - backup.taken_at).total_seconds()))
    says = f"restore {backup.id}, {age} old, on {server} as {into}"
    tells = {"taken_at": backup.taken_at.isoformat()}
    outcome = yield Change(
        server, "database", args, says, within_seconds=within_seconds, tolerates=ANY_FAILURE, tells=tells
    )  # fmt: skip
    if outcome is not None and outcome.ok:
        scene.restores.restored(server, backup.id)
    elif outcome is not None and outcome.result in ("failed", "refused") and outcome.kind not in NOT_ITS_FAULT:
        scene.restores.refused(server, backup.id, f"it couldn't be restored on {server}: {outcome.sentence}")
    return outcome


def _brought(scene: Scene, server: str, backup: Backup) -> int:
    copies = [made for made in scene.made(server, "backups") if made.args.get("want") == "copied"]
    return sum(made.outcome.ok for made in copies if made.args.get("id") == backup.id)


def _bring(server: str, backup: Backup, within_seconds: float) -> Change:
    args = {"set": backup.set, "want": "copied", "id": backup.id, "source": backup.server}
    says = f"copy {backup.id} from {backup.server} to {server}: {backup.bytes} bytes"
    return Change(server, "backups", args, says, within_seconds=within_seconds, tolerates=ANY_FAILURE)


def _unsound(scene: Scene, server: str, backup: Backup, within_seconds: float) -> str | None:
    """Why the file that lies there isn't what was verified once, or None (I8)."""
    try:
        answer = scene.server(server).ask(
            "backups", within_seconds=within_seconds, set=backup.set, id=backup.id, verify=True
        )
    except Refused as error:
        return f"it can't be read on {server} ({error.kind}): {error.sentence}"
    return None if answer["sound"] else f"it isn't sound any more: {answer['why']}"


def _make_room(
    scene: Scene, server: str, database: Database, now: Seen, outcome: Outcome
) -> Generator[Change, Outcome | None, bool]:
    """Drop what is half made, then what is older; whether that made room."""
    spare = [shadow for shadow in now.shadows if shadow.backup is None] or [*now.shadows][-1:]
    dropped = scene.made(server, "database")
    if not spare or sum(1 for made in dropped if made.args.get("want") == "dropped") >= _TRIES:
        raise StepRefused(f"{server} has no room to restore in: {outcome.sentence}")
    for shadow in spare:
        done = yield drop(server, database, shadow)
        if done is not None and not done.ok:
            return False
    return True


def quiet(server: str, database: Database) -> Change:
    """Nobody writes to it any more; reading goes on."""
    args = {"name": database.name, "want": "read-only"}
    says = f"make {database.name} on {server} read-only"
    return Change(server, "database", args, says, within_seconds=QUIET_SECONDS)


def drop(server: str, database: Database, shadow: Shadow) -> Change:
    """Take away a shadow, which never served."""
    args = {"name": database.name, "want": "dropped", "into": shadow.into}
    what = "half-made" if shadow.backup is None else "older"
    says = f"drop the {what} {shadow.into} on {server}"
    return Change(server, "database", args, says, within_seconds=_DROP_SECONDS, tolerates=ANY_FAILURE)


def restored_news(scene: Scene, change: Change, outcome: Outcome) -> tuple[str, dict[str, object]]:
    """The event by which others know that a backup was restored, and what that took."""
    return "database.restored", {
        "role": scene.role.name,
        "server": change.server,
        "set": change.args["set"],
        "backup": change.args["backup"],
        "taken_at": change.tells.get("taken_at") or _moment(change).isoformat(),
        "into": change.args["into"],
        "bytes": outcome.answer.get("bytes"),
        "rows": outcome.answer.get("rows"),
        "seconds": outcome.answer.get("seconds"),
        "ahead": scene.kind is RunKind.AHEAD,
    }


def _moment(change: Change) -> datetime:
    found = moment_of(str(change.args["name"]), str(change.args["into"]))
    assert found is not None  # noqa: S101 - shadow_name made it
    return found
