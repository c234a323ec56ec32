"""``host``: what a server's facts amount to."""

from __future__ import annotations

import time
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from failover.errors import Unreachable
from failover.model import State
from failover.probes.host import HostProbe

from .conftest import ToySight

GIB = 1 << 30
WELL: dict[str, Any] = {
    "load": [0.5, 0.4, 0.3],
    "cpus": 2,
    "memory": {"total_bytes": 4 * GIB, "available_bytes": 2 * GIB},
    "disks": {"/": {"size_bytes": 100 * GIB, "free_bytes": 50 * GIB, "free_inodes": 10**6, "read_only": False}},
    "services": {"nginx.service": {"active": "active"}, "wcm": {"active": "failed"}},
}


def facts(change: Any = None, *, clock: float = 0.0) -> dict[str, Any]:
    made = deepcopy(WELL) | {"time": time.time() + clock}
    if change is not None:
        change(made)
    return made


async def look(sight: ToySight, answer: dict[str, Any] | Exception, **settings: Any) -> tuple[State, str]:
    sight.answers["web-1", "facts"] = answer
    reading = await HostProbe.model_validate({"role": "web", **settings}).take("h", sight)
    return reading.state, reading.reason


async def test_a_healthy_host_is_up(sight: ToySight) -> None:
    assert await look(sight, facts(), services=["nginx"]) == (State.UP, "web-1 is well")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda f: f.update(load=[0, 9, 0]), "web-1: load per CPU is 4.5, allowed are 4"),
        (
            lambda f: f["memory"].update(available_bytes=GIB // 25),
            "web-1: 1.0 % of memory is available, needed are 5 %",
        ),
        (lambda f: f["disks"]["/"].update(free_bytes=GIB), "web-1: 1.0 % of / is free, needed are 10 %"),
        (lambda f: f["disks"]["/"].update(free_inodes=7), "web-1: only 7 files more fit on /, needed are 1000"),
        (lambda f: f["disks"]["/"].update(read_only=True), "web-1: / is read-only"),
    ],
)
async def test_each_threshold(sight: ToySight, change: Any, reason: str) -> None:
    assert await look(sight, facts(change)) == (State.DOWN, reason)


async def test_a_full_disk_is_named_once(sight: ToySight) -> None:
    def fill(f: dict[str, Any]) -> None:
        f["disks"]["/"].update(free_bytes=GIB)
        f["disks"]["/srv/site"] = dict(f["disks"]["/"])
        f["disks"]["/run"] = {"size_bytes": GIB, "free_bytes": 0, "free_inodes": None, "read_only": False}

    _, reason = await look(sight, facts(fill))
    assert reason == "web-1: 1.0 % of / is free, needed are 10 %; 0.0 % of /run is free, needed are 10 %"


async def test_only_what_is_judged_is_asked_for(sight: ToySight) -> None:
    await look(sight, facts())
    await look(sight, facts(), services=["nginx"])
    assert [args["sections"] for _, verb, args in sight.asked if verb == "facts"] == [
        ["load", "cpus", "memory", "disks"],
        ["load", "cpus", "memory", "disks", "services"],
    ]


async def test_everything_over_is_listed(sight: ToySight) -> None:
    _, reason = await look(sight, facts(lambda f: f.update(load=[0, 9, 0])), services=["wcm", "nginx", "cron"])
    assert reason == (
        "web-1: load per CPU is 4.5, allowed are 4; service wcm is failed;"
        " nothing is known of service cron (its helper's policy doesn't name it?)"
    )


@pytest.mark.parametrize(("clock", "reason"), [(30.0, "30 s ahead of"), (-120.0, "2 min behind")])
async def test_a_wrong_clock(sight: ToySight, clock: float, reason: str) -> None:
    state, said = await look(sight, facts(clock=clock))
    assert state is State.DOWN
    assert f"its clock is {reason} the monitor's" in said


async def test_a_slow_answer_is_no_wrong_clock(sight: ToySight) -> None:
    """The clock is read anywhere within the round trip, here at its very end."""
    sight.answer_seconds = 0.4
    assert (await look(sight, facts(clock=0.4), max_clock_skew="10ms"))[0] is State.UP
    sight.answer_seconds = 0
    assert (await look(sight, facts(clock=0.4), max_clock_skew="10ms"))[0] is State.DOWN


async def test_a_clock_in_words_is_understood(sight: ToySight) -> None:
    late = (datetime.now(UTC) - timedelta(seconds=60)).isoformat()
    assert "behind the monitor's" in (await look(sight, facts() | {"time": late}))[1]


async def test_a_host_that_cannot_be_asked_is_unknown(sight: ToySight) -> None:
    assert await look(sight, Unreachable("web-1", "no session")) == (State.UNKNOWN, "web-1: no session")


async def test_facts_that_make_no_sense_are_unknown(sight: ToySight) -> None:
    state, reason = await look(sight, {"load": []})
    assert state is State.UNKNOWN
    assert reason.startswith("web-1: its facts can't be understood: IndexError")


def test_it_needs_a_server() -> None:
    with pytest.raises(ValidationError, match="nothing to look at; give it a server or a role"):
        HostProbe()
    assert HostProbe(server="db").fails_over is False
