"""When checks look: on their own grid, quickly while confirming, never twice at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from failover.errors import Unhealthy
from failover.model import Reading, State
from failover.monitor.looks import Looks, next_on_grid, phase
from failover.probes.base import Probe, Seen, Sight
from tests.waiting import wait_until


class ToyProbe(Probe):
    """Does what the test says; counts how many looks are under way at once."""

    kind: str = "toy"

    async def look(self, sight: Sight) -> Seen:
        assert isinstance(sight, ToySight)
        return await sight.look()


class ToySight:
    def __init__(self) -> None:
        self.at_once = self.most_at_once = 0
        self.takes_seconds = 0.0
        self.down = False
        self.stubborn = False

    async def look(self) -> Seen:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            try:
                await asyncio.sleep(self.takes_seconds)
            except asyncio.CancelledError:
                if not self.stubborn:
                    raise
                await asyncio.sleep(0.3)  # a library that swallows the cancellation
        finally:
            self.at_once -= 1
        if self.down:
            raise Unhealthy("no")
        return Seen("yes")

    def own_fault(self) -> str | None:
        return None


@asynccontextmanager
async def looking(looks: Looks) -> AsyncIterator[None]:
    task = asyncio.create_task(looks.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def looks_of(probe: ToyProbe, sight: ToySight, took: Callable[[str, Reading], float]) -> Looks:
    return Looks({"toy": probe}, sight, took)  # type: ignore[arg-type]


async def test_looks_stay_on_their_grid_however_long_they_take() -> None:
    sight, at = ToySight(), []
    sight.takes_seconds = 0.03
    looks = looks_of(ToyProbe(every=0.1), sight, lambda _n, _r: at.append(asyncio.get_running_loop().time()) or 0.1)  # type: ignore[func-returns-value]
    async with looking(looks):
        await asyncio.sleep(1.1)
    assert 8 <= len(at) <= 12
    steps = [b - a for a, b in pairwise(at)]
    assert all(abs(step - 0.1) < 0.06 for step in steps), steps


async def test_a_failed_look_is_confirmed_at_once() -> None:
    sight, at = ToySight(), []
    sight.down = True

    def took(_name: str, reading: Reading) -> float:
        assert reading.state is State.DOWN
        at.append(asyncio.get_running_loop().time())
        return 0.05 if len(at) < 3 else 60.0

    async with looking(looks_of(ToyProbe(every=60.0, confirm_every=0.05), sight, took)):
        looks_wait = phase("toy") * 5 + 0.5
        await asyncio.sleep(looks_wait)
    assert len(at) == 3
    assert at[2] - at[0] < 0.25


async def test_a_second_look_never_starts_while_the_last_one_hangs() -> None:
    sight = ToySight()
    sight.takes_seconds, sight.stubborn = 5.0, True
    readings: list[Reading] = []
    looks = looks_of(ToyProbe(every=0.05, timeout=0.1), sight, lambda _n, r: readings.append(r) or 0.05)  # type: ignore[func-returns-value]
    async with looking(looks):
        await asyncio.sleep(1.2)
    assert sight.most_at_once == 1
    assert 2 <= len(readings) <= 4


async def test_a_wanted_look_comes_now() -> None:
    sight = ToySight()
    readings: list[Reading] = []
    looks = looks_of(ToyProbe(every=60.0), sight, lambda _n, r: readings.append(r) or 60.0)  # type: ignore[func-returns-value]
    async with looking(looks):
        for wanted in (1, 2):
            looks.soon("toy")
            await asyncio.to_thread(wait_until, partial(lambda wanted: len(readings) >= wanted, wanted))
            await asyncio.sleep(0.1)
            assert len(readings) == wanted


async def test_what_does_not_look_any_more_is_named() -> None:
    now = 0.0
    looks = Looks({"toy": ToyProbe(every=1.0, timeout=2.0)}, ToySight(), lambda _n, _r: 1.0, clock=lambda: now)  # type: ignore[arg-type]
    assert looks.stuck() == []
    now = 60.0
    assert looks.stuck() == ["toy"]


async def test_a_bug_in_folding_ends_it_loudly() -> None:
    def took(_name: str, _reading: Reading) -> float:
        raise ZeroDivisionError

    with pytest.raises(ExceptionGroup) as caught:
        await asyncio.wait_for(looks_of(ToyProbe(every=0.05), ToySight(), took).run(), 6)
    assert caught.value.subgroup(ZeroDivisionError)


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0.01, 1e4))
def test_the_next_moment_of_a_grid_is_soon_and_never_past(now: float, base: float, every: float) -> None:
    found = next_on_grid(now, base, every)
    assert now - 1e-6 * max(1.0, now) <= found <= now + every * 1.001 + 1e-6 * max(1.0, now)


def test_phases_are_spread_evenly_and_stay() -> None:
    phases = sorted(phase(f"check-{number}") for number in range(10_000))
    buckets = [sum(1 for one in phases if tenth / 10 <= one < (tenth + 1) / 10) for tenth in range(10)]
    assert all(800 < count < 1200 for count in buckets)
    assert phase("website") == pytest.approx(0.2790430726, abs=1e-9), "the same in every process, forever"
