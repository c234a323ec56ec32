"""What is done ahead of time, on the calendar, so that a recovery needn't: content copied to the server that stands by,
and the newest good backup of a database restored beside the one that it has.

APScheduler follows the wall clock and stops working when that is set back, so a watch on the monotonic clock adds its
jobs again when the two part (APScheduler issues 752 and 339).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from failover.errors import Busy, FailoverError
from failover.journal.run_view import DAEMON, RunView
from failover.model import Cause, RunKind, RunState, utc_now
from failover.monitor.setup import Setup
from failover.monitor.starts import Starts
from failover.recover.builtin import copy_ahead, follow, restore_ahead
from failover.recover.plan import Plan
from failover.recover.steps import ContentSynced, DatabaseRestored

log = logging.getLogger(__name__)

JUMP_SECONDS = 5.0
WATCH_SECONDS = 5.0
TURNS, TURN_SECONDS = 60, 1.0
MISFIRE_SECONDS = 3600


class Ahead:
    """Copies each role's content to its standby every so often, and to a holder that the source doesn't feed itself.

    Restores each role's newest good backup on its standby, as soon as there is a newer one than stands there restored.

    A run that people or a failure started goes first.
    """

    def __init__(
        self,
        setup: Setup,
        holders: Callable[[], Mapping[str, str]],
        starts: Starts,
        said: Callable[[str, Mapping[str, Any]], object],
    ) -> None:
        self._setup = setup
        self._holders = holders
        self._contents = contents(setup)
        self._databases = databases(setup)
        self._starts = starts
        self._said = said
        self._scheduler: AsyncIOScheduler | None = None
        self.last: dict[str, str] = {}
        """By name, what the newest attempt came to."""

    def ended(self, run: RunView) -> None:
        """A copy ended; what gave way to another run is tried again and nothing to speak of."""
        if run.state is not RunState.ABORTED:
            self.last[run.plan] = f"run {run.number} {run.state}" + (f": {run.reason}" if run.reason else "")

    async def run(self) -> None:
        """Keep the calendar until cancelled."""
        if not self._contents and not self._databases:
            return
        self._scheduler = scheduler = AsyncIOScheduler(
            timezone="UTC",
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": MISFIRE_SECONDS},
        )
        scheduler.add_listener(self._trouble, EVENT_JOB_MISSED | EVENT_JOB_ERROR | EVENT_JOB_MAX_INSTANCES)
        scheduler.start()
        try:
            self._plan_jobs()
            await self._watch_clock()
        finally:
            scheduler.pause()
            scheduler.shutdown(wait=False)

    def restore_soon(self) -> None:
        """There is a new backup, or more is known of one: don't wait for the calendar to come round."""
        if self._scheduler is not None and self._scheduler.running:
            self._plan_jobs(only=self._restore)

    def copy_soon(self) -> None:
        """A role moved, or a server is back: another one stands by now, and it may never have had the content."""
        if self._scheduler is not None and self._scheduler.running:
            self._plan_jobs(only=self._copy)

    def _plan_jobs(self, only: Callable[[int], Any] | None = None) -> None:
        assert self._scheduler is not None  # noqa: S101 - run() made it
        work: dict[Callable[[int], Any], int] = {
            self._copy: len(self._contents),
            self._restore: len(self._databases),
        }
        for act, count in work.items():
            for number in range(count if only in (None, act) else 0):
                trigger = IntervalTrigger(seconds=max(1, round(self._setup.ahead_every)), timezone="UTC")
                name = f"{act.__name__} {number}"
                self._scheduler.add_job(
                    act, trigger, [number], id=name, replace_existing=True, next_run_time=utc_now()
                )  # fmt: skip

    async def _copy(self, number: int) -> None:
        role, content = self._contents[number]
        why = "content is copied ahead of time"
        await self._begin(f"copy-ahead-{role}", copy_ahead(role, content), why)
        if self._holders()[role] != self._setup.roles[role].home:
            await self._begin(f"follow-{role}", follow(role, content), why)

    async def _restore(self, number: int) -> None:
        role, step = self._databases[number]
        why = "the newest good backup is restored ahead of time"
        await self._begin(f"restore-ahead-{role}", restore_ahead(role, step), why)

    async def _begin(self, name: str, plan: Plan, why: str) -> None:
        """Begin it if there is something to do, and wait its turn where another is under way."""
        for _ in range(TURNS):
            if self._starts.under_way is not None:
                return  # the calendar comes round again
            try:
                run = await asyncio.wrap_future(self._starts.keep(name, plan, RunKind.AHEAD, Cause(DAEMON, why)))
            except Busy:
                await asyncio.sleep(TURN_SECONDS)
                continue
            except FailoverError as error:
                self.last[name] = str(error)
                return
            self.last[name] = f"run {run.number}" if run is not None else "nothing to do"
            return

    async def _watch_clock(self) -> None:
        apart = time.time() - time.monotonic()
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            now = time.time() - time.monotonic()
            if abs(now - apart) > JUMP_SECONDS:
                self._said("calendar.reset", {"jumped_seconds": round(now - apart, 3)})
                log.warning("the wall clock jumped by %.1f s: the calendar begins anew", now - apart)
                self._plan_jobs()
            apart = now

    def _trouble(self, event: Any) -> None:
        log.warning("calendar: job %s: %s", event.job_id, getattr(event, "exception", None) or "missed or overrun")


def contents(setup: Setup) -> list[tuple[str, ContentSynced]]:
    """Every role with content, and the step of its plan that says how it is copied."""
    return [
        (role, step)
        for name, plan in setup.plans.items()
        if (role := setup.role_of_plan(name)) is not None
        for step in plan.steps
        if isinstance(step, ContentSynced)
    ]


def databases(setup: Setup) -> list[tuple[str, DatabaseRestored]]:
    """Every role with a database, and the step of its plan that says what it is restored from."""
    return [
        (role, step)
        for name, plan in setup.plans.items()
        if (role := setup.role_of_plan(name)) is not None and setup.roles[role].database is not None
        for step in plan.steps
        if isinstance(step, DatabaseRestored)
    ]
