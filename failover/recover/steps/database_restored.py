"""``database_restored``: the new server serves the newest good state of the role's database that there is."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any, Literal

from pydantic import Field

from failover.errors import ServerError, StepRefused, StepUnfinished
from failover.model import RunKind, Span
from failover.recover import kept, loss, restorable
from failover.recover.catalogue import find, look_at, pick
from failover.recover.databases import Database, Seen, moment_of, old_name
from failover.recover.difference import Difference, of_database
from failover.recover.fresh import make, set_for
from failover.recover.outcome import Made, Outcome
from failover.recover.problem import Problem
from failover.recover.proof import PATIENCE_SECONDS
from failover.recover.restoring import QUIET_SECONDS, Ready, quiet, restore, restored_news, the_database
from failover.recover.scene import Scene
from failover.recover.step import Change, Step, Todo
from failover.recover.work import Basis, Like, Told, Waits, Work

_HARMLESS = frozenset({"restored", "dropped"})
_START_SECONDS = 60.0
"""For a database server that was started just now: one that was killed replays its log first."""
_LOOK_SECONDS = 0.25


class DatabaseRestored(Step):
    """The role's database on the new server is the newest good backup, or in a planned move what the old one had.

    It is restored under a new name beside what is there, checked, and put in place by renaming; what was there is kept
    (I7). A backup that can't be used is passed over with its reason, and the next older one is tried (I8).
    """

    kind: Literal["database_restored"] = "database_restored"
    backups: tuple[str, ...] = Field(
        min_length=1, max_length=10, description="The sets to choose from, by their names under `backups`."
    )
    max_loss: Span = Field(
        default=26 * 3600.0, ge=0, description="When more would be lost, the run waits for a named person's yes."
    )
    within: Span = Field(default=7200.0, gt=0, description="How long making, bringing or restoring one may take.")
    swap_within: Span = Field(default=30.0, gt=0, description="How long putting it in place may take.")

    def title(self, scene: Scene) -> str:
        """See :class:`Step`."""
        name = scene.role.database.name if scene.role.database else scene.role.name
        fresh = scene.kind in (RunKind.SWITCH, RunKind.ROLLBACK)
        return f"{name} on {scene.new} from {'a fresh' if fresh else 'the newest good'} backup"

    def moves(self, scene: Scene, change: Change | Made) -> bool:
        """See :class:`Step`. What is done beside the database that serves moves nothing."""
        if change.verb != "database" or change.args.get("want") in _HARMLESS:
            return False
        return change.server != scene.new or change.args.get("want") != "read-only"

    def words(self, scene: Scene) -> tuple[str, ...]:
        """See :class:`Step`."""
        return (loss.word_for(scene.role.name),)

    def by_hand(self, scene: Scene) -> tuple[str, ...]:
        """See :class:`Step`. Who restored it by hand accepted what was lost."""
        return ()

    # forward ---------------------------------------------------------------------------------------------------

    def prepare(self, scene: Scene) -> Todo:
        """See :class:`Step`. Restores while the old server may still be mended, and asks before anything moves."""
        database = the_database(scene)
        if self._swapped(scene) is not None or kept.serving_again(scene) is not None:
            return
        ready = yield from self._ready(scene, database)
        if isinstance(ready, Ready):
            loss.accept(scene, ready.backup, self.max_loss)

    def todo(self, scene: Scene) -> Todo:
        """See :class:`Step`."""
        database = the_database(scene)
        if (made := self._swapped(scene)) is not None:
            yield from self._finish(scene, database, made)
            return
        if kept.serving_again(scene) is not None:
            if not scene.told("database.reinstated") or not look_at(scene, scene.new, database).takes_writes:
                yield kept.serve(scene, database)
            return
        swaps = self._swaps(scene)
        if swaps and (there := look_at(scene, scene.new, database)) and swaps[-1].args["keep"] in there.notes:
            yield self._back(scene, database, swaps[-1], there)  # taking it back was cut off; first things first
            return
        ready = yield from self._ready(scene, database)
        if ready is None:
            return
        if ready == "kept":
            yield from self._nobody_writes(scene, database)
            yield kept.serve(scene, database)
            return
        loss.accept(scene, ready.backup, self.max_loss)
        yield from self._nobody_writes(scene, database)
        args = {
            "name": database.name,
            "want": "swapped",
            "into": ready.shadow.into,
            "keep": old_name(database.name, scene.now(), ready.there.notes),
        }
        says = f"put {ready.shadow.into} in the place of {database.name} on {scene.new}"
        tells = {
            "set": ready.backup.set,
            "backup": ready.backup.id,
            "taken_at": ready.backup.taken_at.isoformat(),
            "loss_seconds": round(loss.loss_seconds(scene, ready.backup), 3),
            "tables": dict(ready.tables) if ready.tables is not None else None,
        }
        yield Change(scene.new, "database", args, says, within_seconds=self.swap_within, tells=tells)

    def _ready(
        self, scene: Scene, database: Database
    ) -> Generator[Change, Outcome | None, Ready | Literal["kept"] | None]:
        if scene.kind is RunKind.ROLLBACK:
            why = kept.not_again_yet(scene) or kept.why_not_fresh(scene, self.backups, database)
            if why is None:
                try:
                    return (yield from self._fresh(scene, database))
                except StepRefused as error:
                    why = str(error)
            yield from kept.ready(scene, database, why)
            return "kept"
        if scene.kind is RunKind.SWITCH:
            return (yield from self._fresh(scene, database))
        return (yield from restore(scene, scene.new, self.backups, self.within))

    def _fresh(self, scene: Scene, database: Database) -> Generator[Change, Outcome | None, Ready | None]:
        """A copy of what the old one has, taken since nobody writes to it any more."""
        name = set_for(scene, self.backups)
        backup = yield from make(scene, name, database, self.within)
        if backup is None:
            return None
        return (yield from restore(scene, scene.new, [name], self.within, only=backup))

    def _nobody_writes(self, scene: Scene, database: Database) -> Todo:
        """The old one takes no writes from here on (I11); where it can't be asked, a step before this proved it."""
        try:
            old = look_at(scene, scene.old, database, PATIENCE_SECONDS)
        except ServerError:
            return
        if old.takes_writes:
            yield quiet(scene.old, database)

    def _swapped(self, scene: Scene) -> Made | None:
        """This run's swap, done or begun, if it wasn't taken back."""
        swaps = self._swaps(scene)
        return swaps[-1] if swaps and swaps[-1].args["want"] == "swapped" else None

    def _swaps(self, scene: Scene) -> list[Made]:
        return [
            made
            for made in scene.made(scene.new, "database")
            if made.args.get("want") in ("swapped", "swapped-back") and made.outcome.touched
        ]

    def _finish(self, scene: Scene, database: Database, made: Made) -> Todo:
        """The helper finishes what was begun when it is asked again; and the journal is told if it wasn't."""
        now = look_at(scene, scene.new, database)
        told = any(told["kept"] == made.args["keep"] for told in scene.told("database.swapped"))
        if not (told and now.exists and made.args["into"] not in now.notes):
            says = f"{made.says} (asked again)" if not made.says.endswith("(asked again)") else made.says
            tells = self._tells_of(scene, now, database, str(made.args["into"]))
            yield Change(scene.new, "database", made.args, says, within_seconds=self.swap_within, tells=tells)
        elif now.read_only:
            args = {"name": database.name, "want": "read-write"}
            says = f"let {database.name} on {scene.new} be written to"
            yield Change(scene.new, "database", args, says, within_seconds=QUIET_SECONDS)

    def _tells_of(self, scene: Scene, now: Seen, database: Database, into: str) -> dict[str, Any]:
        """What a swap's news says, read from what is there."""
        backup = now.notes.get(into) or now.notes.get(database.name) or ""
        found = find(scene, self.backups, scene.new)
        known = next((one for one in found.backups if one.id == backup), None)
        taken_at = known.taken_at if known is not None else moment_of(database.name, into)
        assert taken_at is not None  # noqa: S101 - shadow_name made it
        fault = scene.begun_at or scene.now()
        lost = max(0.0, (fault - taken_at).total_seconds()) if scene.kind is RunKind.RECOVER else 0.0
        tables = found.tables(backup)
        return {
            "set": known.set if known is not None else backup.rpartition("-")[0],
            "backup": backup,
            "taken_at": taken_at.isoformat(),
            "loss_seconds": round(lost, 3),
            "tables": dict(tables) if tables is not None else None,
        }

    def news(self, scene: Scene, change: Change, outcome: Outcome) -> tuple[str, dict[str, Any]] | None:
        """See :class:`Step`."""
        if change.verb != "database":
            return None
        if change.args["want"] == "restored":
            return restored_news(scene, change, outcome)
        if change.args["want"] != "swapped":
            return kept.news(scene, change)
        told = {"role": scene.role.name, "server": change.server, "name": change.args["name"]}
        return "database.swapped", {**told, "kept": change.args["keep"], **change.tells}

    # back ------------------------------------------------------------------------------------------------------

    def undo(self, scene: Scene) -> Todo:
        """See :class:`Step`. What served on the new server is kept under another name: it may have been written to."""
        database = the_database(scene)
        swaps = self._swaps(scene)
        if swaps and (there := look_at(scene, scene.new, database)) and swaps[-1].args["keep"] in there.notes:
            yield self._back(scene, database, swaps[-1], there)
        yield from kept.back(scene, database)
        if self._quieted(scene) and self._up_again(scene, database) and look_at(scene, scene.old, database).read_only:
            args = {"name": database.name, "want": "read-write"}
            says = f"let {database.name} on {scene.old} be written to again"
            yield Change(scene.old, "database", args, says, within_seconds=QUIET_SECONDS)

    def _up_again(self, scene: Scene, database: Database) -> bool:
        """Whether the old one runs; not yet while its service, which this run stopped, is still to be started again."""
        give_up = scene.clock() + _START_SECONDS
        while not look_at(scene, scene.old, database).up:
            services = scene.made(scene.old, "service")
            if services and services[-1].args.get("want") == "stopped":
                return False
            if scene.clock() >= give_up:
                raise StepUnfinished(f"{database.name} on {scene.old} was made read-only, and its server doesn't run")
            scene.wait(_LOOK_SECONDS)
        return True

    def _back(self, scene: Scene, database: Database, last: Made, there: Seen) -> Change:
        if last.args["want"] == "swapped-back":  # begun before, and nobody knows how far it came
            args = dict(last.args)
        else:
            aside = old_name(database.name, scene.now(), there.notes)
            args = {"name": database.name, "want": "swapped-back", "into": aside, "keep": last.args["keep"]}
        scene.note(f"what was in place on {scene.new} meanwhile is kept there as {args['into']}")
        says = f"put {args['keep']} back in the place of {database.name} on {scene.new}"
        return Change(scene.new, "database", args, says, within_seconds=self.swap_within)

    def undo_problem(self, scene: Scene) -> str | None:
        """See :class:`Step`."""
        moved = bool(self._swaps(scene)) or kept.serving_again(scene) is not None
        touched = {scene.new: moved, scene.old: self._quieted(scene)}
        for server in (server for server, was in touched.items() if was):
            try:
                look_at(scene, server, the_database(scene))
            except ServerError as error:
                return f"{server}, whose database was touched, doesn't answer ({error.sentence})"
        return None

    def _quieted(self, scene: Scene) -> bool:
        return any(
            made.args.get("want") == "read-only" and made.outcome.touched
            for made in scene.made(scene.old, "database")
        )  # fmt: skip

    # in daylight -----------------------------------------------------------------------------------------------

    def differences(self, scene: Scene) -> Iterator[Difference]:
        """See :class:`Step`. Exact counts of both, by table."""
        yield from of_database(scene, the_database(scene))

    def problems(self, scene: Scene) -> Iterator[Problem]:
        """See :class:`Step`."""
        yield from restorable.problems(scene, the_database(scene), self.backups, self.max_loss)

    def work(self, scene: Scene) -> Iterator[Told]:
        """See :class:`Step`. With the newest good backup restored ahead only putting it in place is left."""
        database, new, now = the_database(scene), scene.new, scene.now()
        there = look_at(scene, new, database)
        found = find(scene, self.backups, new)
        best = pick(scene, new, self.backups, found, there, {}).best
        if best is None:
            yield from super().work(scene)
            return
        ahead = there.shadow_of(best.id) is not None
        role, name = scene.role.name, database.name
        if not ahead:
            like = (Like("restore", role, new), Like("restore", role))
            sizes = {one.id: one.bytes for one in found.backups}
            restored = f"{name} restored on {new}"
            yield Work(restored, like, most_seconds=self.within, bytes=best.bytes, sizes=sizes, ahead=False)
        swapped = (Like("database swapped", name, new), Like("database swapped", name))
        yield Work(f"{name} put in place on {new}", swapped, 0.1, self.swap_within, ahead=True if ahead else None)
        yield Basis(f"backup {best.id}", best.taken_at, best.taken_at, f"catalogue of {best.server}")
        if (now - best.taken_at).total_seconds() > self.max_loss:
            yield Waits(f"a person's yes to what is lost (`{loss.word_for(role)}`)")
