"""Folds over events: what the journal's lines amount to now. Pure; each is fed events in the order of their numbers.

:class:`SiteView` holds them all for one site and keeps itself up to date::

    view = SiteView("shop", homes={"web": "web"})
    view.catch_up(journal)          # before each decision: reads only what is new
    view.holders["web"], view.incidents.open, view.run, view.automation.on, view.maintenance.now(now)
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from failover.journal.incident_view import INCIDENT_KINDS, Incidents, IncidentView, incidents
from failover.journal.run_view import RUN_KINDS, ChangeView, Question, RunView, StepView, WordView, run_view
from failover.model import Event

__all__ = [
    "AutomationSwitch",
    "ChangeView",
    "Copy",
    "IncidentView",
    "Incidents",
    "Maintenance",
    "Question",
    "RunView",
    "Runs",
    "SiteView",
    "StepView",
    "Switch",
    "Window",
    "WordView",
    "acknowledged",
    "automation",
    "cooldown_until",
    "holders",
    "incidents",
    "maintenance",
    "run_view",
    "runs",
]


class Events(Protocol):
    """Where events come from: a :class:`~failover.journal.Journal`."""

    def events(self, *, site: str | None, kinds: Iterable[str] | None, after: int) -> list[Event]:
        """See the journal."""
        ...


@dataclass(frozen=True, slots=True)
class Switch:
    """The switch of all automation."""

    on: bool = True
    by: str = ""
    why: str = ""
    at: datetime | None = None


class AutomationSwitch:
    """On unless it was switched off for everything (site ``""``) or for the site."""

    def __init__(self) -> None:
        self._by_site: dict[str, Switch] = {}

    def apply(self, event: Event) -> None:
        """Take one more event in."""
        if event.kind == "automation.switched":
            self._by_site[event.site] = Switch(
                bool(event.data["on"]), event.by, str(event.data.get("why", "")), event.at
            )

    def of(self, site: str) -> Switch:
        """The switch as it holds for a site."""
        switches = [self._by_site[name] for name in ("", site) if name in self._by_site]
        return next((switch for switch in switches if not switch.on), switches[-1] if switches else Switch())


@dataclass(frozen=True, slots=True)
class Window:
    """A maintenance window; it ends by itself at ``until``."""

    about: str
    until: datetime
    why: str
    by: str
    begun_at: datetime


class Maintenance:
    """The windows of a site, by what they are about."""

    def __init__(self) -> None:
        self._windows: dict[str, Window] = {}

    def apply(self, event: Event) -> None:
        """Take one more event in."""
        if event.kind == "maintenance.begun":
            about, until = str(event.data["about"]), datetime.fromisoformat(event.data["until"])
            self._windows[about] = Window(about, until, str(event.data.get("why", "")), event.by, event.at)
        elif event.kind == "maintenance.ended":
            self._windows.pop(str(event.data["about"]), None)

    def now(self, now: datetime) -> tuple[Window, ...]:
        """Those that haven't ended."""
        return tuple(window for window in self._windows.values() if window.until > now)

    def over(self, now: datetime) -> tuple[Window, ...]:
        """Those that ended by themselves and of which the journal doesn't say so yet (``maintenance.ended``)."""
        return tuple(window for window in self._windows.values() if window.until <= now)


