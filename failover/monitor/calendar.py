"""What is done on the calendar: every so often, or at times of the day as the wall's clock shows them.

APScheduler follows the wall clock and stops working when that is set back, so a watch on the monotonic clock adds its
jobs again when the two part (APScheduler issues 752 and 339).
"""

from __future__ import annotations

import asyncio
import datetime
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.combining import OrTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from failover.model import utc_now

log = logging.getLogger(__name__)

JUMP_SECONDS = 5.0
WATCH_SECONDS = 5.0
MISFIRE_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class _Job:
    act: Callable[[], Awaitable[object]]
    trigger: Any


class Calendar:
    """Calls what belongs on a calendar, on the loop. One call of a job at a time; what was missed is called once."""

    def __init__(self, said: Callable[[str, Mapping[str, Any]], object]) -> None:
        self._said = said
        self._jobs: dict[str, _Job] = {}
        self._busy: set[str] = set()
        self._again: set[str] = set()
        self._scheduler: AsyncIOScheduler | None = None

    def every(self, name: str, seconds: float, act: Callable[[], Awaitable[object]]) -> None:
        """Call it when the calendar begins, and then every so many seconds, a second at least."""
        self._jobs[name] = _Job(act, IntervalTrigger(seconds=max(1, round(seconds)), timezone="UTC"))

    def daily(
        self, name: str, times: Iterable[datetime.time], zone: datetime.tzinfo, act: Callable[[], Awaitable[object]]
    ) -> None:
        """Call it when the calendar begins, and then at these times of every day."""
        triggers = [CronTrigger(hour=at.hour, minute=at.minute, timezone=zone) for at in times]
        self._jobs[name] = _Job(act, OrTrigger(triggers))

    def soon(self, *names: str) -> None:
        """Call these now, or as soon as they come back, and then as before; nothing while the calendar doesn't run."""
        self._again |= self._busy.intersection(names)
        if self._scheduler is not None and self._scheduler.running:
            self._plan(name for name in names if name in self._jobs and name not in self._busy)

    async def run(self) -> None:
        """Keep the calendar until cancelled."""
        if not self._jobs:
            return
        self._scheduler = scheduler = AsyncIOScheduler(
            timezone="UTC",
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": MISFIRE_SECONDS},
        )
        scheduler.add_listener(self._trouble, EVENT_JOB_MISSED | EVENT_JOB_ERROR | EVENT_JOB_MAX_INSTANCES)
        scheduler.start()
        try:
            self._plan(self._jobs)
            await self._watch_clock()
        finally:
            scheduler.pause()
            scheduler.shutdown(wait=False)

    def _plan(self, names: Iterable[str]) -> None:
        assert self._scheduler is not None  # noqa: S101 - run() made it
        for name in names:
            job = self._jobs[name]
            act = partial(self._call, name, job.act)
            self._scheduler.add_job(act, job.trigger, id=name, replace_existing=True, next_run_time=utc_now())

    async def _call(self, name: str, act: Callable[[], Awaitable[object]]) -> None:
        """Once, and again for as long as somebody asked for that meanwhile."""
        self._busy.add(name)
        try:
            again = True
            while again:
                self._again.discard(name)
                await act()
                again = name in self._again
        except asyncio.CancelledError:  # the end of this task and of nothing else; the scheduler would call it an error
            log.info("calendar: job %s was called off, as it is when the daemon stops", name)
        finally:
            self._busy.discard(name)

    async def _watch_clock(self) -> None:
        apart = time.time() - time.monotonic()
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            now = time.time() - time.monotonic()
            if abs(now - apart) > JUMP_SECONDS:
                self._said("calendar.reset", {"jumped_seconds": round(now - apart, 3)})
                log.warning("the wall clock jumped by %.1f s: the calendar begins anew", now - apart)
                self._plan(self._jobs)
            apart = now

    def _trouble(self, event: Any) -> None:
        log.warning("calendar: job %s: %s", event.job_id, getattr(event, "exception", None) or "missed or overrun")
