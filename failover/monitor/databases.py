"""Keeping the database of a server that doesn't hold the role from taking writes, once it comes back too (I10, I11)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime

from failover.errors import FailoverError
from failover.journal.run_view import DAEMON
from failover.journal.site_view import SiteView
from failover.model import Cause, RunKind, utc_now
from failover.monitor.keep import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, held_back
from failover.monitor.setup import Setup
from failover.monitor.starts import Starts
from failover.recover.builtin import park_database

LOOK_SECONDS = 15.0
"""How often a standby's database is asked; one that came back is asked at once."""


class DatabaseKeeper:
    """Parks databases. Lives on the loop; asking and acting is a run's, in its thread."""

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
        self._roles = tuple(role for role, its in setup.roles.items() if its.database is not None)
        self._soon = asyncio.Event()
        self._pause: dict[str, float] = {}
        self._not_before: dict[str, float] = {}
        self.last: dict[str, str] = {}
        """By role, what the newest look came to."""

    def look_soon(self, server: str) -> None:
        """A server came back: its database may have come up with it, as writable as it was."""
        if any(server in (its.home, its.standby) for its in self._setup.roles.values() if its.database is not None):
            self._soon.set()

    async def run(self) -> None:
        """Look until cancelled."""
        while self._roles:
            self._soon.clear()
            for role in self._roles:
                await self._look(role)
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._soon.wait()
                await asyncio.sleep(1.0)  # a helper is there before its database is
            except TimeoutError:
                pass

    async def _look(self, role: str) -> None:
        """Begin a run if something takes writes that shouldn't; what fails is tried more and more seldom."""
        if self._starts.under_way is not None or held_back(self._setup, self._view, role, self._now()):
            return
        if self._clock() < self._not_before.get(role, 0.0):
            return
        cause = Cause(DAEMON, "the database of a server that doesn't hold the role takes writes")
        name = f"park-database-{role}"
        try:
            run = await asyncio.wrap_future(self._starts.keep(name, park_database(role), RunKind.KEEP, cause))
        except FailoverError as error:
            self.last[role] = str(error)
        else:
            self.last[role] = f"run {run.number}" if run is not None else "parked, or not there"
            if run is None:
                self._pause.pop(role, None)
                return
        pause = min(2 * self._pause.get(role, FIRST_PAUSE_SECONDS / 2), LONGEST_PAUSE_SECONDS)
        self._pause[role] = pause
        self._not_before[role] = self._clock() + pause
