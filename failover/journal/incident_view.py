"""Incidents as their events tell them, from opened to closed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from failover.model import Event

INCIDENT_KINDS = ("incident.opened", "incident.changed", "incident.closed")
CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class IncidentLine:
    """One thing that happened to an incident."""

    at: datetime
    state: str
    severity: str
    reason: str
    by: str


@dataclass(frozen=True, slots=True)
class IncidentView:
    """An incident as of its newest event."""

    number: int
    site: str
    about: str
    state: str
    severity: str
    reason: str
    opened_at: datetime
    changed_at: datetime
    lines: tuple[IncidentLine, ...]
    closed_at: datetime | None = None

    @property
    def open(self) -> bool:
        """Whether people still have something to do or to see."""
        return self.closed_at is None


class Incidents:
    """Every open incident, and the newest ``keep`` closed ones, by number."""

    def __init__(self, keep: int = 200) -> None:
        self.by_number: dict[int, IncidentView] = {}
        self._keep = keep

    @property
    def open(self) -> tuple[IncidentView, ...]:
        """Oldest first."""
        return tuple(view for view in self.by_number.values() if view.open)

    def about(self, about: str) -> IncidentView | None:
        """The open incident about a check, plan or server."""
        return next((view for view in reversed(self.by_number.values()) if view.open and view.about == about), None)

    def apply(self, event: Event) -> None:
        """Take one more event in; those of other kinds change nothing."""
        if event.kind not in INCIDENT_KINDS:
            return
        data, number = event.data, event.data["incident"]
        known = self.by_number.get(number)
        closes = event.kind == "incident.closed"
        state = CLOSED if closes else str(data.get("state", known.state if known else "opened"))
        severity = str(data.get("severity", known.severity if known else "warning"))
        line = IncidentLine(event.at, state, severity, str(data.get("reason", "")), event.by)
        if known is None:
            about = str(data.get("about", ""))
            known = IncidentView(number, event.site, about, state, severity, line.reason, event.at, event.at, ())
        self.by_number[number] = replace(
            known,
            state=state,
            severity=severity,
            reason=line.reason or known.reason,
            changed_at=event.at,
            closed_at=event.at if closes else None,
            lines=(*known.lines, line),
        )
        if closes:
            self._forget()

    def _forget(self) -> None:
        closed = [number for number, view in self.by_number.items() if not view.open]
        for number in closed[: max(0, len(closed) - self._keep)]:
            del self.by_number[number]


def incidents(events: Iterable[Event]) -> tuple[IncidentView, ...]:
    """Every incident in these events, oldest first."""
    found = Incidents(keep=2**31)
    for event in events:
        found.apply(event)
    return tuple(found.by_number.values())
