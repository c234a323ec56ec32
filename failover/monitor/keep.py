"""Keeping the world as the journal says: a lost address given back to its holder, a returned server parked (I10)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import datetime

from failover.journal.run_view import DAEMON, RunView
from failover.journal.site_view import SiteView
from failover.model import Cause, Mode, RunKind
from failover.monitor.addresses import AddressNow, Place
from failover.monitor.scribe import Scribe
from failover.monitor.setup import Setup
from failover.monitor.starts import Starts
from failover.recover.builtin import park, reassert
from failover.recover.plan import Plan

LOOKS = 2
"""Looks in a row that must say the same before anything is mended: one may be older than the run that just ended."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 5.0, 600.0


class Keeper:
    """Watches the addresses of a site. Lives on the loop."""

    def __init__(
        self, setup: Setup, view: SiteView, scribe: Scribe, starts: Starts, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._setup = setup
        self._view = view
        self._scribe = scribe
        self._starts = starts
        self._clock = clock
        self._seen: dict[str, tuple[Place, int]] = {}
        self._said: dict[str, Place] = {}
        self._pause: dict[str, float] = {}
        self._not_before: dict[str, float] = {}

    def looked(self, addresses: tuple[AddressNow, ...], now: datetime) -> None:
        """A round of facts is in: say what drifted, mend what can be mended."""
        if self._starts.under_way is not None:
            self._seen.clear()  # a run moves things: what is seen meanwhile is neither drift nor ours to mend
            return
        for one in addresses:
            place, times = self._seen.get(one.name, (one.place, 0))
            times = times + 1 if place is one.place else 1
            self._seen[one.name] = (one.place, times)
            if times >= LOOKS:
                self._say(one)
                if one.place is Place.OK:
                    self._calm(one)
                else:
                    self._mend(one, now)

    def _say(self, one: AddressNow) -> None:
        if one.place is Place.UNKNOWN or self._said.get(one.name, Place.OK) is one.place:
            return
        self._said[one.name] = one.place
        if one.drift or one.place is Place.MISSING:
            data = {"address": one.name, "ip": one.ip, "expected": one.expected, "seen": list(one.held_by)}
            self._scribe.write("address.drift", {**data, "reason": one.reason})

    def _mend(self, one: AddressNow, now: datetime) -> None:
        if (mend := mending(one, self._setup)) is None or self._clock() < self._not_before.get(one.name, 0.0):
            return
        if held_back(self._setup, self._view, one.role, now):
            return
        verb, plan = mend
        self._not_before[one.name] = self._clock() + LONGEST_PAUSE_SECONDS  # until it came back
        self._seen.pop(one.name)
        started = self._starts.keep(f"{verb}-{one.name}", plan, RunKind.KEEP, Cause(DAEMON, one.reason))
        loop = asyncio.get_running_loop()
        started.add_done_callback(lambda future: loop.call_soon_threadsafe(self._came_back, one.name, future))

    def _came_back(self, address: str, future: Future[RunView | None]) -> None:
        """It began, or there was nothing to do, or it couldn't: each time it is tried again, more and more seldom."""
        pause = min(2 * self._pause.get(address, FIRST_PAUSE_SECONDS / 2), LONGEST_PAUSE_SECONDS)
        self._pause[address] = pause
        self._not_before[address] = self._clock() + pause

    def _calm(self, one: AddressNow) -> None:
        """The address has been all right: the next trouble is a new one."""
        self._pause.pop(one.name, None)
        self._not_before.pop(one.name, None)


def held_back(setup: Setup, view: SiteView, role: str, now: datetime) -> bool:
    """Whether people said that nothing is to happen to a role by itself (I14)."""
    plan, its = setup.plan_of_role(role), setup.roles[role]
    about = {"site", role, its.home, its.standby}
    return (
        plan is None
        or setup.plans[plan].mode is Mode.OFF
        or not view.automation.on
        or any(window.about in about for window in view.maintenance.now(now))
    )


def mending(one: AddressNow, setup: Setup) -> tuple[str, Plan] | None:
    """What puts an address right, or None. A server outside the role's pair is for people to look at."""
    other = setup.roles[one.role].other(one.expected)
    if one.place is Place.MISSING:
        return "reassert", reassert(one.role, one.name, park_first=one.at_large)
    if one.place is Place.UNPARKED or (one.drift and other in one.held_by):
        return "park", park(one.role, one.name)
    return None
