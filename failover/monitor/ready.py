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
from failover.recover.readiness import ready
from failover.recover.steps import Released

log = logging.getLogger(__name__)

FENCE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Ready:
    """One plan's readiness."""

    at: datetime
    problems: tuple[str, ...]
    """Why the standby couldn't take over."""
    hints: tuple[str, ...] = ()
    """What couldn't be asked of other servers; a run finds out by itself what that means for it."""
    proofs: tuple[ProofFact, ...] = ()


class Readiness:
    """Keeps the newest answer for each plan. Asking takes threads of its own, one plan at a time."""

    def __init__(
        self,
        setup: Setup,
        scenes: Scenes,
        servers: Callable[[], Mapping[str, ServerNow]],
        changed: Callable[[str, Ready], None],
    ) -> None:
        self._setup = setup
        self._scenes = scenes
        self._servers = servers
        self._changed = changed
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"ready-{setup.site}")
        self._soon = asyncio.Event()
        self.known: dict[str, Ready] = {}

    def problems(self, plan: str) -> tuple[str, ...]:
        """Why a plan wouldn't work, as far as was asked; empty before the first answer."""
        found = self.known.get(plan)
        return found.problems if found else ()

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
            wrong = any(found.problems for found in self.known.values())
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
        before, self.known[plan] = self.known.get(plan), found
        if before is None or replace(before, at=found.at) != found:
            self._changed(plan, found)

    def _ready(self, name: str) -> Ready:
        role = self._setup.role_of_plan(name)
        if role is None:
            return Ready(utc_now(), ())
        plan = self._setup.plans[name]
        try:
            scene = self._scenes.scene(role, RunKind.RECOVER)
            found = ready(plan, scene)
            proofs = self._proofs(name, scene.role.holder)
        except FailoverError as error:
            return Ready(utc_now(), (str(error),))
        except Exception as error:
            log.exception("readiness of plan %s can't be told", name)
            return Ready(utc_now(), (f"its readiness can't be told: {type(error).__name__}: {error}",))
        # That the holder is silent is what the plan is for; that the source is, its step knows how to bear.
        others = tuple(f"{server}: " for server in self._setup.servers if server != scene.role.standby)
        hints = tuple(problem for problem in found if problem.startswith(others))
        return Ready(utc_now(), tuple(problem for problem in found if problem not in hints), hints, proofs)

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
