"""``ping`` on loopback: one socket for all, answers told apart, nothing left behind."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import textwrap
import time

import pytest

from failover.model import State
from failover.probes import icmp
from failover.probes.icmp import Echoer, checksum, echoer
from failover.probes.ping import PingProbe
from failover.probes.selfwatch import count_fds

from .conftest import ToySight


@pytest.fixture(autouse=True)
def may_ping() -> None:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP).close()
    except PermissionError:
        if os.geteuid() != 0:
            pytest.skip("this user may not ping: run as root, or widen net.ipv4.ping_group_range")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "localhost", "127.200.1.2"])
async def test_loopback_answers(address: str, sight: ToySight) -> None:
    reading = await PingProbe(address=address).take("p", sight)
    assert reading.state is State.UP, reading.reason
    assert reading.values == {"icmp_lost": 0.0}
    assert 0 < reading.phases["processing"] <= reading.seconds < 0.5


async def test_thousands_at_once_over_one_socket(sight: ToySight, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(icmp, "_RECEIVE_BUFFER_BYTES", 212992)  # what Linux grants where nobody raised rmem_max
    probes = [PingProbe(address=f"127.{1 + n // 250}.0.{1 + n % 250}", timeout="5s") for n in range(2000)]
    before, _ = count_fds()
    tasks = [asyncio.create_task(probe.take("p", sight)) for probe in probes]
    await asyncio.sleep(0)
    during, _ = count_fds()
    readings = await asyncio.gather(*tasks)
    after, _ = count_fds()
    assert [reading.reason for reading in readings if reading.state is not State.UP] == []
    assert (during - before, after - before) == (1, 0)
    assert sum(reading.values["icmp_lost"] for reading in readings) == 0


async def test_an_answer_of_another_host_or_request_does_not_count(sight: ToySight) -> None:
    """Replies that carry the right token but come from elsewhere are no proof of life of the one asked."""
    ours = echoer(socket.AF_INET)
    asked = asyncio.create_task(PingProbe(address="127.0.0.9", timeout="300ms").take("p", sight))
    ours._send = lambda *_: None  # type: ignore[method-assign] # nothing is sent, so nobody answers
    await asyncio.sleep(0.02)
    (token,) = ours._waiting
    head = b"\x45" + bytes(19) if ours._raw else b""
    for forged, sender in [
        (b"\0" * 8 + token + b"failover", "127.0.0.8"),
        (b"\x08" + b"\0" * 7 + token + b"failover", "127.0.0.9"),
        (b"\0" * 8 + bytes(8) + b"failover", "127.0.0.9"),
        (b"\0" * 8 + token, "127.0.0.9"),
        (b"", "127.0.0.9"),
    ]:
        ours._take(head + forged if forged else b"", (sender, 0), time.monotonic())
    reading = await asked
    assert (reading.state, reading.reason) == (
        State.DOWN,
        "no complete answer within 0.3 s (connected, but no reply came)",
    )
    assert ours._sock is None, "nobody waits, so the socket is gone"


async def test_lost_requests_are_sent_again_and_counted(sight: ToySight) -> None:
    ours = echoer(socket.AF_INET)
    real, calls = Echoer._send, 0

    def lossy(token: bytes, address: object, where: str) -> None:
        nonlocal calls
        calls += 1
        if calls > 2:
            real(ours, token, address, where)  # type: ignore[arg-type]

    ours._send = lossy  # type: ignore[method-assign]
    reading = await PingProbe(address="127.0.0.1", timeout="600ms", count=3).take("p", sight)
    assert reading.state is State.UP
    assert reading.values == {"icmp_lost": 2.0}
    assert 0.2 <= reading.seconds < 0.6
    assert reading.phases["processing"] < 0.2, "measured from the request that was answered"


async def test_a_cancelled_ping_leaves_nothing_behind(sight: ToySight) -> None:
    ours = echoer(socket.AF_INET)
    ours._send = lambda *_: None  # type: ignore[method-assign]
    task = asyncio.create_task(PingProbe(address="127.0.0.1", timeout="10s").take("p", sight))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (ours._sock, ours._waiting) == (None, {})


def test_without_permission_nothing_is_known() -> None:
    """In a process that may not: root without CAP_NET_RAW, or a user outside of ping_group_range."""
    if os.geteuid() != 0:
        pytest.skip("only root can give its permission away")
    script = """
        import asyncio, encodings.idna, os
        from failover.probes.ping import PingProbe
        from tests.probes.conftest import ToySight
        os.setgroups([]); os.setgid(65534); os.setuid(65534)
        reading = asyncio.run(PingProbe(address="127.0.0.1").take("p", ToySight()))
        print(reading.state, reading.reason)
    """
    said = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=30, check=True
    ).stdout
    if said.startswith("up"):
        pytest.skip("net.ipv4.ping_group_range lets everybody ping here")
    assert said.startswith("unknown this monitor may not ping: it needs CAP_NET_RAW")


def test_the_checksum_is_that_of_rfc_1071() -> None:
    example = bytes.fromhex("0001f203f4f5f6f7")  # RFC 1071, section 3: the sum is ddf2
    assert checksum(example) == 0xFFFF - 0xDDF2
    packet = b"\x08\x00\x00\x00\x12\x34\x00\x01abcdefgh"
    filled = packet[:2] + checksum(packet).to_bytes(2, "big") + packet[4:]
    assert checksum(filled) == 0