class Runs:
    """Every run that hasn't ended, and the newest ``keep`` that have, by number."""

    def __init__(self, keep: int = 200) -> None:
        self.by_number: dict[int, RunView] = {}
        self.last_of_plan: dict[str, RunView] = {}
        self.last_automatic: dict[str, RunView] = {}
        """By plan, the newest run that the daemon began by itself to recover."""
        self._keep = keep

    @property
    def unfinished(self) -> tuple[RunView, ...]:
        """Oldest first. More than one only after a crash."""
        return tuple(view for view in self.by_number.values() if not view.state.ended)

    def apply(self, event: Event) -> None:
        """Take one more event in."""
        if event.run is None:
            return
        known = self.by_number.get(event.run)
        if event.kind == "run.opened":
            view = RunView.begin(event)
        elif known is not None:
            view = known.apply(event)
        else:
            return
        self.by_number[view.number] = view
        if event.kind == "run.opened" or self.last_of_plan.get(view.plan) is known:
            self.last_of_plan[view.plan] = view
        if view.automatic and (event.kind == "run.opened" or self.last_automatic.get(view.plan) is known):
            self.last_automatic[view.plan] = view
        if view.state.ended:
            ended = [number for number, view in self.by_number.items() if view.state.ended]
            for number in ended[: max(0, len(ended) - self._keep)]:
                del self.by_number[number]


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
        self.incidents = Incidents(keep)
        self.runs = Runs(keep)
        self.maintenance = Maintenance()
        self._switch = AutomationSwitch()
        self.seen = 0
        """The number of the newest event that was taken in."""

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
        found = [journal.events(site=site, kinds=SITE_KINDS, after=self.seen) for site in {"", self.site}]
        count = 0
        for event in heapq.merge(*found, key=lambda event: event.seq):
            self.apply(event)
            count += 1
        return count

    def apply(self, event: Event) -> None:
        """Take one more event in; those of other sites and those seen before change nothing."""
        if event.site not in ("", self.site) or event.seq <= self.seen:
            return
        self.seen = event.seq
        for part in (self.incidents, self.runs, self.maintenance, self._switch):
            part.apply(event)
        if handler := _HANDLERS.get(event.kind):
            handler(self, event)


def _moved(view: SiteView, event: Event) -> None:
    view.holders[event.data["role"]] = event.data["to"]
    view.parked.pop(event.data["to"], None)


def _acknowledged(view: SiteView, event: Event) -> None:
    view.acknowledged[event.data["plan"]] = event


def _parked(view: SiteView, event: Event) -> None:
    view.parked.setdefault(event.data["server"], set()).add(event.data["address"])


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
}
SITE_KINDS = (
    *_HANDLERS,
    *RUN_KINDS,
    *INCIDENT_KINDS,
    "automation.switched",
    "maintenance.begun",
    "maintenance.ended",
)


def holders(events: Iterable[Event], roles_home: Mapping[str, str]) -> dict[str, str]:
    """Who holds each role after these events; its home where it never moved."""
    found = dict(roles_home)
    for event in events:
        if event.kind == "role.moved":
            found[event.data["role"]] = event.data["to"]
    return found


def acknowledged(events: Iterable[Event]) -> dict[str, datetime]:
    """By plan, when a person last acknowledged it."""
    return {event.data["plan"]: event.at for event in events if event.kind == "plan.acknowledged"}


def automation(events: Iterable[Event], site: str = "") -> Switch:
    """The switch of all automation after these events, as it holds for ``site``."""
    switch = AutomationSwitch()
    for event in events:
        switch.apply(event)
    return switch.of(site)


def maintenance(events: Iterable[Event], now: datetime) -> tuple[Window, ...]:
    """The maintenance windows that are open at ``now``."""
    windows = Maintenance()
    for event in events:
        windows.apply(event)
    return windows.now(now)


def runs(events: Iterable[Event]) -> tuple[RunView, ...]:
    """Every run in these events, oldest first."""
    found = Runs(keep=2**31)
    for event in events:
        found.apply(event)
    return tuple(found.by_number.values())


def cooldown_until(
    last_automatic: datetime | None, acknowledged_at: datetime | None, cooldown_seconds: float
) -> datetime | None:
    """Until when a plan doesn't run by itself again, None when nothing keeps it from that (I14)."""
    if last_automatic is None or (acknowledged_at is not None and acknowledged_at >= last_automatic):
        return None
    return last_automatic + timedelta(seconds=cooldown_seconds)
