"""One run as its events tell it: what was planned, what was done, what people said, how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from failover.model import RunKind, RunState, Token

DAEMON = "daemon"
"""What stands in ``by`` when no person was the cause."""


@dataclass(frozen=True, slots=True)
class ChangeView:
    """One change: its intent, and its outcome once that is known."""

    number: int
    """From 1 within the run."""
    step: int
    server: str
    verb: str
    args: Mapping[str, Any]
    says: str
    intended_at: datetime
    result: str | None = None
    """``ok refused failed unreachable unknown``; None: intended, and nothing is known of what came of it."""
    kind: str | None = None
    sentence: str = ""
    answer: Any = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class StepView:
    """One step, with the changes that it made."""

    number: int
    """From 1."""
    title: str
    started_at: datetime | None = None
    done_at: datetime | None = None
    seconds: float | None = None
    notes: tuple[str, ...] = ()
    changes: tuple[ChangeView, ...] = ()

    @property
    def state(self) -> str:
        """``pending``, ``started`` or ``done``."""
        return "done" if self.done_at else "started" if self.started_at else "pending"


@dataclass(frozen=True, slots=True)
class WordView:
    """What a person said in a run."""

    step: int | None
    word: str
    by: str
    why: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Question:
    """What a run waits for."""

    step: int
    question: str
    word: str
    """The word that answers it."""
    at: datetime


@dataclass(frozen=True, slots=True)
class RunView:
    """A run, as of its newest event."""

    number: int
    site: str
    plan: str
    kind: RunKind
    role: str | None
    old: str | None
    new: str | None
    mode: str
    why: str
    by: str
    forced: bool
    token: Token | None
    plan_text: str
    plan_sha256: str
    opened_at: datetime
    state: RunState = RunState.RUNNING
    steps: tuple[StepView, ...] = ()
    words: tuple[WordView, ...] = ()
    question: Question | None = None
    notes: tuple[str, ...] = ()
    resumed: tuple[str, ...] = ()
    """Why, each time that it was resumed."""
    reason: str = ""
    """How it ended, in words."""
    ended_at: datetime | None = None
    healed: bool = False
    """It ended because the failure was gone before it did anything that visitors could notice."""
    seconds: float | None = None
    last: int = 0
    """The number of the newest event in it."""
    opened: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """All that ``run.opened`` held."""

    @property
    def automatic(self) -> bool:
        """Whether the daemon began it by itself to recover: what automation is bounded by (I14)."""
        return self.by == DAEMON and self.kind is RunKind.RECOVER

    @property
    def step(self) -> StepView | None:
        """The step that it is at: the newest that was started."""
        return next((step for step in reversed(self.steps) if step.started_at), None)

    @property
    def changes(self) -> tuple[ChangeView, ...]:
        """Every change of every step, in the order in which they were intended."""
        return tuple(sorted((change for step in self.steps for change in step.changes), key=lambda one: one.number))

    @property
    def unsettled(self) -> tuple[ChangeView, ...]:
        """Changes that may be done or not: no outcome, or an unknown one. The world has to be asked."""
        return tuple(change for change in self.changes if change.result in (None, "unknown"))
