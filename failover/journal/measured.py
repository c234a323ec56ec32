"""How long things took, as the journal has it: the newest times of each kind of work, with the lines that say so."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from failover.model import Event, RunKind

KEPT = 10
"""Times of one kind of work that are remembered; older ones say little of what it takes now."""
_SUBJECTS = ("address", "ip", "unit", "path", "check", "file", "name")


class Key(NamedTuple):
    """A kind of work."""

    what: str
    """``step address_held``, ``address held`` (a verb and what it was to bring about), or ``restore``."""
    subject: str
    """The address, unit, path, check, file or database that it was about."""
    server: str


@dataclass(frozen=True, slots=True)
class Measure:
    """One time that it was done."""

    seconds: float
    at: datetime
    event: int
    """The number of the journal's line that says so."""
    run: int | None
    bytes: int | None = None
    """How much was moved, where it has a size."""
    backup: str | None = None
    """The backup that was restored."""


def subject_of(settings: Mapping[str, Any]) -> str:
    """What a step or a change is about."""
    return next((str(settings[name]) for name in _SUBJECTS if settings.get(name) is not None), "")


@dataclass(slots=True)
class _Run:
    moves: bool
    new: str
    steps: tuple[tuple[str, str], ...]
    at: int = 0
    changes: dict[int, tuple[str, str, str, int | None]] = field(default_factory=dict)
    took: dict[int, Measure] = field(default_factory=dict)
    spoiled: set[int] = field(default_factory=set)
    """Steps whose time isn't theirs: they waited for a person, or the daemon was started again meanwhile."""


class Measures:
    """A fold over a site's events. What it holds is replaced, never changed, so that any thread may read."""

    def __init__(self) -> None:
        self._found: dict[Key, tuple[Measure, ...]] = {}
        self._open: dict[int, _Run] = {}

    def of(self, what: str, subject: str, server: str | None = None) -> tuple[Measure, ...]:
        """The newest times of that work on a server, or on all of them, oldest first."""
        if server is not None:
            return self._found.get(Key(what, subject, server), ())
        found = [one for key, ones in list(self._found.items()) if key[:2] == (what, subject) for one in ones]
        return tuple(sorted(found, key=lambda one: one.event)[-KEPT:])

    def apply(self, event: Event) -> None:
        """Take one more event in; those that tell no time change nothing."""
        if event.kind == "database.restored":
            self._restored(event)
        elif event.kind == "run.opened" and event.run is not None:
            self._open[event.run] = _opened(event.data)
        elif event.run is not None and (run := self._open.get(event.run)) is not None:
            self._heard(event, run)

    def _heard(self, event: Event, run: _Run) -> None:
        data = event.data
        match event.kind:
            case "step.started":
                run.at = int(data["step"])
            case "step.done":
                number = int(data["step"])
                before = run.took[number].seconds if number in run.took else 0.0  # asked once more in its place
                seconds = before + float(data.get("seconds") or 0.0)
                run.took[number] = Measure(seconds, event.at, event.seq, event.run)
            case "run.waiting" | "run.resumed":
                run.spoiled.add(int(data.get("step") or run.at))
            case "change.intended":
                args = data.get("args") or {}
                what = f"{data['verb']} {args.get('want', '')}".strip()
                size = args.get("bytes")
                run.changes[int(data["change"])] = (
                    what, subject_of(args), str(data["server"]), int(size) if size is not None else None
                )  # fmt: skip
            case "change.outcome" if data["result"] == "ok" and int(data["change"]) in run.changes:
                what, subject, server, size = run.changes.pop(int(data["change"]))
                seconds = float(data.get("seconds") or 0.0)
                self._add(Key(what, subject, server), Measure(seconds, event.at, event.seq, event.run, size))
            case "run.ended":
                self._ended(run)
                del self._open[event.run or 0]

    def _ended(self, run: _Run) -> None:
        for number, measure in run.took.items():
            if run.moves and number not in run.spoiled and number <= len(run.steps):
                kind, subject = run.steps[number - 1]
                self._add(Key(f"step {kind}", subject, run.new), measure)

    def _restored(self, event: Event) -> None:
        data = event.data
        if data.get("seconds") is None:
            return
        size = data.get("bytes")
        measure = Measure(
            float(data["seconds"]), event.at, event.seq, event.run, int(size) if size is not None else None,
            str(data["backup"]),
        )  # fmt: skip
        self._add(Key("restore", str(data["role"]), str(data["server"])), measure)

    def _add(self, key: Key, measure: Measure) -> None:
        self._found[key] = (*self._found.get(key, ()), measure)[-KEPT:]


def _opened(data: Mapping[str, Any]) -> _Run:
    try:
        steps: Iterable[Mapping[str, Any]] = json.loads(str(data.get("plan_text") or "{}")).get("steps", ())
    except (ValueError, AttributeError):
        steps = ()  # written by hand, or by a version to come: its changes still count
    named = tuple((str(step.get("kind", "")), subject_of(step)) for step in steps)
    return _Run(RunKind(data["kind"]).moves, str(data.get("new") or ""), named)
