"""The monitor knows when it can't be trusted."""

from __future__ import annotations

import asyncio
import os
import resource
import time
from contextlib import suppress

import pytest

from failover.model import State
from failover.probes.local import LocalProbe, own_addresses
from failover.probes.selfwatch import TICK_SECONDS, SelfWatch, count_fds

from .conftest import Stage, ToySight


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_lag_is_remembered_for_a_while() -> None:
    clock = Clock()
    watch = SelfWatch(lag_seconds=0.5, memory_seconds=10, clock=clock)
    assert watch.own_fault() is None

    def sample(lag: float) -> None:
        watch.tick(clock.now + TICK_SECONDS)
        clock.now += TICK_SECONDS + lag
        watch.late(clock.now)

    sample(0.01)
    assert watch.own_fault() is None
    sample(2.0)
    assert watch.own_fault() == "its own loop stood still for 2 s, allowed are 500 ms"
    for _ in range(50):
        sample(0.02)
    assert watch.worst_lag_seconds() == pytest.approx(2.0)
    clock.now += 10
    assert watch.own_fault() is None
    sample(0.03)
    assert watch.worst_lag_seconds() == pytest.approx(0.03)


def test_a_lag_that_still_goes_on_counts() -> None:
    """When the loop comes back, a check's timeout may be handled before the sample that was due."""
    clock = Clock()
    watch = SelfWatch(lag_seconds=0.5, clock=clock)
    watch.tick(clock.now + TICK_SECONDS)
    clock.now += 3
    assert watch.worst_lag_seconds() == pytest.approx(2.9)


async def test_a_blocked_loop_calls_nothing_down(stage: Stage, sight: ToySight) -> None:
    from failover.probes.http import HttpProbe

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    watch = SelfWatch(lag_seconds=0.2)
    sight.own_fault = watch.own_fault  # type: ignore[method-assign]
    port = await stage.serve(silent)
    watching = asyncio.create_task(watch.run())
    look = asyncio.create_task(HttpProbe(url=f"http://127.0.0.1:{port}/", timeout="300ms").take("w", sight))
    await asyncio.sleep(0.05)
    time.sleep(0.6)  # noqa: ASYNC251 - the fault itself
    reading = await look
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching
    assert reading.state is State.UNKNOWN
    assert reading.reason.startswith("the monitor can't judge (its own loop stood still for ")


def test_file_descriptors_are_counted() -> None:
    used, allowed = count_fds()
    opened = [os.open("/dev/null", os.O_RDONLY) for _ in range(20)]
    try:
        assert count_fds() == (used + 20, allowed)
    finally:
        for each in opened:
            os.close(each)


async def test_a_monitor_without_file_descriptors_calls_nothing_down(stage: Stage, sight: ToySight) -> None:
    from failover.probes.http import HttpProbe

    port = await stage.page()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/proc/self/fd")))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 2, hard))
    held: list[int] = []
    try:
        with suppress(OSError):
            while True:
                held.append(os.open("/dev/null", os.O_RDONLY))
        watch = SelfWatch()
        watch.tick(time.monotonic() + TICK_SECONDS)
        fault = watch.own_fault()
        reading = await HttpProbe(url=f"http://127.0.0.1:{port}/").take("w", sight)
    finally:
        for each in held:
            os.close(each)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (reading.state, reading.reason) == (
        State.UNKNOWN,
        f"can't reach 127.0.0.1:{port}: this monitor has no file descriptor left (EMFILE)",
    )
    assert fault is not None
    assert "file descriptors open" in fault


async def test_a_healthy_monitor_is_up(sight: ToySight, tmp_path: object) -> None:
    sight.services = {"www": ("192.0.2.100", "web-1")}
    probe = LocalProbe(state_dir=str(tmp_path), min_disk_percent=0, addresses=["www"], max_lag="2s")
    reading = await probe.take("monitor", sight)
    assert (reading.state, reading.reason) == (State.UP, "the monitor is well")
    assert set(reading.values) == {
        "local_loop_lag_seconds",
        "local_open_fds",
        "local_resident_memory_bytes",
        "local_memory_available_ratio",
        "local_disk_free_ratio",
    }
    assert 0 < reading.values["local_disk_free_ratio"] < 1


async def test_everything_that_is_wrong_with_the_monitor_is_named(sight: ToySight, tmp_path: object) -> None:
    sight.services = {"www": ("127.0.0.1", "web-1")}
    sight.fault = "its own loop stood still for 3 s"
    probe = LocalProbe.model_validate(
        {
            "state_dir": f"{tmp_path}/none",
            "addresses": ["www"],
            "max_rss_mib": 1,
            "min_memory_percent": 100,
            "max_fds_percent": 0.001,
        }
    )
    reading = await probe.take("monitor", sight)
    assert reading.state is State.DOWN, "the monitor's fault is this probe's finding"
    for said in (
        "file descriptors are open",
        "the daemon takes",
        "of memory is available, needed are 100 %",
        "none: No such file or directory",
        "service address www (127.0.0.1) is on the monitor's own lo",
        "its own loop stood still for 3 s",
    ):
        assert said in reading.reason


async def test_a_late_loop_is_found_by_the_local_probe(sight: ToySight, tmp_path: object) -> None:
    look = asyncio.create_task(LocalProbe(state_dir=str(tmp_path), min_disk_percent=0).take("m", sight))
    await asyncio.sleep(0.01)
    time.sleep(0.4)  # noqa: ASYNC251 - the fault itself
    reading = await look
    assert reading.state is State.DOWN
    assert "its loop is" in reading.reason
    assert reading.values["local_loop_lag_seconds"] > 0.3


def test_own_addresses_know_loopback() -> None:
    assert own_addresses()["127.0.0.1"] == "lo"
