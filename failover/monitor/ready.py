"""Whether each plan would work now, how long it would take and what would be lost, asked all day (D5)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from failover.decide.situation import ProofFact
from failover.errors import FailoverError
from failover.journal.site_view import SiteView
from failover.model import Reading, RunKind, RunState, Standing, utc_now
from failover.monitor.proofs import proofs
from failover.monitor.scenes import Scenes
from failover.monitor.setup import Setup
from failover.monitor.world import ServerNow
from failover.recover.forecast import Forecast, Part, detection, event_data, forecast
from failover.recover.plan import Plan
from failover.recover.problem import MONITOR, Problem, Ready, Severity, judge
from failover.recover.readiness import ready, works

log = logging.getLogger(__name__)

SOON_SECONDS = 10.0
"""While something is wrong it is asked so often."""
MOST_PAUSE_SECONDS, PAUSE_SECONDS = 30.0, 0.1
"""How long asking waits for a run that moves a role: it asks the same servers, and somebody waits for it. A restore may
take an hour, though, and what the other plans think of themselves is to stay true.
"""


@dataclass(frozen=True, slots=True)
class PlanReady:
    """One plan's readiness, as it was last asked."""

    at: datetime
    problems: tuple[Problem, ...] = ()
    proofs: tuple[ProofFact, ...] = ()
    forecast: Forecast | None = None
    """None where it can't be told at all."""
    since: datetime | None = None
    """Since when the plan stands as it does; kept from one answer to the next."""

    @property
    def stands(self) -> Ready:
        """What the problems amount to."""
        return judge(self.problems)

    def texts(self, severity: Severity) -> tuple[str, ...]:
        """The problems of that severity, in sentences."""
        return tuple(problem.text for problem in self.problems if problem.severity == severity)

    def same_as(self, other: PlanReady) -> bool:
        """Whether nothing new is to be said: only the numbers in the sentences differ."""
        mine, theirs = ({problem.gist for problem in one.problems} for one in (self, other))
        return mine == theirs and self.proofs == other.proofs and _same(self.forecast, other.forecast)

    def event_data(self, plan: str) -> dict[str, Any] | None:
        """The data of ``plan.forecast``; None where nothing is foretold."""
        if self.forecast is None:
            return None
        told = [*self.texts("stops"), *self.texts("loss")]
        since = self.since or self.at
        return event_data(plan, self.forecast, stands=str(self.stands), problems=told, since=since)


class Readiness:
    """Keeps the newest answer for each plan. Asking takes a thread of its own, one plan at a time."""

    def __init__(
        self,
        setup: Setup,
        scenes: Scenes,
        view: SiteView,
        servers: Callable[[], Mapping[str, ServerNow]],
        newest: Callable[[str], Reading | None],
        changed: Callable[[str, PlanReady], None],
    ) -> None:
        self._setup = setup
        self._scenes = scenes
        self._view = view
        self._servers = servers
        self._newest = newest
        self._changed = changed
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"ready-{setup.site}")
        self._soon = asyncio.Event()
        self.known: dict[str, PlanReady] = {}

    def stops(self, plan: str) -> tuple[str, ...]:
        """Why a plan wouldn't work, as far as servers were asked; empty before the first answer.

        What stands against the monitor itself isn't among it: deciding has its own facts of that.
        """
        problems = self.known[plan].problems if plan in self.known else ()
        return tuple(one.text for one in problems if one.severity == "stops" and one.about != MONITOR)

    def not_ready_since(self, plan: str) -> datetime | None:
        """Since when it wouldn't work; None when it would, or wasn't asked yet."""
        found = self.known.get(plan)
        return found.since if found is not None and not found.stands.works else None

    def proofs(self, plan: str) -> tuple[ProofFact, ...]:
        """Which proofs of release a plan could have now."""
        found = self.known.get(plan)
        return found.proofs if found else ()

    def ask_soon(self) -> None:
        """Something changed (a run ended, a server came back): don't wait for the next turn."""
        self._soon.set()

    async def run(self) -> None:
        """Ask until cancelled; while something is wrong, more often."""
        await asyncio.sleep(1.0)  # the sessions open first
        while True:
            self._soon.clear()
            for plan in self._setup.plans:
                await self._after_moves()
                await self._ask(plan)
            wrong = any(not found.stands.works for found in self.known.values())
            wait = min(SOON_SECONDS, self._setup.ready_every) if wrong else self._setup.ready_every
            try:
                async with asyncio.timeout(wait):
                    await self._soon.wait()
                await asyncio.sleep(0.5)  # what changes together is asked together
            except TimeoutError:
                pass

    def close(self) -> None:
        """Wait for nobody."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _after_moves(self) -> None:
        give_up = time.monotonic() + MOST_PAUSE_SECONDS
        while (run := self._view.run) is not None and run.kind.moves and run.state is RunState.RUNNING:
            if time.monotonic() >= give_up:
                return
            await asyncio.sleep(PAUSE_SECONDS)

    async def _ask(self, plan: str) -> None:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._thread, self._ready, plan)
        before = self.known.get(plan)
        self.known[plan] = found = replace(found, since=self._since(plan, before, found))
        if before is None or not found.same_as(before):
            self._changed(plan, found)

    def _since(self, plan: str, before: PlanReady | None, found: PlanReady) -> datetime:
        """A restart of the daemon changes nothing about a plan: what the journal said last still counts."""
        if before is not None:
            return before.since if before.since and before.stands is found.stands else found.at
        told = self._view.forecasts.get(plan)
        if told is not None and told.data["ready"] == found.stands:
            return datetime.fromisoformat(told.data["since"])
        return found.at

    def _ready(self, name: str) -> PlanReady:
        role = self._setup.role_of_plan(name)
        if role is None:
            return PlanReady(utc_now())
        plan = self._setup.plans[name]
        try:
            scene = self._scenes.scene(role, RunKind.RECOVER)
            found = ready(plan, scene)
            can_prove = proofs(self._setup, name, scene.role.holder, self._servers)
            told = works(plan, scene)
        except FailoverError as error:
            return _untold(str(error))
        except Exception as error:
            log.exception("readiness of plan %s can't be told", name)
            return _untold(f"its readiness can't be told: {type(error).__name__}: {error}")
        now = utc_now()
        return PlanReady(now, tuple(found), can_prove, forecast(told, self._detection(plan), self._view.measures, now))

    def _detection(self, plan: Plan) -> Part | None:
        """The slowest of the checks that tell the failure; None where a person has to see it."""
        condition = plan.condition
        if condition is None:
            return None
        alone = [name for name in condition.checks if condition.holds(_down(name, condition.checks))]
        parts = []
        for name in alone or condition.checks:
            probe, newest = self._setup.checks[name], self._newest(name)
            parts.append(
                detection(
                    name, every=probe.every, confirm_every=probe.confirm_every, timeout=probe.timeout, fall=probe.fall,
                    usual_seconds=newest.seconds if newest is not None else probe.timeout,
                )
            )  # fmt: skip
        return max(parts, key=lambda part: part.seconds)


def _down(check: str, checks: tuple[str, ...]) -> dict[str, Standing]:
    """That check alone is down."""
    return {name: Standing.DOWN if name == check else Standing.UP for name in checks}


def _same(mine: Forecast | None, theirs: Forecast | None) -> bool:
    return mine is theirs or (mine is not None and theirs is not None and mine.same_as(theirs))


def _untold(text: str) -> PlanReady:
    now = utc_now()
    return PlanReady(now, (Problem(text, "stops", None, now),))
