"""How long a plan would take now and how much would be lost, from what was measured; every part names its source.

Pure: it is given what the steps say of their work, the times in the journal, and ``now``.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from failover.journal.measured import Measure, Measures
from failover.recover.work import Basis, Like, Told, Waits, Work

SLOWEST_BYTES_PER_SECOND = 20e6
"""Assumed of whatever moves data, before it was ever measured; a restore of PostgreSQL runs at about 50 MB/s."""
WORSE = 10.0
"""How much longer than assumed it may take, where neither a time nor a bound is known."""
_NEWS_RATIO, _NEWS_SECONDS = 0.25, 0.25
"""A forecast that moved by less is none: times of a few milliseconds are never the same."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a number comes from."""

    kind: Literal["journal", "asked", "config", "assumed"]
    text: str
    event: int | None = None
    """The number of the journal's line."""
    run: int | None = None

    @classmethod
    def of(cls, measure: Measure) -> Source:
        """A time in the journal."""
        where = f"run {measure.run}, event {measure.event}" if measure.run else f"event {measure.event}"
        return cls("journal", where, measure.event, measure.run)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the time."""

    name: str
    step: int
    """From 1; 0 for what comes before the run."""
    seconds: float
    """As it usually is: the median of what was measured."""
    worst_seconds: float
    sources: tuple[Source, ...]
    ahead: bool | None = None
    """Whether the long part of it was done ahead of time; None where it has none."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """A plan's recovery as it would go now."""

    at: datetime
    parts: tuple[Part, ...]
    bases: tuple[Basis, ...] = ()
    waits: tuple[str, ...] = ()
    """What a person has to do in between; its time is in no number."""

    @property
    def rto_seconds(self) -> float:
        """From the failure to the first good answer."""
        return sum(part.seconds for part in self.parts)

    @property
    def rto_worst_seconds(self) -> float:
        """With the longest of every part."""
        return sum(part.worst_seconds for part in self.parts)

    def rpo_seconds(self, now: datetime | None = None) -> float:
        """How much of what was written would be lost, were the failure now."""
        held = [one.as_of for one in self.bases if one.as_of is not None]
        return max((_age(moment, now or self.at) for moment in held), default=0.0)

    def rpo_worst_seconds(self, now: datetime | None = None) -> float:
        """The same where what is counted on, as the source of a copy, falls away too."""
        return max((_age(one.worst_as_of, now or self.at) for one in self.bases), default=0.0)

    def same_as(self, other: Forecast) -> bool:
        """Whether nothing new is to be said: the same parts, ahead or not, of about the same length."""
        mine, theirs = (
            ([(part.name, part.ahead) for part in one.parts], one.waits, [basis.what for basis in one.bases])
            for one in (self, other)
        )
        moved = abs(self.rto_seconds - other.rto_seconds)
        return mine == theirs and moved <= max(_NEWS_SECONDS, _NEWS_RATIO * other.rto_seconds)


def detection(
    check: str, *, every: float, confirm_every: float, timeout: float, fall: int, usual_seconds: float
) -> Part:
    """From a failure to the verdict ``down``, by a check's schedule and thresholds; spans in seconds.

    Usually it falls in the middle between two looks, and a failed look takes as long as a good one. At worst a look has
    just begun, and every look after it takes all of its time.
    """
    confirming = (fall - 1) * min(every, confirm_every)
    seconds = every / 2 + fall * min(usual_seconds, timeout) + confirming
    worst = every + fall * timeout + confirming
    source = Source("config", f"checks.{check}: every {every:g} s, {fall} looks, timeout {timeout:g} s")
    return Part(f"detection by {check}", 0, seconds, max(seconds, worst), (source,))


def forecast(
    told: Iterable[tuple[int, Sequence[Told]]], before: Part | None, measures: Measures, now: datetime
) -> Forecast:
    """The forecast of a plan whose steps, by their numbers, said this of their work.

    Args:
        told: what each step says, as :meth:`failover.recover.step.Step.work` gives it.
        before: the time until the run begins, or None where a person begins it.
        measures: the times in the journal.
        now: the moment of it.
    """
    parts = [before] if before is not None else []
    bases: list[Basis] = []
    waits: list[str] = []
    for step, entries in told:
        for entry in entries:
            match entry:
                case Work():
                    parts.append(_part(step, entry, measures))
                case Basis():
                    bases.append(entry)
                case Waits():
                    waits.append(entry.text)
    return Forecast(now, tuple(parts), tuple(bases), tuple(dict.fromkeys(waits)))


