"""How a run's view goes from one event to the next: one small function for each kind of event."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from failover.journal.run_view import ChangeView, Question, RunView, StepView, WordView
from failover.model import Event, RunKind, RunState, Token


def begin(event: Event) -> RunView:
    """The view of a run at its ``run.opened``.

    Raises:
        ValueError: it is another event.
    """
    if event.kind != "run.opened" or event.run is None:
        raise ValueError(f"a run begins with run.opened, not with event {event.seq} ({event.kind})")
    data = event.data
    token = data.get("token")
    return RunView(
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


def apply(view: RunView, event: Event) -> RunView:
    """The view after ``event``; the same when it isn't about this run, or was taken in already."""
    if event.run != view.number or event.seq <= view.last:
        return view
    handler = HANDLERS.get(event.kind)
    return replace(handler(view, event) if handler else view, last=event.seq)


def run_view(events: Iterable[Event]) -> RunView | None:
    """The run that these events tell of, None when they open none: ``run_view(journal.events(run=7))``."""
    view: RunView | None = None
    for event in events:
        if view is not None:
            view = apply(view, event)
        elif event.kind == "run.opened":
            view = begin(event)
    return view


def _with_step(view: RunView, number: int, **fields: Any) -> RunView:
    steps = list(view.steps)
    while len(steps) < number:
        steps.append(StepView(len(steps) + 1, ""))  # a plan that grew: believe the event
    steps[number - 1] = replace(steps[number - 1], **fields)
    return replace(view, steps=tuple(steps))


def _started(view: RunView, event: Event) -> RunView:
    data = event.data
    number = data["step"]
    known = view.steps[number - 1] if number <= len(view.steps) else None
    title = str(data.get("title") or (known.title if known else ""))
    began = (known.started_at if known else None) or event.at  # a resumed step began when it first did
    return replace(_with_step(view, number, title=title, started_at=began, done_at=None), state=RunState.RUNNING)


def _done(view: RunView, event: Event) -> RunView:
    data = event.data
    notes = data.get("notes") or ()
    told = (notes,) if isinstance(notes, str) else tuple(map(str, notes))
    return _with_step(view, data["step"], done_at=event.at, seconds=data.get("seconds"), notes=told)


def _intended(view: RunView, event: Event) -> RunView:
    data = event.data
    change = ChangeView(
        data["change"], data["step"], data["server"], data["verb"], data.get("args", {}), data.get("says", ""), event.at
    )
    before = view.steps[change.step - 1].changes if change.step <= len(view.steps) else ()
    return _with_step(view, change.step, changes=(*before, change))


def _outcome(view: RunView, event: Event) -> RunView:
    data = event.data
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
            return _with_step(view, step.number, changes=changes)
    return view


def _noted(view: RunView, event: Event) -> RunView:
    return replace(view, notes=(*view.notes, str(event.data.get("text", ""))))


def _waiting(view: RunView, event: Event) -> RunView:
    data = event.data
    question = Question(data["step"], str(data["question"]), str(data.get("word", "")), event.at)
    return replace(view, state=RunState.WAITING, question=question)


def _word(view: RunView, event: Event) -> RunView:
    data = event.data
    word = WordView(data.get("step"), str(data["word"]), event.by, str(data.get("why", "")), event.at)
    view = replace(view, words=(*view.words, word))
    if view.question and view.question.word in ("", word.word):
        view = replace(view, state=RunState.RUNNING, question=None)
    return view


def _resumed(view: RunView, event: Event) -> RunView:
    resumed = (*view.resumed, str(event.data.get("why", "")))
    return replace(
        view, state=RunState.RUNNING, question=None, ended_at=None, healed=False, seconds=None, resumed=resumed
    )


def _ended(view: RunView, event: Event) -> RunView:
    data = event.data
    seconds = data.get("seconds")
    return replace(
        view,
        state=RunState(data["state"]),
        reason=str(data.get("reason") or ""),
        ended_at=event.at,
        healed=bool(data.get("healed", False)),
        seconds=seconds if seconds is not None else (event.at - view.opened_at).total_seconds(),
        question=None,
    )


HANDLERS = {
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
RUN_KINDS = ("run.opened", *HANDLERS)
