"""What people may say to a run, and that only people may."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from failover.errors import NotAllowed
from failover.journal.run_view import DAEMON
from failover.model import Cause, RunState
from failover.recover.plan import Plan
from failover.recover.run import DONE_BY_HAND, RunJournal
from failover.recover.scene import Scene


def known(plan: Plan, scene: Scene, word: str) -> Sequence[str]:
    """The word, if a step of the plan has a use for it.

    Raises:
        NotAllowed: none has; lists the words that have.
    """
    words = [one for step in plan.steps for one in step.words(scene)]
    if word not in words:
        raise NotAllowed(f"this run has no use for the word {word!r}; its words are {', '.join(words) or 'none'}")
    return [word]


def by_hand(plan: Plan, scene: Scene, step: int) -> Sequence[str]:
    """The words that a person gives by calling a step done by hand.

    Raises:
        NotAllowed: the plan has no such step.
    """
    if not 1 <= step <= len(plan.steps):
        raise NotAllowed(f"this run has no step {step}; its steps are 1 to {len(plan.steps)}")
    return plan.steps[step - 1].by_hand(scene) or (f"{DONE_BY_HAND}:{step}",)


def say(record: RunJournal, scene: Scene, cause: Cause, choose: Callable[[Plan, Scene], Sequence[str]]) -> None:
    """Write down what a person says, by the plan that was stored with the run.

    Raises:
        NotAllowed: no person says it, or the run has ended.
    """
    if not cause.by or cause.by == DAEMON:
        raise NotAllowed("a word counts only from a named person")
    view = record.view
    if view.state.ended and view.state is not RunState.STOPPED:
        raise NotAllowed(f"run {view.number} is {view.state}: it waits for no word")
    for word in choose(Plan.from_text(view.plan_text), scene):
        record.word(word, cause.by, cause.why)