def _part(step: int, work: Work, measures: Measures) -> Part:
    seconds, worst, sources = _times(work, measures)
    if work.otherwise is not None:
        _, otherwise, more = _times(work.otherwise, measures)
        worst, sources = max(worst, otherwise), (*sources, *more)
    return Part(work.name, step, seconds, max(worst, seconds), sources, work.ahead)


def _times(work: Work, measures: Measures) -> tuple[float, float, tuple[Source, ...]]:
    if work.asked_seconds is not None:
        return work.asked_seconds, work.most_seconds or work.asked_seconds, (Source("asked", "asked a moment ago"),)
    if known := _measured(work.like, measures):
        times = [_scaled(work, one) for one in known]
        return statistics.median(times), max(times), tuple(map(Source.of, known))
    seconds = work.assumed_seconds
    how = "assumed"
    if work.bytes is not None:
        seconds += work.bytes / SLOWEST_BYTES_PER_SECOND
        how = f"assumed, at {SLOWEST_BYTES_PER_SECOND / 1e6:g} MB/s"
    worst = work.most_seconds if work.most_seconds is not None else seconds * WORSE
    return seconds, max(seconds, worst), (Source("assumed", how),)


def _measured(like: Iterable[Like], measures: Measures) -> tuple[Measure, ...]:
    return next((found for one in like if (found := measures.of(one.what, one.subject, one.server))), ())


def _scaled(work: Work, measure: Measure) -> float:
    """Twice as much takes twice as long, by the measured seconds per byte; where either size isn't known, as long."""
    size = work.sizes.get(measure.backup, 0) if measure.backup is not None else measure.bytes
    if work.bytes is None or not size:
        return measure.seconds
    return measure.seconds * work.bytes / size


def _age(moment: datetime, now: datetime) -> float:
    return max(0.0, (now - moment).total_seconds())


# beside what came -----------------------------------------------------------------------------------------------------


DETECTION, TOGETHER = "detection", "what was measured, together"


@dataclass(frozen=True, slots=True)
class Beside:
    """What was foretold of one part, beside what was measured."""

    name: str
    predicted_seconds: float | None
    measured_seconds: float | None


def event_data(plan: str, found: Forecast, *, stands: str, problems: Sequence[str], since: datetime) -> dict[str, Any]:
    """The data of ``plan.forecast``: what a later run is put beside."""
    return {
        "plan": plan,
        "ready": stands,
        "problems": list(problems),
        "since": since.isoformat(),
        "rto_seconds": round(found.rto_seconds, 4),
        "rto_worst_seconds": round(found.rto_worst_seconds, 4),
        "rpo_seconds": round(found.rpo_seconds(), 3),
        "rpo_worst_seconds": round(found.rpo_worst_seconds(), 3),
        "parts": {_label(part): round(part.seconds, 4) for part in found.parts},
        "steps": {_label(part): part.step for part in found.parts},
        "as_of": {basis.what: basis.as_of.isoformat() for basis in found.bases if basis.as_of is not None},
        "waits": list(found.waits),
    }


def _label(part: Part) -> str:
    return f"{part.step}. {part.name}" if part.step else part.name


def beside(data: Mapping[str, Any], titles: Sequence[str], measured: Mapping[int, float]) -> list[Beside]:
    """The forecast that held when a run began, part by part beside the run's own times, and in the end their sums.

    Args:
        data: of the newest ``plan.forecast`` before the run.
        titles: of the run's steps, in their order.
        measured: seconds by the step's number, of those that were done; by 0 from the first failed look to the run.
    """
    steps: Mapping[str, int] = data.get("steps") or {}
    predicted: dict[int, float] = {}
    for name, seconds in (data.get("parts") or {}).items():
        number = int(steps.get(name, 0))
        predicted[number] = predicted.get(number, 0.0) + float(seconds)
    rows = [
        Beside(f"{number}. {title}" if number else title, predicted.get(number), measured.get(number))
        for number, title in enumerate((DETECTION, *titles))
        if number or 0 in predicted
    ]
    both = [number for number in predicted if number in measured]
    total = Beside(TOGETHER, sum(predicted[n] for n in both), sum(measured[n] for n in both))
    return [*rows, total] if both else rows
