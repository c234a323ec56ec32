"""Thousands at once on one loop, and names that never come back."""

from __future__ import annotations

import asyncio
import resource
import socket
import threading
import time
from collections import Counter
from typing import Any

import pytest

from failover.model import State
from failover.probes import resolve
from failover.probes.http import HttpProbe

from .conftest import Nginx, ToySight


async def test_two_thousand_pages_at_once(nginx: Nginx, sight: ToySight) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 8192)), hard))
    try:
        probe = HttpProbe.model_validate(
            {"url": f"http://127.0.0.1:{nginx.port}/", "timeout": "10s", "expect": {"contains": "统计"}}
        )
        before = len(asyncio.all_tasks())
        readings = await asyncio.gather(*(probe.take("w", sight) for _ in range(2000)))
        assert Counter(reading.reason for reading in readings) == {"200 OK": 2000}
        assert len(asyncio.all_tasks()) == before
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_name_server_that_hangs_holds_nobody_up(sight: ToySight, monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy is a getaddrinfo that hangs, as libc's does for half a minute when no name server answers."""
    real, release, asked = socket.getaddrinfo, threading.Event(), Counter[str]()

    def hanging(host: str, *args: Any, **more: Any) -> Any:
        if host.endswith(".invalid") and not more.get("flags"):
            asked[host] += 1
            release.wait(10)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return real(host, *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", hanging)
    try:
        names = [f"n{number}.invalid" for number in range(40)]
        began = time.monotonic()
        readings = await asyncio.gather(
            *(HttpProbe(url=f"http://{name}/", timeout="300ms").take(name, sight) for name in names * 3)
        )
        assert time.monotonic() - began < 5
        assert {reading.state for reading in readings} == {State.UNKNOWN}
        reasons = Counter(reading.reason.replace(reading.check, "NAME") for reading in readings)
        refused = len(names) - resolve.MOST_LOOKUPS
        assert reasons == {
            "no complete answer within 0.3 s (still looking up the name)": resolve.MOST_LOOKUPS * 3,
            f"can't look up NAME: {resolve.MOST_LOOKUPS} look-ups hang already": refused * 3,
        }
        assert len(asked) == resolve.MOST_LOOKUPS
        assert set(asked.values()) == {1}, "who asks for the same name waits for the same answer"
        literal = await HttpProbe(url="http://127.0.0.1:1/", timeout="300ms").take("ip", sight)
        assert literal.state is State.DOWN, "addresses need no name server"
    finally:
        release.set()
    for _ in range(100):
        if not resolve._under_way:
            break
        await asyncio.sleep(0.02)
    assert not resolve._under_way
    again = await HttpProbe(url="http://n0.invalid/", timeout="2s").take("n0", sight)
    assert again.reason == "can't look up n0.invalid: Temporary failure in name resolution"
