"""``address`` judged through servers, where the monitor can't ask itself; the wire is tried in test_segment.py."""

from __future__ import annotations

from typing import Any

import pytest

from failover.errors import OutcomeUnknown, Unreachable
from failover.model import State
from failover.probes.address import AddressProbe

from .conftest import ToySight

OURS, OTHER = "02:00:00:00:00:01", "02:00:00:00:00:02"
IP = "240.0.0.100"  # reserved (RFC 1112, 4): no machine is on that segment
HELD = {"held": True, "mac": OURS, "answered_by": []}
NOT_HELD = {"held": False, "mac": OURS, "answered_by": []}
GONE = Unreachable("web-1", "no session")


def sees(*macs: str) -> dict[str, Any]:
    return {"held": False, "mac": "02:00:00:00:00:99", "answered_by": list(macs)}


@pytest.mark.parametrize(
    ("holder", "db", "state", "reason"),
    [
        (HELD, None, State.UP, f"web-1 ({OURS}) answers for {IP}, and nobody else"),
        (HELD, sees(OURS), State.UP, f"web-1 ({OURS}) answers for {IP}, and nobody else"),
        (HELD, sees(OURS, OTHER), State.DOWN, f"two machines answer for {IP}: {OURS} and {OTHER}"),
        (HELD | {"answered_by": [OTHER]}, None, State.DOWN, f"two machines answer for {IP}: {OURS} and {OTHER}"),
        (HELD, sees(OTHER), State.DOWN, f"two machines answer for {IP}: {OURS} and {OTHER}"),
        (HELD, sees() | {"held": True, "mac": OTHER}, State.DOWN, f"two machines answer for {IP}: {OURS} and {OTHER}"),
        (HELD, sees(), State.DOWN, f"web-1 holds {IP}, yet it doesn't answer when db asks"),
        (NOT_HELD, None, State.DOWN, f"nobody answers for {IP}; web-1 should"),
        (NOT_HELD, sees(OTHER), State.DOWN, f"{OTHER} answers for {IP}, and web-1 says that it doesn't hold it"),
        (GONE, sees(OURS), State.UNKNOWN, f"{OURS} answers for {IP}; whether that's web-1 can't be asked"),
        (GONE, sees(OURS, OTHER), State.DOWN, f"two machines answer for {IP}: {OURS} and {OTHER}"),
        (GONE, sees(), State.UNKNOWN, f"nobody is heard for {IP} by db"),
        (GONE, None, State.UNKNOWN, "web-1: no session"),
        (HELD, OutcomeUnknown("db", "silent"), State.UP, f"web-1 ({OURS}) answers for {IP}, and nobody else"),
    ],
)
async def test_who_answers(sight: ToySight, holder: Any, db: Any, state: State, reason: str) -> None:
    sight.services = {"www": (IP, "web-1")}
    sight.answers = {("web-1", "address"): holder, ("db", "address"): db}
    probe = AddressProbe(address="www", through=("db",) if db is not None else ())
    reading = await probe.take("a", sight)
    assert (reading.state, reason in reading.reason) == (state, True), reading.reason


async def test_an_address_that_nobody_should_hold(sight: ToySight) -> None:
    sight.services = {"www": (IP, None)}
    sight.answers = {("db", "address"): sees()}
    probe = AddressProbe(address="www", through=("db",))
    assert (await probe.take("a", sight)).reason == f"nobody answers for {IP}, as it should be"
    sight.answers = {("db", "address"): sees(OTHER)}
    reading = await probe.take("a", sight)
    assert (reading.state, reading.reason) == (State.DOWN, f"{OTHER} answers for {IP}, and nobody should")


async def test_nobody_to_ask_is_unknown_and_says_why(sight: ToySight) -> None:
    sight.services = {"www": (IP, None)}
    reading = await AddressProbe(address="www").take("a", sight)
    assert (reading.state, reading.reason) == (
        State.UNKNOWN,
        f"this monitor isn't on the segment of {IP}, and there is no server to ask in its place;"
        " name some under `through`",
    )
