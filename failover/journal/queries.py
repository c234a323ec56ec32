"""Folds over events: what the journal's lines amount to now. Pure; each is fed events in the order of their numbers.

:class:`~failover.journal.site_view.SiteView` holds them all for one site.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from failover.journal.incident_view import Incidents, IncidentView, incidents
from failover.journal.run_fold import apply, begin, run_view
from failover.journal.run_view import ChangeView, Question, RunView, StepView, WordView
from failover.model import Event

__all__ = [
    "AutomationSwitch",
    "ChangeView",
    "IncidentView",
    "Incidents",
    "Maintenance",
    "Question",
    "RunView",
    "Runs",
    "StepView",
    "Switch",
    "Window",
    "WordView",
    "acknowledged",
    "automation",
    "holders",
    "incidents",
    "maintenance",
    "run_view",
    "runs",
]


MOST_HEALED = 3
"""Runs in a row that find the failure gone, after which the plan waits for people all the same."""


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
        self._automatic: dict[str, dict[int, RunView]] = {}
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
            view = begin(event)
        elif known is not None:
            view = apply(known, event)
        else:
            return
        self.by_number[view.number] = view
        if event.kind == "run.opened" or self.last_of_plan.get(view.plan) is known:
            self.last_of_plan[view.plan] = view
        if view.automatic:
            newest = {**self._automatic.get(view.plan, {}), view.number: view}
            self._automatic[view.plan] = dict(sorted(newest.items())[-MOST_HEALED:])
        if view.state.ended:
            ended = [number for number, view in self.by_number.items() if view.state.ended]
            for number in ended[: max(0, len(ended) - self._keep)]:
                del self.by_number[number]

    def last_automatic(self, plan: str, since: datetime) -> RunView | None:
        """The newest run of a plan that the daemon began by itself and that counts: what bounds the next (I14).

        One that found the failure gone has done nothing, and would keep the plan from the next failure. So it doesn't
        count, unless it is one of `MOST_HEALED` in a row since that time: what comes and goes so often is for people.
        """
        newest = list(self._automatic.get(plan, {}).values())
        if len(newest) == MOST_HEALED and all(run.healed and run.opened_at >= since for run in newest):
            return newest[-1]
        return next((run for run in reversed(newest) if not run.healed), None)


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
