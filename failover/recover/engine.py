"""Carries out one run in the thread of its caller: ask the step what is left, write, act, write, ask again.

Safe to begin anew after a crash at any line: the world is believed first, then the journal, and what is done already is
not done twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from failover.errors import (
    FaultGone,
    HostKeyChanged,
    NeedsPerson,
    OutcomeUnknown,
    RunAborted,
    RunError,
    ServerError,
    StepRefused,
    StepUnfinished,
    Unreachable,
)
from failover.journal.queries import RunView
from failover.model import RunKind, RunState, Token
from failover.recover import fault
from failover.recover.control import Clock, Control
from failover.recover.doubts import Doubts
from failover.recover.dry import changed
from failover.recover.hand import Hand, LookAgain, Superseded
from failover.recover.plan import Plan
from failover.recover.readiness import hindrances, unfit
from failover.recover.run import RunJournal
from failover.recover.scene import Scene
from failover.recover.step import Step, Todo
from failover.recover.undo import End, Undo

PASSES = 10
"""Times that a step may find something to do before it is called unfinished."""
PATIENCE_SECONDS = 30.0
"""How long a step may not see a server before the run gives up: a session is back in a second, a host in twenty."""
ASK_AGAIN_SECONDS = 2.0
"""While a run waits for a person it asks the step anew, for an old server that comes back is proof enough."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What one run is given: the reins, the time, earlier requests in doubt, and tokens newer than all before."""

    control: Control
    clock: Clock
    doubts: Doubts
    new_token: Callable[[], Token]
    tell: Callable[[RunView], None]
    """Called when the run waits for a person, and when it goes on."""


class Turn(Enum):
    """What is asked of a step when its turn comes."""

    PREPARE = "prepare"
    """What of it can be done before anything moves."""
    EARLY = "early"
    """The whole of it before anything moves; it is asked once more in its place."""
    WHOLE = "whole"
    AGAIN = "again"
    """A second look at what was done before anything moved."""


def in_order(steps: Sequence[Step]) -> Iterator[tuple[int, Step, Turn]]:
    """Each step with its number, and what is asked of it.

    What visitors can't notice goes first, while the old server still serves or before the first change that can't be
    undone; and is asked once more in its place. What may heal the failure in place goes before everything.
    """
    numbered = list(enumerate(steps, start=1))
    first = next(
        (at for at, (_, step) in enumerate(numbered) if not step.harmless and step.heals is None), len(numbered)
    )
    yield from ((number, step, Turn.WHOLE) for number, step in numbered[:first])
    for number, step in numbered[first:]:
        if step.harmless or type(step).prepare is not Step.prepare:
            yield number, step, Turn.EARLY if step.harmless else Turn.PREPARE
    yield from ((number, step, Turn.AGAIN if step.harmless else Turn.WHOLE) for number, step in numbered[first:])


