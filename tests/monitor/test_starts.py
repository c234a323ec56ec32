"""Runs are begun from the loop: a failure's at once, whatever else is being asked or under way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from failover.decide.decision import Action, Decision
from failover.errors import Busy
from failover.model import Cause, RunKind
from failover.monitor import judge as judging
from failover.monitor.judge import Judge
from failover.monitor.starts import MOST_AT_ONCE, Starts

CAUSE = Cause("daemon", "a test")
PLAN: Any = None


class Runner:
    """Finds out whether there is anything to keep for as long as the servers it asks are silent; begins at once."""

    def __init__(self) -> None:
        self.silent = threading.Event()
        self.asking = threading.Semaphore(0)
        self.begun: list[str] = []
        self.busy = 0
        self.under_way = SimpleNamespace(current=lambda: None)  # nothing that a recovery waits for

    def keep(self, name: str, _plan: Any, _kind: RunKind, _cause: Cause) -> None:
        """As the real one's; nothing to do, which takes its time."""
        self.asking.release()
        self.silent.wait(10)

    def start(self, plan: str, _kind: RunKind, _cause: Cause) -> str:
        """As the real one's; busy a few times."""
        if self.busy:
            self.busy -= 1
            raise Busy("run 7 (park-www, keep) is under way", run=7)
        self.begun.append(plan)
        return plan


@pytest.fixture
def runner() -> Iterator[Runner]:
    one = Runner()
    yield one
    one.silent.set()


@pytest.mark.parametrize("kind", [RunKind.AHEAD, RunKind.KEEP])
def test_a_recovery_begins_while_silent_servers_are_asked_what_is_to_be_kept(runner: Runner, kind: RunKind) -> None:
    starts = Starts(runner, "shop")  # type: ignore[arg-type]  # only what is begun through it
    for number in range(3 * MOST_AT_ONCE):
        starts.keep(f"copy-{number}", PLAN, kind, CAUSE)
    for _ in range(MOST_AT_ONCE):
        assert runner.asking.acquire(timeout=5)
    starts.recover("web", CAUSE).result(5)
    assert runner.begun == ["web"]
    starts.close()


def test_an_address_is_given_back_while_silent_servers_are_asked_what_is_to_be_copied(runner: Runner) -> None:
    starts = Starts(runner, "shop")  # type: ignore[arg-type]  # only what is begun through it
    for number in range(3 * MOST_AT_ONCE):
        starts.keep(f"copy-{number}", PLAN, RunKind.AHEAD, CAUSE)
    for _ in range(MOST_AT_ONCE):
        assert runner.asking.acquire(timeout=5)
    starts.keep("reassert-www", PLAN, RunKind.KEEP, CAUSE)
    assert runner.asking.acquire(timeout=5)
    runner.silent.set()
    starts.close()


def test_a_recovery_that_found_another_run_begins_as_soon_as_that_is_over(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    decision = Decision(plan="web", action=Action.RECOVER, reason="website is down")
    monkeypatch.setattr(judging, "choose", lambda _situation: (decision,))
    monkeypatch.setattr(judging, "record", lambda _decision, _situation: {})
    runner.busy = 2

    async def decided() -> None:
        starts = Starts(runner, "shop")  # type: ignore[arg-type]  # only what is begun through it
        situation: Callable[[datetime], Any] = lambda _now: SimpleNamespace(now=now)  # noqa: E731 - one expression
        judge = Judge(situation, Silent(), Silent(), starts, Silent(), lambda: now)  # type: ignore[arg-type]  # no news
        deciding = asyncio.create_task(judge.run())
        async with asyncio.timeout(5):  # half of what is waited for after a start that failed
            while not runner.begun:  # noqa: ASYNC110 - it is begun in another thread
                await asyncio.sleep(0.01)
        deciding.cancel()
        starts.close()

    asyncio.run(decided())
    assert runner.begun[:1] == ["web"]


class Silent:
    """Takes down whatever it is told, and has nothing to say."""

    def write(self, _kind: str, _data: Any) -> Future[None]:
        """As the scribe's."""
        written: Future[None] = Future()
        written.set_result(None)
        return written

    def failed(self, *_: Any) -> None:
        """As the book's."""

    def happened(self, *_: Any) -> None:
        """As the book's."""
