"""The nouns that every part shares. Small, frozen, without I/O: the glossary as types.

Times are aware UTC. Spans are seconds as floats and say so in their names. Nothing here knows how a thing is done.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SPAN = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def parse_span(text: object) -> float:
    """Seconds of a span as people write it: ``200ms``, ``10s``, ``5m``, ``1h30m``, ``7d``.

    Raises:
        ValueError: for anything else, a bare number among it, since nobody could tell its unit.
    """
    if isinstance(text, str) and _SPAN.fullmatch(text):
        return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    raise ValueError(f"{text!r} is not a span of time; write it with a unit, as 200ms, 10s, 5m, 26h or 7d")


def format_span(seconds: float) -> str:
    """A span as people read it: ``7 h 14 min``, ``2 min 5 s``, ``3.26 s``, ``31 ms``."""
    if seconds < 0:
        return "-" + format_span(-seconds)
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (whole % 60, "s")]
    while parts[0][0] == 0:
        parts.pop(0)
    return " ".join(f"{number} {unit}" for number, unit in parts[:2] if number)


def compact_span(seconds: float) -> str:
    """A span as the config writes it, so that it can be read back by :func:`parse_span`."""
    if seconds < 1:
        return f"{seconds * 1000:g}ms"
    for unit in ("d", "h", "m"):
        if seconds % _UNITS[unit] == 0:
            return f"{seconds / _UNITS[unit]:g}{unit}"
    return f"{seconds:g}s"


Span = Annotated[
    float,
    BeforeValidator(lambda value: value if isinstance(value, float) else parse_span(value)),
    PlainSerializer(compact_span, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": f"^{_SPAN.pattern}$", "examples": ["200ms", "10s", "5m", "26h"]}),
]
"""Seconds in Python, ``10s`` in YAML."""


def utc_now() -> datetime:
    """The wall clock, aware. Deciding code never calls it: it is given ``now``."""
    return datetime.now(UTC)


class State(StrEnum):
    """What one look at something said."""

    UP = "up"
    DOWN = "down"
    UNKNOWN = "unknown"
    """The probe can't tell; never evidence for or against."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One result of a check."""

    check: str
    state: State
    reason: str
    at: datetime
    seconds: float = 0.0
    """How long the look took."""
    phases: Mapping[str, float] = field(default_factory=dict)
    """Seconds by phase: ``resolve connect tls processing transfer``."""
    values: Mapping[str, float] = field(default_factory=dict)
    """What else was measured, by metric name, as ``http_status_code`` or ``ssl_earliest_cert_expiry``."""


class Standing(StrEnum):
    """What the readings of a check amount to."""

    UP = "up"
    SUSPECT = "suspect"
    """Failing, not yet often enough; quick looks confirm it or don't."""
    DOWN = "down"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A check's standing, since when, and why in words."""

    check: str
    standing: Standing
    reason: str
    since: datetime
    last: datetime
    """When the newest reading behind it was taken."""
    flapping: bool = False


class Mode(StrEnum):
    """How far a plan may go by itself."""

    OFF = "off"
    PROPOSE = "propose"
    AUTO = "auto"


class RunKind(StrEnum):
    """What a run is for."""

    RECOVER = "recover"
    """A failure: the holder is down."""
    SWITCH = "switch"
    """Planned, both sides healthy; failback too."""
    ROLLBACK = "rollback"
    """A move taken back before it was committed, also where its new holder is sick."""
    KEEP = "keep"
    """Small repairs that keep the world as the journal says: an address lost by a reboot, a returned server parked."""
    AHEAD = "ahead"
    """Ahead of time: content copied to the standby. Gives way to every other kind."""

    @property
    def moves(self) -> bool:
        """Whether a run of this kind moves a role from one server to another."""
        return self in (RunKind.RECOVER, RunKind.SWITCH, RunKind.ROLLBACK)


class RunState(StrEnum):
    """Where a run is in its life."""

    RUNNING = "running"
    WAITING = "waiting"
    """For a person's word."""
    DONE = "done"
    UNDONE = "undone"
    """Given up, and every change taken back."""
    STOPPED = "stopped"
    """Given up where undoing isn't safe: the reason says the exact state. People must act: resume, abort, mark-done."""
    ABORTED = "aborted"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self not in (RunState.RUNNING, RunState.WAITING)


class Token(NamedTuple):
    """A run's place in time: a helper refuses every token older than the newest it has seen (I3)."""

    epoch: int
    """Grows with every start of a daemon."""
    run: int


@dataclass(frozen=True, slots=True)
class Cause:
    """Who or what caused an act, written before it (I18)."""

    by: str
    """``daemon``, or a person: ``lin (uid 1000)``, ``api:lin``."""
    why: str


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the journal. ``hash`` is over everything else here, ``prev`` being the hash of the line before."""

    seq: int
    at: datetime
    kind: str
    site: str
    run: int | None
    by: str
    data: Mapping[str, Any]
    prev: str
    hash: str
