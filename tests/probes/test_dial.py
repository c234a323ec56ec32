"""The race among the addresses of one name: the first that answers wins, and the losers leave nothing behind."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

import pytest

from failover.errors import Undecidable, Unhealthy
from failover.model import State
from failover.probes.dial import HEAD_START_SECONDS, _first, dial
from failover.probes.http import HttpProbe
from failover.probes.resolve import SockAddress, resolve
from failover.probes.selfwatch import count_fds

from .conftest import Stage, ToySight, free_port


def v4(port: int, host: str = "127.0.0.1") -> SockAddress:
    return socket.AF_INET, (host, port)


def v6(port: int) -> SockAddress:
    return socket.AF_INET6, ("::1", port, 0, 0)


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


@pytest.fixture
def hanging() -> object:
    """A port whose queue is full: the kernel drops further connection attempts in silence."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        waiting = []
        for _ in range(3):
            waiting.append(socket.socket())
            waiting[-1].setblocking(False)
            waiting[-1].connect_ex(address)
        time.sleep(0.05)
        yield address[1]
        for each in waiting:
            each.close()


async def test_a_refusal_passes_on_to_the_next_at_once(stage: Stage) -> None:
    port = await stage.serve(silent)
    began = time.monotonic()
    wire = await _first([v6(port), v4(port)])
    assert time.monotonic() - began < HEAD_START_SECONDS
    assert wire.where == f"127.0.0.1:{port}"
    wire.close()


async def test_silence_gives_a_head_start_and_no_more(stage: Stage, hanging: int) -> None:
    port = await stage.serve(silent)
    before, _ = count_fds()
    began = time.monotonic()
    wire = await _first([v4(hanging), v4(port), v4(free_port())])
    assert HEAD_START_SECONDS <= time.monotonic() - began < 4 * HEAD_START_SECONDS
    assert wire.where == f"127.0.0.1:{port}"
    wire.close()
    await asyncio.sleep(0.05)
    assert count_fds()[0] <= before + 1, "the loser's socket is closed; the server's end may still be open"


async def test_all_refusing_is_their_fault_and_comes_before_ours() -> None:
    port = free_port()
    with pytest.raises(Unhealthy, match="refuses the connection"):
        await _first([(socket.AF_INET, ("255.255.255.255", port)), v4(port)])
    with pytest.raises(Undecidable, match="this machine"):
        await _first([(socket.AF_INET, ("255.255.255.255", port))])


async def test_cancelling_the_race_closes_every_socket(hanging: int) -> None:
    before, _ = count_fds()
    race = asyncio.create_task(_first([v4(hanging), v4(hanging)]))
    await asyncio.sleep(HEAD_START_SECONDS + 0.1)
    assert count_fds()[0] == before + 2
    race.cancel()
    with pytest.raises(asyncio.CancelledError):
        await race
    await asyncio.sleep(0.05)
    assert count_fds()[0] == before


async def test_families_are_kept_apart() -> None:
    assert await resolve("127.0.0.1", 80) == [(socket.AF_INET, ("127.0.0.1", 80))]
    assert await resolve("::1", 80) == [(socket.AF_INET6, ("::1", 80, 0, 0))]
    assert {family for family, _ in await resolve("localhost", 80, "ipv4")} == {socket.AF_INET}
    with pytest.raises(Undecidable, match=r"127\.0\.0\.1 is no ipv6 address"):
        await resolve("127.0.0.1", 80, "ipv6")
    with pytest.raises(Undecidable, match="can't look up"):
        await resolve("a..b", 80)


async def test_a_name_with_two_addresses_is_raced(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo

    def two(host: str, port: int, *args: Any, **more: Any) -> Any:
        if host != "two.invalid":
            return real(host, port, *args, **more)
        if more.get("flags"):
            raise socket.gaierror(socket.EAI_NONAME, "not an address")
        return [(family, socket.SOCK_STREAM, 6, "", where) for family, where in (v6(port), v4(port))]

    monkeypatch.setattr(socket, "getaddrinfo", two)
    port = await stage.serve(silent)
    wire = await dial("two.invalid", port)
    assert wire.where == f"127.0.0.1:{port}"
    wire.close()


async def test_a_server_that_takes_no_connection_is_known_before_a_slow_page_would_be(hanging: int) -> None:
    probe = HttpProbe(url=f"http://127.0.0.1:{hanging}/", timeout=2.0, connect_timeout=0.15)
    reading = await probe.take("website", ToySight())
    assert reading.state is State.DOWN
    assert reading.reason == f"127.0.0.1:{hanging} took no connection within 0.15 s"
    assert 0.1 < reading.seconds < 1.9


async def test_a_slow_page_has_the_whole_time(stage: Stage) -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.3)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()
        writer.close()

    port = await stage.serve(slow)
    probe = HttpProbe(url=f"http://127.0.0.1:{port}/", timeout=2.0, connect_timeout=0.15)
    assert (await probe.take("website", ToySight())).state is State.UP
