"""One run as its events tell it: what was planned, what was done, what people said, how it ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from failover.model import Event, RunKind, RunState, Token

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
    """A run, as of its newest event. ``view.apply(event)`` is the view one event later."""

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

    @classmethod
    def begin(cls, event: Event) -> RunView:
        """The view of a run at its ``run.opened``.

        Raises:
            ValueError: it is another event.
        """
        if event.kind != "run.opened" or event.run is None:
            raise ValueError(f"a run begins with run.opened, not with event {event.seq} ({event.kind})")
        data = event.data
        token = data.get("token")
        return cls(
            number=event.run,
            site=event.site,
            plan=data["plan"],
            kind=RunKind(data["kind"]),
            role=data.get("role"),
            old=data.get("old"),
            new=data.get("new"),
            mode=str(data.get("mode", "")),
            why=str(data.get("why", "")),
            by=event.by,
            forced=bool(data.get("forced", False)),
            token=Token(*token) if token else None,
            plan_text=str(data.get("plan_text", "")),
            plan_sha256=str(data.get("plan_sha256", "")),
            opened_at=event.at,
            steps=tuple(StepView(number, str(title)) for number, title in enumerate(data.get("steps", ()), start=1)),
            last=event.seq,
            opened=data,
        )

    def apply(self, event: Event) -> RunView:
        """The view after ``event``; the same when it isn't about this run."""
        if event.run != self.number or event.seq <= self.last:
            return self
        handler = _HANDLERS.get(event.kind)
        view = handler(self, event, event.data) if handler else self
        return replace(view, last=event.seq)

    def _with_step(self, number: int, **fields: Any) -> RunView:
        steps = list(self.steps)
        while len(steps) < number:
            steps.append(StepView(len(steps) + 1, ""))  # a plan that grew: believe the event
        steps[number - 1] = replace(steps[number - 1], **fields)
        return replace(self, steps=tuple(steps))


def run_view(events: Iterable[Event]) -> RunView | None:
    """The run that these events tell of, None when they open none: ``run_view(journal.events(run=7))``."""
    view: RunView | None = None
    for event in events:
        if view is None:
            view = RunView.begin(event) if event.kind == "run.opened" else None
        else:
            view = view.apply(event)
    return view


def _started(view: RunView, event: Event, data: Mapping[str, Any]) -> RunView:
    number = data["step"]
    known = view.steps[number - 1] if number <= len(view.steps) else None
    title = str(data.get("title") or (known.title if known else ""))
    began = (known.started_at if known else None) or event.at  # a resumed step began when it first did
    return replace(view._with_step(number, title=title, started_at=began, done_at=None), state=RunState.RUNNING)


def _done(view: RunView, event: Event, data: Mapping[str, Any]) -> RunView:
    notes = data.get("notes") or ()
    told = (notes,) if isinstance(notes, str) else tuple(map(str, notes))
    return view._with_step(data["step"], done_at=event.at, seconds=data.get("seconds"), notes=told)


def _intended(view: RunView, event: Event, data: Mapping[str, Any]) -> RunView:
    change = ChangeView(
        data["change"], data["step"], data["server"], data["verb"], data.get("args", {}), data.get("says", ""), event.at
    )
    before = view.steps[change.step - 1].changes if change.step <= len(view.steps) else ()
    return view._with_step(change.step, changes=(*before, change))


def _outcome(view: RunView, event: Event, data: Mapping[str, Any]) -> RunView:
    for step in view.steps:
        if any(change.number == data["change"] for change in step.changes):
            changes = tuple(
                replace(
                    change,
                    result=data["result"],
                    kind=data.get("kind"),
                    sentence=data.get("sentence") or "",
                    answer=data.get("answer"),
                    seconds=data.get("seconds"),
                )
                if change.number == data["change"]
                else change
                for change in step.changes
            )
            return view._with_step(step.number, changes=changes)
    return view


def _noted(view: RunView, event: Event, data: Mapping[str, Any]) -> RunView:
    return replace(view, notes=(*view.notes, str(data.get("text", ""))))


def _waiting(view: RunView, event: Event, data: Mapping[str, Any]) -> RunView:
    question = Question(data["step"], str(data["question"]), str(data.get("word", "")), event.at)
    return replace(view, state=RunState.WAITING, question=question)


def _word(view: RunView, event: Event, data: Mapping[str, Any]) -> RunView:
    word = WordView(data.get("step"), str(data["word"]), event.by, str(data.get("why", "")), event.at)
    view = replace(view, words=(*view.words, word))
    if view.question and view.question.word in ("", word.word):
        view = replace(view, state=RunState.RUNNING, question=None)
    return view


def _resumed(view: RunView, event: Event, data: Mapping[str, Any]) -> RunView:
    resumed = (*view.resumed, str(data.get("why", "")))
    return replace(view, state=RunState.RUNNING, question=None, ended_at=None, seconds=None, resumed=resumed)


def _ended(view: RunView, event: Event, data: Mapping[str, Any]) -> RunView:
    seconds = data.get("seconds")
    return replace(
        view,
        state=RunState(data["state"]),
        reason=str(data.get("reason") or ""),
        ended_at=event.at,
        seconds=seconds if seconds is not None else (event.at - view.opened_at).total_seconds(),
        question=None,
    )


_HANDLERS = {
    "step.started": _started,
    "step.done": _done,
    "change.intended": _intended,
    "change.outcome": _outcome,
    "run.noted": _noted,
    "run.waiting": _waiting,
    "run.word": _word,
    "run.resumed": _resumed,
    "run.ended": _ended,
}
RUN_KINDS = ("run.opened", *_HANDLERS)
