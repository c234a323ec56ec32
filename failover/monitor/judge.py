"""The monitor's deciding: a situation, ``choose``, the questions that it wants asked first, and what comes of it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import datetime

from failover import model
from failover.decide.choose import choose
from failover.decide.decision import Action, Decision
from failover.decide.explain import record
from failover.decide.incident import Event
from failover.decide.situation import Situation
from failover.errors import Busy, FailoverError
from failover.journal.run_view import DAEMON, RunView
from failover.model import Cause, utc_now
from failover.monitor.incidents import Book
from failover.monitor.observers import Observers
from failover.monitor.scribe import Scribe
from failover.monitor.starts import Starts

log = logging.getLogger(__name__)

ROUNDS = 4
"""Times that a decision may ask for more to be asked, before what it then says holds."""
TICK_SECONDS = 1.0
AGAIN_SECONDS = 10.0
"""A start that failed before anything began isn't tried again sooner."""
AHEAD_SECONDS = 2.0
"""Between two rounds of asking ahead: a check may stay suspect for long."""
WRITTEN_SECONDS = 1.0
"""How long a recovery waits for its decision's line in the journal; without its own first line it doesn't begin."""


class Judge:
    """Decides whenever something changed, and once a second."""

    def __init__(
        self,
        situation: Callable[[datetime], Situation],
        observers: Observers,
        scribe: Scribe,
        starts: Starts,
        book: Book,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._situation = situation
        self._observers = observers
        self._scribe = scribe
        self._starts = starts
        self._book = book
        self._now = now
        self._news = asyncio.Event()
        self._held_off: dict[str, float] = {}
        self.decisions: dict[str, tuple[Decision, datetime]] = {}
        """The newest decision of each plan, and since when it stands."""
        self.decided_at = time.monotonic()
        self._asking_ahead: asyncio.Task[None] | None = None
        self._ahead_again = 0.0

    def news(self) -> None:
        """Something changed: decide now."""
        self._news.set()

    async def run(self) -> None:
        """Decide until cancelled."""
        while True:
            self._news.clear()
            await self.decide()
            try:
                async with asyncio.timeout(TICK_SECONDS):
                    await self._news.wait()
            except TimeoutError:
                pass

    async def decide(self) -> tuple[Decision, ...]:
        """Decide once: ask what has to be asked, write down what is new, act."""
        for _ in range(ROUNDS):
            situation = self._situation(self._now())
            decisions = choose(situation)
            confirm = [decision for decision in decisions if decision.action is Action.CONFIRM]
            if not confirm:
                break
            asks = tuple(dict.fromkeys(ask for decision in confirm for ask in decision.ask))
            witnesses = tuple(dict.fromkeys(name for decision in confirm for name in decision.look_at))
            await self._observers.ask(asks, witnesses)
        for decision in decisions:
            await self._take(decision, situation)
        self._ask_ahead(decisions)
        self.decided_at = time.monotonic()
        return decisions

    def _ask_ahead(self, decisions: tuple[Decision, ...]) -> None:
        """Others are asked at the first failed look: when it turns out to be down, their answers are there already."""
        if time.monotonic() < self._ahead_again or (self._asking_ahead and not self._asking_ahead.done()):
            return
        waiting = [decision for decision in decisions if decision.action is Action.WAIT]
        asks = tuple(dict.fromkeys(ask for decision in waiting for ask in decision.ask))
        witnesses = tuple(dict.fromkeys(name for decision in waiting for name in decision.look_at))
        if asks or witnesses:
            self._ahead_again = time.monotonic() + AHEAD_SECONDS
            self._asking_ahead = asyncio.create_task(self._observers.ask(asks, witnesses), name="asking ahead")
            self._asking_ahead.add_done_callback(self._asked_ahead)

    def _asked_ahead(self, asking: asyncio.Task[None]) -> None:
        if not asking.cancelled() and (error := asking.exception()) is not None:
            log.error("asking others ahead failed", exc_info=error)
        self.news()

    async def _take(self, decision: Decision, situation: Situation) -> None:
        last = self.decisions.get(decision.plan)
        written: Future[model.Event | None] | None = None
        if last is None or not decision.same_as(last[0]):
            self.decisions[decision.plan] = (decision, situation.now)
            if last is not None or decision.action is not Action.NOTHING:
                written = self._scribe.write("decision.made", record(decision, situation))
        if decision.action is Action.RECOVER:
            if written is not None:
                await asyncio.wait([asyncio.wrap_future(written)], timeout=WRITTEN_SECONDS)
            self._recover(decision)
        self._incident(decision, situation.now)

    def _recover(self, decision: Decision) -> None:
        if self._starts.under_way or time.monotonic() < self._held_off.get(decision.plan, 0.0):
            return
        self._held_off[decision.plan] = time.monotonic() + AGAIN_SECONDS  # until its first line is in the journal
        started = self._starts.recover(decision.plan, Cause(DAEMON, decision.reason))
        loop = asyncio.get_running_loop()
        started.add_done_callback(lambda future: loop.call_soon_threadsafe(self._came_back, decision.plan, future))

    def _came_back(self, plan: str, future: Future[RunView | None]) -> None:
        error = future.exception() if not future.cancelled() else None
        if isinstance(error, Busy):
            self._held_off.pop(plan, None)  # it is that run's end that is waited for
        elif error is not None:
            said = str(error) if isinstance(error, FailoverError) else f"a bug: {type(error).__name__}: {error}"
            self._book.failed(f"plan {plan}", "page", f"plan {plan} could not be started: {said}", self._now())
        self.news()

    def _incident(self, decision: Decision, now: datetime) -> None:
        about = f"plan {decision.plan}"
        if decision.action in (Action.ALARM, Action.PROPOSE) and decision.severity != "info":
            self._book.failed(about, decision.severity, decision.reason, now)
        elif decision.action is Action.NOTHING:
            self._book.happened(about, Event.HEALED, decision.reason, now)
