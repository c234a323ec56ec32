"""A look becomes a reading: bounded, explained, and never blamed on them when it's ours."""

from __future__ import annotations

import asyncio
import time
from typing import Literal

import pytest

from failover.errors import OutcomeUnknown, Undecidable, Unhealthy, Unreachable
from failover.model import State
from failover.probes.base import Probe, Seen, Sight, ask, track

from .conftest import ToySight


class Looking(Probe):
    """Does what the test says."""

    kind: Literal["looking"] = "looking"
    does: str = "well"

    async def look(self, sight: Sight) -> Seen:
        done = track()
        done.values["measured"] = 7.0
        if self.does == "well":
            return Seen("all well", {"connect": 0.1}, {"answers": 1.0})
        if self.does == "down":
            raise Unhealthy("it's down", phases={"tls": 0.2}, values={"http_status_code": 500.0})
        if self.does == "undecidable":
            raise Undecidable("no name server")
        if self.does == "unreachable":
            raise Unreachable("web", "no session")
        if self.does == "unknown outcome":
            raise OutcomeUnknown("web", "no answer")
        if self.does == "bug":
            raise ZeroDivisionError("division by zero")
        if self.does == "timeout of its own":
            raise TimeoutError("an inner one")
        if self.does == "asks":
            await ask(sight, "web-1", "facts", 5)
        done.enter(self.does)
        await asyncio.sleep(30)
        raise AssertionError("it should have been stopped")


@pytest.mark.parametrize(
    ("does", "state", "reason"),
    [
        ("well", State.UP, "all well"),
        ("down", State.DOWN, "it's down"),
        ("undecidable", State.UNKNOWN, "no name server"),
        ("unreachable", State.UNKNOWN, "web: no session"),
        ("unknown outcome", State.UNKNOWN, "web: no answer"),
        ("bug", State.UNKNOWN, "the probe itself failed: ZeroDivisionError: division by zero"),
        ("timeout of its own", State.UNKNOWN, "the probe itself failed: TimeoutError: an inner one"),
        ("connect", State.DOWN, "no complete answer within 0.1 s (still connecting)"),
        ("processing", State.DOWN, "no complete answer within 0.1 s (connected, but no reply came)"),
        ("resolve", State.UNKNOWN, "no complete answer within 0.1 s (still looking up the name)"),
        ("asks", State.UNKNOWN, "no complete answer within 0.1 s (a server's helper hadn't answered)"),
    ],
)
async def test_a_look_becomes_a_reading(does: str, state: State, reason: str, sight: ToySight) -> None:
    sight.answer_seconds = 10
    reading = await Looking(timeout="100ms", does=does).take("site", sight)
    assert (reading.check, reading.state, reading.reason) == ("site", state, reason)
    assert reading.values["measured"] == 7.0


async def test_what_was_measured_until_a_failure_is_kept(sight: ToySight) -> None:
    reading = await Looking(does="down").take("site", sight)
    assert reading.phases == {"tls": 0.2}
    assert reading.values == {"measured": 7.0, "http_status_code": 500.0}


async def test_the_phase_that_ran_out_of_time_is_measured(sight: ToySight) -> None:
    reading = await Looking(timeout="200ms", does="tls").take("site", sight)
    assert 0.15 < reading.phases["tls"] < 3
    assert 0.2 <= reading.seconds < 3


async def test_a_monitor_at_fault_calls_nothing_down(sight: ToySight) -> None:
    sight.fault = "its own loop stood still for 3 s"
    down = await Looking(does="down").take("site", sight)
    assert down.state is State.UNKNOWN
    assert down.reason == "the monitor can't judge (its own loop stood still for 3 s); it saw: it's down"
    assert (await Looking().take("site", sight)).state is State.UP, "what was seen to be well is well"


async def test_a_probe_of_the_monitor_may_find_its_fault(sight: ToySight) -> None:
    class Own(Looking):
        about_monitor = True

    sight.fault = "no file descriptors"
    assert (await Own(does="down").take("own", sight)).state is State.DOWN


async def test_cancellation_goes_through(sight: ToySight) -> None:
    task = asyncio.create_task(Looking(timeout="10s", does="connect").take("site", sight))
    await asyncio.sleep(0.05)
    task.cancel()
    began = time.monotonic()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - began < 5


async def test_looks_at_once_keep_their_tracks_apart(sight: ToySight) -> None:
    readings = await asyncio.gather(
        *(Looking(timeout="100ms", does=does).take(does, sight) for does in ("connect", "tls", "transfer"))
    )
    assert [set(reading.phases) for reading in readings] == [{"connect"}, {"tls"}, {"transfer"}]
