"""One run's part of the journal: what is about to happen is written before, what came of it after."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from failover.errors import NeedsPerson, NotFound
from failover.journal import Journal
from failover.journal.queries import RunView
from failover.journal.run_fold import apply, begin, run_view
from failover.model import Event, RunState, Token
from failover.recover.outcome import Made, Outcome
from failover.recover.scene import Word
from failover.recover.step import Change

DONE_BY_HAND = "done"
"""A person's word that a step was done by hand is ``done:STEP``."""


class RunJournal:
    """Writes one run, and answers from what was written: :attr:`view` is always what the journal says.

    Thread-safe, for a person's word comes from another thread. Every method that writes raises ``JournalUnwritable``
    when it isn't durable, and then what it announces must not happen.
    """

    def __init__(self, journal: Journal, view: RunView, by: str) -> None:
        self._journal = journal
        self._view = view
        self._by = by
        self._lock = threading.Lock()

    @classmethod
    def open(cls, journal: Journal, site: str, number: int, by: str, opened: dict[str, Any]) -> RunJournal:
        """Begin a run: its plan, kind, servers, cause and token are durable when this returns."""
        event = journal.append("run.opened", site=site, run=number, by=by, data=opened)
        return cls(journal, begin(event), by)

    @classmethod
    def load(cls, journal: Journal, number: int, by: str) -> RunJournal:
        """Take up a run that was begun before.

        Raises:
            NotFound: there is none of that number.
        """
        view = run_view(journal.events(run=number))
        if view is None:
            raise NotFound(f"there is no run {number}")
        return cls(journal, view, by)

    @property
    def view(self) -> RunView:
        """The run as of now."""
        return self._view

    @property
    def number(self) -> int:
        """The run's number."""
        return self._view.number

    def _append(self, kind: str, data: dict[str, Any], by: str | None = None) -> Event:
        with self._lock:
            event = self._journal.append(
                kind, site=self._view.site, run=self._view.number, by=by or self._by, data=data
            )
            self._view = apply(self._view, event)
        return event

    # the steps -------------------------------------------------------------------------------------------------

    def step_started(self, step: int, title: str) -> None:
        """The step is about to be looked at."""
        self._append("step.started", {"step": step, "title": title})

    def step_done(self, step: int, seconds: float, notes: Sequence[str]) -> None:
        """Nothing is left to do in the step."""
        self._append("step.done", {"step": step, "seconds": round(seconds, 4), "notes": list(notes)})

    def intends(self, step: int, change: Change) -> int:
        """The change is about to be made; its number."""
        number = len(self._view.changes) + 1
        self._append(
            "change.intended",
            {
                "step": step,
                "change": number,
                "server": change.server,
                "verb": change.verb,
                "args": dict(change.args),
                "says": change.says,
                "within_seconds": change.within_seconds,
            },
        )
        return number

    def outcome(self, step: int, number: int, outcome: Outcome, seconds: float) -> None:
        """What came of it."""
        self._append(
            "change.outcome",
            {
                "step": step,
                "change": number,
                "result": outcome.result,
                "kind": outcome.kind,
                "sentence": outcome.sentence,
                "answer": dict(outcome.answer),
                "seconds": round(seconds, 4),
            },
        )

    # the run ---------------------------------------------------------------------------------------------------

    def noted(self, text: str) -> bool:
        """Says something once; whether it's new."""
        if text in self._view.notes:
            return False
        self._append("run.noted", {"text": text})
        return True

    def waiting(self, step: int, need: NeedsPerson) -> bool:
        """The run waits for a person; whether that is new (the question's details may change while it waits)."""
        asked = self._view.question
        if self._view.state is RunState.WAITING and asked and (asked.step, asked.word) == (step, need.word):
            return False
        self._append("run.waiting", {"step": step, "question": need.question, "word": need.word})
        return True

    def resumed(self, why: str, by: str | None = None, token: Token | None = None) -> None:
        """The run goes on."""
        self._append("run.resumed", {"why": why, **({"token": list(token)} if token else {})}, by)

    def word(self, word: str, by: str, why: str, step: int | None = None) -> None:
        """A person said something."""
        self._append("run.word", {"word": word, "why": why, "step": step}, by)

    def moved(self, role: str, old: str, new: str, commit_within_seconds: float) -> None:
        """The role has another holder; written once, however often the run is resumed."""
        if not self._journal.events(run=self.number, kinds=["role.moved"], limit=1):
            moved = {"role": role, "from": old, "to": new, "commit_within_seconds": commit_within_seconds}
            self._append("role.moved", moved)

    def news(self, kind: str, data: dict[str, Any]) -> None:
        """An event of its own that tells others what a change brought about."""
        self._append(kind, data)

    def ended(self, state: RunState, reason: str, seconds: float, *, settled: bool, healed: bool = False) -> None:
        """Nothing more will happen by itself. ``settled``: the world is as the stored map of roles says.

        ``healed``: the failure was gone before anything was done about it.
        """
        data = {"state": str(state), "reason": reason, "seconds": round(seconds, 4), "settled": settled}
        self._append("run.ended", {**data, "healed": True} if healed else data)

    # what was written ------------------------------------------------------------------------------------------

    def made(self, server: str, verb: str) -> list[Made]:
        """See :attr:`failover.recover.scene.Scene.made`."""
        return [made for made in self.all_made() if made.server == server and made.verb == verb]

    def all_made(self) -> list[Made]:
        """Every change that the run made or tried, oldest first."""
        return [
            Made(
                change.step, change.server, change.verb, change.args, change.says,
                Outcome(change.result or "unknown", change.kind or "", change.sentence, change.answer or {}),  # type: ignore[arg-type] # as it was written
                change.intended_at, change.number,
            )
            for change in self._view.changes
        ]  # fmt: skip

    def told(self, kind: str) -> list[Mapping[str, Any]]:
        """See :attr:`failover.recover.scene.Scene.told`."""
        return [event.data for event in self._journal.events(run=self.number, kinds=[kind])]

    def said(self, word: str) -> Word | None:
        """The newest such word of a person."""
        found = [said for said in self._view.words if said.word == word]
        return Word(word, found[-1].by, found[-1].why, found[-1].at) if found else None

    def done_by_hand(self, step: int) -> bool:
        """Whether a person called the step done."""
        return self.said(f"{DONE_BY_HAND}:{step}") is not None
