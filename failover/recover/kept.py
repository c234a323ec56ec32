"""The database as it was when the role left its server: what a rollback serves again where no fresh copy can be made.

It was never touched since, only made read-only. What was saved on the other server meanwhile isn't in it: that is said
before anything moves, and a named person has to accept it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from failover.errors import NeedsPerson, ServerError, StepRefused
from failover.model import format_span
from failover.recover import fresh, rows
from failover.recover.catalogue import look_at
from failover.recover.databases import Database
from failover.recover.loss import word_for
from failover.recover.outcome import Made
from failover.recover.restoring import QUIET_SECONDS, quiet, start
from failover.recover.scene import Scene
from failover.recover.step import Change, Todo

PATIENCE_SECONDS = 10.0
"""For a server that may only have lost its session: what it has is worth a wait."""
COUNT_SECONDS = 10.0
"""For counting on a server that is sick: a person waits for the answer."""
_LOOK_SECONDS = 0.5
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 60.0, 1800.0
"""Between two tries to restore the fresh copy while a person is waited for: each may fill the disk of what serves then.
"""


def why_not_fresh(scene: Scene, names: Sequence[str], database: Database) -> str | None:
    """Why no copy of what serves now can be taken along; None where one was made, or can be."""
    try:
        name = fresh.set_for(scene, names)
    except StepRefused as error:
        return str(error)
    if fresh.made(scene, name) is not None:
        return None
    give_up = scene.clock() + (0.0 if scene.dry else PATIENCE_SECONDS)
    while True:
        try:
            old = look_at(scene, scene.old, database)
        except ServerError as error:
            why = str(error)
            if scene.clock() < give_up and scene.silent_since(scene.old) is None:
                scene.wait(_LOOK_SECONDS)
                continue
            return why
        if not old.up:
            return f"no database server runs on {scene.old}"
        return None if old.exists else f"{scene.old} has no {database.name}"


def not_again_yet(scene: Scene) -> str | None:
    """Why the fresh copy couldn't be restored a moment ago, which isn't tried again so soon; None: it may be tried.

    Whoever resumes the run has it tried at once.
    """
    tries = [made for made in scene.made(scene.new, "database") if made.args.get("want") == "restored"]
    tries = [made for made in tries if scene.opened_at is None or made.at >= scene.opened_at]
    if not tries or tries[-1].outcome.result not in ("failed", "refused"):
        return None
    pause = min(_FIRST_PAUSE_SECONDS * 2 ** (len(tries) - 1), _LONGEST_PAUSE_SECONDS)
    return tries[-1].outcome.sentence if scene.within(tries[-1].at, pause) else None


def serving_again(scene: Scene) -> Made | None:
    """This run's change by which the kept database serves again, if it wasn't taken back."""
    wants = ("read-write", "read-only")
    made = [made for made in scene.made(scene.new, "database") if made.args.get("want") in wants]
    touched = [one for one in made if one.outcome.touched]
    return touched[-1] if touched and touched[-1].args["want"] == "read-write" else None


def ready(scene: Scene, database: Database, why: str) -> Todo:
    """Have it ready to serve, and what is lost with it accepted.

    Raises:
        StepRefused: there is none. NeedsPerson: nobody accepted the loss.
    """
    now = look_at(scene, scene.new, database)
    if not now.up:
        yield from start(scene, scene.new, database)
        if scene.dry:
            return
        now = look_at(scene, scene.new, database)
        if not now.up:
            raise StepRefused(f"no database server runs on {scene.new}")
    if not now.exists:
        raise StepRefused(f"{scene.new} has no {database.name} that could serve again, and {why}")
    word, since = scene.word(word_for(scene.role.name)), _since(scene)
    if word is None:
        raise NeedsPerson(
            f"May what was saved in {database.name} on {scene.old} since {since} be lost ({_lost(scene, database)})? "
            f"{why}, so no fresh copy of it can be taken along, and {database.name} on {scene.new} would serve again "
            f"as it was. If {scene.old} can be mended, mend it: the copy is made as soon as it can be. If not, confirm "
            f"`{word_for(scene.role.name)}`",
            word=word_for(scene.role.name),
        )
    scene.note(f"with loss: {why}, so {database.name} on {scene.new} serves again as it was at {since}")


def serve(scene: Scene, database: Database) -> Change:
    """Let it serve again."""
    args = {"name": database.name, "want": "read-write"}
    says = f"let {database.name} on {scene.new} serve again as it was at {_since(scene)}"
    at = scene.left_at or scene.now()
    tells = {"since": at.isoformat(), "loss_seconds": round((scene.now() - at).total_seconds(), 3)}
    return Change(scene.new, "database", args, says, within_seconds=QUIET_SECONDS, tells=tells)


def news(scene: Scene, change: Change) -> tuple[str, dict[str, Any]] | None:
    """The event that tells others that it serves again."""
    if change.args["want"] != "read-write" or not change.tells:
        return None
    told = {"role": scene.role.name, "server": change.server, "name": change.args["name"]}
    return "database.reinstated", {**told, **change.tells}


def back(scene: Scene, database: Database) -> Todo:
    """Take it back: nobody writes to it any more. What was written meanwhile stays in it."""
    if serving_again(scene) is not None and look_at(scene, scene.new, database).takes_writes:
        yield quiet(scene.new, database)


def _since(scene: Scene) -> str:
    return f"{scene.left_at:%Y-%m-%d %H:%M:%S} UTC" if scene.left_at is not None else "that time"


def _lost(scene: Scene, database: Database) -> str:
    """How long that was, and how many rows where anybody can count them."""
    long = (
        f"that are {format_span((scene.now() - scene.left_at).total_seconds())}"
        if scene.left_at
        else "nobody knows how long"
    )
    try:
        now = rows.counted(scene, scene.old, database, COUNT_SECONDS)
        more = rows.differences(rows.counted(scene, scene.new, database, COUNT_SECONDS), now)
    except ServerError as error:
        return f"{long}; nobody can count the rows: {error}"
    return f"{long}; {scene.old} has {rows.tell(more)}"
