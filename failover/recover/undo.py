"""Giving up well: take everything back where that is safe, else stop and say the exact state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from failover.errors import RunAborted, RunError, ServerError
from failover.model import RunState
from failover.recover.control import Halted
from failover.recover.plan import Plan
from failover.recover.proof import parked
from failover.recover.run import RunJournal
from failover.recover.scene import Scene
from failover.recover.step import Step, Todo


@dataclass(frozen=True, slots=True)
class End:
    """How a run ended."""

    state: RunState
    reason: str
    settled: bool
    """Whether the world is as the stored map of roles says, so that what is kept up by it may be kept up."""
    healed: bool = False
    """The failure was gone before the run did anything that visitors could notice."""


Reach = Callable[[int, Step, Callable[[Scene], Todo]], bool]
"""Carries out what a question of a step leaves to do, until nothing is."""


class Undo:
    """Ends a run that can't go on."""

    def __init__(self, plan: Plan, scene: Scene, record: RunJournal, reach: Reach) -> None:
        self._plan = plan
        self._scene = scene
        self._record = record
        self._reach = reach

    def give_up(self, state: RunState, reason: str, *, serves: bool = False) -> End:
        """Take back every step, the last one first; or stop, if that isn't safe for all of them.

        Raises:
            JournalUnwritable, Halted: as in going forward.
        """
        steps = self._plan.steps
        touched = {
            made.step
            for made in self._record.all_made()
            if made.outcome.touched and steps[made.step - 1].moves(self._scene, made)
        }
        moving = [(number, step) for number, step in enumerate(steps, start=1) if number in touched]
        if not moving:
            return End(state, f"{reason}; nothing was moved", settled=True)
        if serves:
            return self.stop(_not_undone(state), f"{reason}; taking it back would take away what works")
        if problems := [problem for _, step in moving if (problem := step.undo_problem(self._scene))]:
            return self.stop(_not_undone(state), f"{reason}; it can't be taken back: {'; '.join(problems)}")
        self._record.noted(f"taking back: {reason}")
        # Each is asked once more at the end: a database can be written to again once its service was started again.
        for number, step in [*reversed(moving), *reversed(moving)]:
            try:
                self._reach(number, step, step.undo)
            except Halted:
                raise
            except (RunError, ServerError) as error:
                stopped = _not_undone(state) if not isinstance(error, RunAborted) else RunState.STOPPED
                return self.stop(stopped, f"{reason}; taking it back failed: {error}")
        return End(state, f"{reason}; everything was taken back", settled=True)

    def stop(self, state: RunState, reason: str) -> End:
        """End it where it is, with all that a person needs to know to go on."""
        settled = True
        where: list[str] = []
        for name in self._scene.role.addresses:
            host = self._scene.addresses[name].host
            holds: dict[str, str] = {}
            for server in (self._scene.old, self._scene.new):
                holds[server], quiet = self._grip(server, host)
                if server == self._scene.new and not quiet and self._was_given(host):
                    settled = False
            where.append(f"{host}: " + ", ".join(f"{server} {grip}" for server, grip in holds.items()))
        if not self._scene.role.addresses:
            settled = False
        done = [made.says for made in self._record.all_made() if made.outcome.ok]
        doubtful = [made.says for made in self._record.all_made() if made.outcome.result == "unknown"]
        number = self._record.number
        sentences = [
            reason,
            *where,
            f"done: {'; '.join(done) or 'nothing'}",
            *([f"done or not: {'; '.join(doubtful)}"] if doubtful else []),
            f"left: {'; '.join(self._left()) or 'nothing'}",
            commands(number),
        ]
        return End(state, ". ".join(sentences), settled=settled)

    def _grip(self, server: str, host: str) -> tuple[str, bool]:
        """What a server says of the address, and whether it is certain that it doesn't answer for it."""
        try:
            answer = self._scene.server(server).ask("address", within_seconds=2.0, ip=host)
        except (ServerError, KeyError) as error:
            said = error.sentence if isinstance(error, ServerError) else "not in the config any more"
            return f"can't be asked ({said})", False
        if parked(answer):
            return "is parked", True
        return ("holds it", False) if answer["held"] else ("doesn't hold it", True)

    def _was_given(self, host: str) -> bool:
        return any(
            made.outcome.touched and made.args.get("ip") == host and made.args.get("want") == "held"
            for made in self._record.made(self._scene.new, "address")
        )

    def _left(self) -> list[str]:
        return [f"{step.number} {step.title}" for step in self._record.view.steps if step.state != "done"]


def _not_undone(state: RunState) -> RunState:
    """A person's abort ends the run even where it can't be taken back; all else stops for people."""
    return RunState.ABORTED if state is RunState.ABORTED else RunState.STOPPED


def commands(run: int) -> str:
    """What a person can do with a run that stopped."""
    return (
        f"go on with `failover resume {run}`, take back what can be with `failover abort {run}`, "
        f"or do a step by hand and say so with `failover mark-done {run} STEP`"
    )
