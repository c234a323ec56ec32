"""All that the journal says of one site now, kept up to date by reading on.

::

    view = SiteView("shop", homes={"web": "web"})
    view.catch_up(journal)          # before each decision: reads only what is new
    view.holders["web"], view.incidents.open, view.run, view.automation.on, view.maintenance.now(now)
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from failover.journal.database_view import DATABASE_KINDS, Databases
from failover.journal.incident_view import INCIDENT_KINDS, Incidents
from failover.journal.measured import Measures
from failover.journal.move_view import Moves
from failover.journal.queries import AutomationSwitch, Maintenance, Runs, Switch
from failover.journal.run_fold import RUN_KINDS
from failover.journal.run_view import RunView
from failover.model import Event


class Events(Protocol):
    """Where events come from: a :class:`~failover.journal.Journal`."""

    @property
    def head(self) -> tuple[int, str]:
        """See the journal."""
        ...

    def events(self, *, site: str | None, kinds: Iterable[str] | None, after: int) -> list[Event]:
        """See the journal."""
        ...


@dataclass(frozen=True, slots=True)
class Copy:
    """The newest verified copy of a role's content on a server."""

    role: str
    server: str
    source: str
    digest: str
    verified_at: datetime
    at: datetime


class SiteView:
    """All that the journal says of one site now."""

    def __init__(self, site: str, homes: Mapping[str, str], *, keep: int = 200) -> None:
        self.site = site
        self.homes = dict(homes)
        self.holders: dict[str, str] = dict(homes)
        """Who holds each role, as the journal has it; the world is asked elsewhere."""
        self.acknowledged: dict[str, Event] = {}
        """By plan, its newest ``plan.acknowledged``."""
        self.parked: dict[str, set[str]] = {}
        """By server, the addresses that are parked on it."""
        self.copies: dict[tuple[str, str], Copy] = {}
        self.databases = Databases()
        self.moves = Moves()
        self.measures = Measures()
        self.forecasts: dict[str, Event] = {}
        """By plan, its newest ``plan.forecast``."""
        self.incidents = Incidents(keep)
        self.runs = Runs(keep)
        self.maintenance = Maintenance()
        self._switch = AutomationSwitch()
        self.seen = 0
        """Every event up to this number was taken in, or is none of its business."""
        self._read_to = 0

    @property
    def automation(self) -> Switch:
        """The switch of all automation, as it holds for this site."""
        return self._switch.of(self.site)

    @property
    def run(self) -> RunView | None:
        """The run that is under way."""
        unfinished = self.runs.unfinished
        return unfinished[-1] if unfinished else None

    def catch_up(self, journal: Events) -> int:
        """Take in what is new; how many events that were."""
        head = journal.head[0]
        if head == self._read_to:
            return 0
        found = [journal.events(site=site, kinds=SITE_KINDS, after=self._read_to) for site in {"", self.site}]
        self._read_to = head
        count = 0
        for event in heapq.merge(*found, key=lambda event: event.seq):
            self.apply(event)
            count += 1
        self.seen = max(self.seen, head)
        return count

    def apply(self, event: Event) -> None:
        """Take one more event in; those of other sites and those seen before change nothing."""
        if event.seq <= self.seen:
            return
        if event.site in ("", self.site):
            self._take(event)
        self.seen = event.seq

    def _take(self, event: Event) -> None:
        for part in (
            self.incidents,
            self.runs,
            self.maintenance,
            self._switch,
            self.databases,
            self.measures,
            self.moves,
        ):
            part.apply(event)
        if handler := _HANDLERS.get(event.kind):
            handler(self, event)


def _moved(view: SiteView, event: Event) -> None:
    view.holders[event.data["role"]] = event.data["to"]
    view.parked.pop(event.data["to"], None)


def _acknowledged(view: SiteView, event: Event) -> None:
    view.acknowledged[event.data["plan"]] = event


def _foretold(view: SiteView, event: Event) -> None:
    view.forecasts[event.data["plan"]] = event


def _parked(view: SiteView, event: Event) -> None:
    view.parked.setdefault(event.data["server"], set()).add(event.data.get("address") or event.data["unit"])


def _copied(view: SiteView, event: Event) -> None:
    data = event.data
    verified = datetime.fromisoformat(data["verified_at"]) if isinstance(data.get("verified_at"), str) else event.at
    copy = Copy(data["role"], data["server"], str(data.get("source", "")), str(data["digest"]), verified, event.at)
    view.copies[copy.role, copy.server] = copy


_HANDLERS: dict[str, Callable[[SiteView, Event], None]] = {
    "role.moved": _moved,
    "plan.acknowledged": _acknowledged,
    "server.parked": _parked,
    "content.copied": _copied,
    "plan.forecast": _foretold,
}
SITE_KINDS = (
    *_HANDLERS,
    *RUN_KINDS,
    *INCIDENT_KINDS,
    *DATABASE_KINDS,
    "move.committed",
    "automation.switched",
    "maintenance.begun",
    "maintenance.ended",
)
