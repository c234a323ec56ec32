"""Opens, changes and closes incidents by the table of :mod:`failover.decide.incident`, and writes every edge down."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from failover.decide.incident import Event, State, step
from failover.errors import JournalError
from failover.journal.incident_view import IncidentView
from failover.journal.journal import Journal
from failover.monitor.scribe import Scribe
from failover.notify.base import Severity

log = logging.getLogger(__name__)


class Book:
    """The open incidents of a site. Lives on the loop; its state is its own, so that a slow disk delays no page."""

    def __init__(self, journal: Journal, scribe: Scribe, known: Iterable[IncidentView], settle_seconds: float) -> None:
        self._journal = journal
        self._scribe = scribe
        self._settle = timedelta(seconds=settle_seconds)
        self._open: dict[str, _Open] = {}
        for view in known:
            if view.state in State._value2member_map_:
                self._open[view.about] = _Open(view.number, State(view.state), view.severity, view.changed_at)

    @property
    def abouts(self) -> frozenset[str]:
        """What the open incidents are about."""
        return frozenset(self._open)

    def state(self, about: str) -> State | None:
        """The state of the open incident about something, or None."""
        found = self._open.get(about)
        return found.state if found else None

    def failed(self, about: str, severity: str, reason: str, now: datetime) -> None:
        """It is down: a new incident, unless one is open."""
        if (found := self._open.get(about)) is not None:
            again = found.state in (State.QUIET, State.RECOVERED)
            worse = Severity(severity).rank < Severity(found.severity).rank
            if again or worse:
                found.severity = severity
            self.happened(about, Event.FAILED, reason, now)
            if worse and not again:
                self._write("incident.changed", about, reason)
            return
        self._open[about] = _Open(0, State.OPENED, severity, now)
        self._write("incident.opened", about, reason)

    def happened(self, about: str, event: Event, reason: str, now: datetime, *, by: str = "daemon") -> None:
        """Something happened to it; what means nothing in its state changes nothing."""
        found = self._open.get(about)
        if found is None:
            return
        edge = step(found.state, event)
        if edge is None or (edge.to is found.state and event in (Event.FAILED, Event.HEALED)):
            return
        found.state, found.changed = edge.to, now
        said = f"{edge.sentence}: {reason}" if reason else edge.sentence
        if edge.to is State.CLOSED:
            self._write("incident.closed", about, said, by)
            del self._open[about]
        else:
            self._write("incident.changed", about, said, by)

    def settle(self, now: datetime) -> None:
        """Close what has kept quiet for long enough."""
        for about, found in list(self._open.items()):
            if found.state is State.QUIET and now - found.changed >= self._settle:
                self.happened(about, Event.SETTLED, "", now)

    def _write(self, kind: str, about: str, reason: str, by: str = "daemon") -> None:
        found = self._open[about]
        data = {"about": about, "state": str(found.state), "severity": found.severity, "reason": reason}
        self._scribe.write(kind, lambda: {"incident": self._number(found), **data}, by=by)

    def _number(self, found: _Open) -> int:
        """In the scribe's thread, since it takes the disk; 0 where that takes nothing any more."""
        if found.number == 0:
            try:
                found.number = self._journal.next_incident()
            except JournalError as error:
                log.error("no number for an incident: %s", error)
        return found.number


class _Open:
    __slots__ = ("changed", "number", "severity", "state")

    def __init__(self, number: int, state: State, severity: str, changed: datetime) -> None:
        self.number, self.state, self.severity, self.changed = number, state, severity, changed
