"""When each check looks: one task a check, on the monotonic clock, each on its own grid, quick while confirming.

A check's place in its grid comes from its name, so that ten thousand checks spread evenly and stay where they are.
"""

from __future__ import annotations

import asyncio
import math
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from failover.model import Reading
from failover.probes.base import Probe, Sight

FIRST_LOOK_SECONDS = 5.0
"""Every check has looked once after this time, however seldom it looks then."""
STUCK_SECONDS = 30.0


def phase(name: str) -> float:
    """A check's place in its grid, from 0 to 1: the same in every process."""
    return zlib.crc32(name.encode()) / 2**32


def next_on_grid(now: float, base: float, every: float) -> float:
    """The first moment of the grid after ``now``: what was missed is not made up for."""
    return base + (math.floor((now - base) / every) + 1) * every


@dataclass(slots=True)
class Pace:
    """How punctual a check is."""

    due: float
    """When its next look is due, on the monotonic clock; while it looks: when this look was."""
    looking_since: float | None = None
    looks: int = 0
    lag_seconds: float = 0.0
    """How late its last look began."""


class Looks:
    """Runs every check of a site. ``took`` folds a reading and returns the seconds until the check's next look."""

    def __init__(
        self,
        checks: Mapping[str, Probe],
        sight: Sight,
        took: Callable[[str, Reading], float],
        *,
        clock: Callable[[], float] = time.monotonic,
        late: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        self._checks = checks
        self._sight = sight
        self._took = took
        self._clock = clock
        self._late = late
        self._wanted = {name: asyncio.Event() for name in checks}
        begin = clock()
        self.paces = {
            name: Pace(begin + phase(name) * min(probe.every, FIRST_LOOK_SECONDS)) for name, probe in checks.items()
        }

    async def run(self) -> None:
        """Look until cancelled. A bug in folding ends it: a monitor that doesn't fold must not look alive."""
        async with asyncio.TaskGroup() as group:
            for name, probe in self._checks.items():
                group.create_task(self._watch(name, probe), name=f"check {name}")

    def soon(self, name: str) -> None:
        """Let a check look now, unless it looks already."""
        self._wanted[name].set()

    def stuck(self) -> list[str]:
        """Checks that should have looked long ago; the watchdog's question whether there is real progress."""
        now = self._clock()
        return [
            name
            for name, pace in self.paces.items()
            if now > pace.due + (self._checks[name].timeout if pace.looking_since is not None else 0) + STUCK_SECONDS
        ]

    async def _until(self, pace: Pace, wanted: asyncio.Event) -> None:
        wait = pace.due - self._clock()
        if wait <= 0:
            return
        if not wanted.is_set():
            try:
                async with asyncio.timeout(wait):
                    await wanted.wait()
            except TimeoutError:
                return
        wanted.clear()
        pace.due = self._clock()

    async def _watch(self, name: str, probe: Probe) -> None:
        pace = self.paces[name]
        base = pace.due - phase(name) * min(probe.every, FIRST_LOOK_SECONDS) + phase(name) * probe.every
        while True:
            await self._until(pace, self._wanted[name])
            pace.looking_since = self._clock()
            pace.lag_seconds = max(0.0, pace.looking_since - pace.due)
            self._late(pace.lag_seconds)
            reading = await probe.take(name, self._sight)  # bounded by its own timeout; the next waits for it
            pace.looking_since = None
            pace.looks += 1
            soon = self._took(name, reading)
            now = self._clock()
            pace.due = now + soon if soon < probe.every else next_on_grid(now, base, probe.every)
