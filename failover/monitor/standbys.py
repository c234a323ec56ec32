"""Keeping a server that doesn't hold a role from acting as if it did, also once it comes back (I10, I11, I12).

Its database takes no writes, the units that only the holder may run stand still, and the files that its programs read
at their start name the database that serves now, so that none wakes up to the old one. A holder that booted can't know
that it is one: what its guard parked is started again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from failover.errors import FailoverError
from failover.journal.run_view import DAEMON
from failover.journal.site_view import SiteView
from failover.model import Cause, RunKind, utc_now
from failover.monitor.keep import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, held_back
from failover.monitor.setup import Setup
from failover.monitor.starts import Starts
from failover.recover.builtin import connect_standby, park_database, park_service, start_again
from failover.recover.plan import Plan
from failover.recover.steps import Connected, ServiceRunning
from failover.servers.helper.parking import full

LOOK_SECONDS = 15.0
"""How often a standby is asked; one that came back is asked at once."""


@dataclass(frozen=True, slots=True)
class Duty:
    """One thing that is kept so on the servers of a role."""

    name: str
    role: str
    plan: Plan
    why: str


class StandbyKeeper:
    """Parks what came back. Lives on the loop; asking and acting is a run's, in its thread."""

    def __init__(
        self,
        setup: Setup,
        view: SiteView,
        starts: Starts,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._setup = setup
        self._view = view
        self._starts = starts
        self._clock = clock
        self._now = now
        self._duties = tuple(duties(setup))
        self._soon = asyncio.Event()
        self._pause: dict[str, float] = {}
        self._not_before: dict[str, float] = {}
        self.last: dict[str, str] = {}
        """By duty, what the newest look came to."""

    def look_soon(self, server: str) -> None:
        """A server came back: what it ran may have come up with it, as it was."""
        roles = {duty.role for duty in self._duties}
        if any(server in (self._setup.roles[role].home, self._setup.roles[role].standby) for role in roles):
            self._soon.set()

    async def run(self) -> None:
        """Look until cancelled."""
        while self._duties:
            self._soon.clear()
            for duty in self._duties:
                await self._look(duty)
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._soon.wait()
                await asyncio.sleep(1.0)  # a helper is there before its database is
            except TimeoutError:
                pass

    async def _look(self, duty: Duty) -> None:
        """Begin a run if something is to be put right; what fails is tried more and more seldom."""
        if self._starts.under_way is not None or held_back(self._setup, self._view, duty.role, self._now()):
            return
        if self._clock() < self._not_before.get(duty.name, 0.0):
            return
        started = self._starts.keep(duty.name, duty.plan, RunKind.KEEP, Cause(DAEMON, duty.why))
        try:
            run = await asyncio.wrap_future(started)
        except FailoverError as error:
            self.last[duty.name] = str(error)
        else:
            self.last[duty.name] = f"run {run.number}" if run is not None else "as it should be, or not there"
            if run is None:
                self._pause.pop(duty.name, None)
                return
        pause = min(2 * self._pause.get(duty.name, FIRST_PAUSE_SECONDS / 2), LONGEST_PAUSE_SECONDS)
        self._pause[duty.name] = pause
        self._not_before[duty.name] = self._clock() + pause


def duties(setup: Setup) -> Iterator[Duty]:
    """All that is kept so; units that mustn't run come first, for a unit that runs may write."""
    for name, plan in setup.plans.items():
        if (role := setup.role_of_plan(name)) is not None:
            yield from _units(role, plan)
    for role, its in setup.roles.items():
        if its.database is not None:
            why = "the database of a server that doesn't hold the role takes writes"
            yield Duty(f"park-database-{role}", role, park_database(role), why)
    steps = (step for plan in setup.plans.values() for step in plan.steps if isinstance(step, Connected))
    told: set[tuple[str, str]] = set()
    for step in steps:
        if step.file is None or step.role not in setup.roles or (step.role, step.file) in told:
            continue
        told.add((step.role, step.file))
        why = (
            f"{step.file} of the server that stands by for {step.role} names another database than the one that serves"
        )
        yield Duty(f"connect-{step.role}-{len(told)}", step.role, connect_standby(step), why)


def _units(role: str, plan: Plan) -> Iterator[Duty]:
    for unit in sorted(plan.alone):
        why = f"{unit} runs, or could, on a server that doesn't hold the role {role}"
        yield Duty(f"park-{unit}-{role}", role, park_service(role, unit), why)
    for step in plan.steps:
        if isinstance(step, ServiceRunning) and full(step.unit) in plan.alone and step.on == "new":
            why = f"{step.unit} doesn't run on the holder of {role}, where the boot guard parked it"
            yield Duty(f"start-{step.unit}-{role}", role, start_again(role, step), why)