class Engine:
    """One run. :meth:`run` brings it to an end, or raises ``Halted`` or ``JournalUnwritable`` and leaves it so."""

    def __init__(self, plan: Plan, scene: Scene, record: RunJournal, token: Token, setting: Setting) -> None:
        self._plan = plan
        self._record = record
        self._setting = setting
        self._control = setting.control
        self._clock = setting.clock
        self._scene = replace(
            scene,
            opened_at=scene.now(),
            begun_at=record.view.opened_at,
            run=record.number,
            word=record.said,
            made=record.made,
            told=record.told,
            note=self._note,
            clock=setting.clock.monotonic,
            wait=setting.control.wait,
        )
        self._hand = Hand(self._scene, record, token, setting.doubts, setting.clock, setting.control)
        self._notes: list[str] = []

    def _note(self, text: str) -> None:
        if self._record.noted(text):
            self._notes.append(text)

    def run(self) -> End:
        """Carry the plan out to its end.

        Raises:
            Halted: the daemon stops. JournalUnwritable: nothing can be begun that isn't written first (I19).
        """
        try:
            reason = self._forward()
        except Superseded as error:
            if self._scene.kind is RunKind.AHEAD:
                return End(RunState.ABORTED, str(error), settled=True)
            return self._undo().stop(RunState.STOPPED, str(error))
        except FaultGone as error:
            end = self._undo().give_up(RunState.UNDONE, f"healed by itself; {error}")
            return replace(end, healed=not self._noticed())
        except RunAborted as error:
            return self._undo().give_up(RunState.ABORTED, str(error))
        except StepUnfinished as error:
            serves = error.serves and self._scene.kind in (RunKind.RECOVER, RunKind.ROLLBACK)
            return self._undo().give_up(RunState.UNDONE, str(error), serves=serves)
        except (RunError, ServerError) as error:
            return self._undo().give_up(RunState.UNDONE, str(error))
        if reason is None and self._scene.kind.moves:
            within = 0.0 if self._scene.kind is RunKind.ROLLBACK else self._plan.commit_within
            self._record.moved(self._scene.role.name, self._scene.old, self._scene.new, within)
        return End(RunState.DONE, reason or "", settled=True)

    def take_back(self, why: str) -> End:
        """A person ends a run that stopped: undo what can be undone."""
        return self._undo().give_up(RunState.ABORTED, why)

    def _undo(self) -> Undo:
        self._control.obeyed()
        self._hand.token = self._setting.new_token()  # so that whatever is still under way for this run is refused (I3)
        return Undo(self._plan, self._scene, self._record, self._reach)

    # forward ---------------------------------------------------------------------------------------------------

    def _forward(self) -> str | None:
        self._confirm()
        if not self._moved():
            self._look_ahead()
        for number, step, turn in in_order(self._plan.steps):
            if self._record.done_by_hand(number):
                continue
            if (reason := self._carry(number, step, turn)) is not None:
                return reason
        return None

    def _look_ahead(self) -> None:
        """What is known to stand against a move that a person asked for, before anything moves; and what changed."""
        kind = self._scene.kind
        if kind is RunKind.SWITCH and (problems := hindrances(self._plan, self._scene)):
            raise StepRefused(f"a switch is for two healthy servers: {'; '.join(problems)}")
        if kind is RunKind.ROLLBACK and (problems := unfit(self._plan, self._scene)):
            raise StepRefused(f"nothing is rolled back to a server that couldn't serve: {'; '.join(problems)}")
        if kind is RunKind.SWITCH and not self._record.all_made():
            for step in self._plan.steps:
                for difference in changed(step, self._scene):
                    self._note(f"changed since {self._scene.role.name} left {self._scene.new}: {difference}")

    def _carry(self, number: int, step: Step, turn: Turn) -> str | None:
        began = self._clock.monotonic()
        self._notes = []
        self._scene = replace(self._scene, early=turn is Turn.EARLY)
        if turn is not Turn.AGAIN:
            self._record.step_started(number, step.title(self._scene))
        if turn is Turn.PREPARE:
            self._reach(number, step, step.prepare)
            return None
        acted = self._reach(number, step, step.todo)
        if turn is Turn.AGAIN and not acted:
            return None
        # A run resumed after its move finds visitors served: by the new server, not by anything healed in place.
        enough = None if self._moved() else step.enough(self._scene)
        self._record.step_done(number, self._clock.monotonic() - began, self._notes)
        return enough

    def _reach(self, number: int, step: Step, todo: Callable[[Scene], Todo]) -> bool:
        """Ask what is left and do it, until nothing is; whether there was something."""
        passes = 0
        blind_since: float | None = None
        left: list[str] = []
        while True:
            self._control.check()
            try:
                left = self._pass(number, step, todo(self._scene))
                blind_since = None
            except LookAgain:
                left = ["look again"]
            except NeedsPerson as need:
                self._wait_for_person(number, need)
                continue
            except (Unreachable, OutcomeUnknown) as error:
                now = self._clock.monotonic()
                blind_since = now if blind_since is None else blind_since
                if isinstance(error, HostKeyChanged) or now - blind_since >= self._patience():
                    raise
                self._control.wait(min(2.0, 0.1 + (now - blind_since) / 2))
                passes = passes if isinstance(error, Unreachable) else passes + 1
                continue
            if not left:
                self._go_on(step)
                return passes > 0
            passes += 1
            if passes > PASSES:
                raise StepUnfinished(f"{step.title(self._scene)}: still to do: {'; '.join(left)}")

    def _patience(self) -> float:
        return PATIENCE_SECONDS if self._scene.kind.moves else 0.0

    def _pass(self, number: int, step: Step, todo: Todo) -> list[str]:
        """One time through what is left: the changes that were made, or tried."""
        said: list[str] = []
        try:
            change = next(todo)
            while True:
                said.append(change.says)
                moves = step.moves(self._scene, change) or step.heals is not None
                confirm = self._confirm if moves else _nothing  # the last moment to say no (I13)
                outcome = self._hand.carry_out(number, change, confirm)
                if outcome.ok and (news := step.news(self._scene, change, outcome)):
                    self._record.news(*news)
                change = todo.send(outcome)
        except StopIteration:
            return said
        finally:
            todo.close()

    # the fault -------------------------------------------------------------------------------------------------

    def _confirm(self) -> None:
        condition = self._plan.condition
        if condition and self._scene.kind is RunKind.RECOVER and not self._scene.forced and not self._moved():
            fault.look_again(self._scene, condition)

    def _moved(self) -> bool:
        """Whether this run touched what visitors use, so that what they see says nothing about the fault any more."""
        steps = self._plan.steps
        return any(
            made.outcome.touched and steps[made.step - 1].moves(self._scene, made) for made in self._record.all_made()
        )

    def _noticed(self) -> bool:
        """Whether this run did anything beyond what visitors can't notice."""
        steps = self._plan.steps
        return any(made.outcome.touched and not steps[made.step - 1].harmless for made in self._record.all_made())

    # people ----------------------------------------------------------------------------------------------------

    def _wait_for_person(self, number: int, need: NeedsPerson) -> None:
        if self._record.waiting(number, need):
            self._setting.tell(self._record.view)
        self._control.wait(ASK_AGAIN_SECONDS)
        condition = self._plan.condition
        if condition and self._scene.kind is RunKind.RECOVER and not self._scene.forced:
            try:
                fault.look_again(self._scene, condition)
            except StepRefused:
                return  # it can't tell; the run waits anyway

    def _go_on(self, step: Step) -> None:
        if self._record.view.state is RunState.WAITING:
            self._record.resumed(f"it needs no word any more: {step.title(self._scene)}")
            self._setting.tell(self._record.view)


def _nothing() -> None:
    """What visitors can't notice needs no confirmation."""
