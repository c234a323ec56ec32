"""Whether each plan would work now, asked all day, so that what isn't ready is known in daylight (D5)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime

from failover.decide.situation import ProofFact
from failover.errors import FailoverError, ServerError
from failover.model import RunKind, utc_now
from failover.monitor.scenes import Scenes
from failover.monitor.setup import Setup
from failover.monitor.world import ServerNow
from failover.recover.address import FenceProof, PersonProof, ReadBack, SilenceProof
from failover.recover.problem import MONITOR, Problem, Ready, Severity, judge
from failover.recover.readiness import ready
from failover.recover.steps import Released

log = logging.getLogger(__name__)

FENCE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class PlanReady:
    """One plan's readiness, as it was last asked."""

    at: datetime
    problems: tuple[Problem, ...] = ()
    proofs: tuple[ProofFact, ...] = ()
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
        return mine == theirs and self.proofs == other.proofs


class Readiness:
    """Keeps the newest answer for each plan. Asking takes threads of its own, one plan at a time."""

    def __init__(
        self,
        setup: Setup,
        scenes: Scenes,
        servers: Callable[[], Mapping[str, ServerNow]],
        changed: Callable[[str, PlanReady], None],
    ) -> None:
        self._setup = setup
        self._scenes = scenes
        self._servers = servers
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
                await self._ask(plan)
            wrong = any(not found.stands.works for found in self.known.values())
            wait = min(10.0, self._setup.ready_every) if wrong else self._setup.ready_every
            try:
                async with asyncio.timeout(wait):
                    await self._soon.wait()
                await asyncio.sleep(0.5)  # what changes together is asked together
            except TimeoutError:
                pass

    def close(self) -> None:
        """Wait for nobody."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _ask(self, plan: str) -> None:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._thread, self._ready, plan)
        before = self.known.get(plan)
        since = before.since if before is not None and before.stands is found.stands else found.at
        self.known[plan] = found = replace(found, since=since)
        if before is None or not found.same_as(before):
            self._changed(plan, found)

    def _ready(self, name: str) -> PlanReady:
        role = self._setup.role_of_plan(name)
        if role is None:
            return PlanReady(utc_now())
        plan = self._setup.plans[name]
        try:
            scene = self._scenes.scene(role, RunKind.RECOVER)
            found = ready(plan, scene)
            proofs = self._proofs(name, scene.role.holder)
        except FailoverError as error:
            return _untold(str(error))
        except Exception as error:
            log.exception("readiness of plan %s can't be told", name)
            return _untold(f"its readiness can't be told: {type(error).__name__}: {error}")
        return PlanReady(utc_now(), tuple(found), proofs)

    def _proofs(self, name: str, holder: str) -> tuple[ProofFact, ...]:
        facts: dict[str, ProofFact] = {}
        for step in self._setup.plans[name].steps:
            if isinstance(step, Released):
                for proof in self._setup.addresses[step.address].release:
                    match proof:
                        case ReadBack():
                            seen = self._servers().get(holder)
                            there = seen is not None and seen.reachable is True
                            why = "" if there else f"{holder} doesn't answer"
                            fact = ProofFact(kind="read-back", available=there, why=why)
                        case FenceProof():
                            fact = self._fence(holder)
                        case PersonProof():
                            fact = ProofFact(kind="person", available=True)
                        case SilenceProof():
                            fact = ProofFact(kind="silence", available=True)
                    facts.setdefault(fact.kind, fact)
        return tuple(facts.values())

    def _fence(self, holder: str) -> ProofFact:
        fence = self._setup.servers.get(f"fence:{holder}")
        if fence is None:
            return ProofFact(kind="fence", available=False, why=f"{holder} has no fence")
        try:
            fence.ask("fence", within_seconds=FENCE_SECONDS)
        except ServerError as error:
            return ProofFact(kind="fence", available=False, why=error.sentence)
        return ProofFact(kind="fence", available=True)


def _untold(text: str) -> PlanReady:
    now = utc_now()
    return PlanReady(now, (Problem(text, "stops", None, now),))
