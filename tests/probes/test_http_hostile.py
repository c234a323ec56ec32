"""``http`` against replies that are wrong on purpose: capped, failed, and memory stays flat."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from failover.model import State
from failover.probes.http import HttpProbe

from .conftest import Stage, ToySight, saying

MIB = 1024 * 1024


@pytest.fixture
def peak() -> Iterator[Any]:
    """Bytes that were allocated at most since the test began."""
    tracemalloc.start(1)
    yield lambda: tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()


def endless(head: bytes, piece: bytes) -> Any:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        while True:
            writer.write(piece)
            await writer.drain()

    return speak


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5368709120\r\n\r\n",
    ],
    ids=["until close", "chunked", "announced"],
)
@pytest.mark.parametrize("kept", [False, True], ids=["unread", "searched"])
async def test_a_body_of_gigabytes_is_cut_off(
    stage: Stage, sight: ToySight, peak: Any, head: bytes, kept: bool
) -> None:
    piece = b"10000\r\n" + b"x" * 65536 + b"\r\n" if b"chunked" in head else b"x" * 65536
    port = await stage.serve(endless(head, piece))
    expect = {"max_bytes": MIB, **({"contains": "y"} if kept else {})}
    reading = await HttpProbe(url=f"http://127.0.0.1:{port}/", expect=expect, timeout="5s").take("w", sight)
    assert reading.state is State.DOWN
    assert reading.reason in (
        "the page is longer than the 1048576 bytes allowed",
        "the page is 5368709120 bytes long, allowed are 1048576",
    )
    assert peak() < (4 if kept else 2) * MIB


async def test_endless_headers_are_cut_off(stage: Stage, sight: ToySight, peak: Any) -> None:
    port = await stage.serve(endless(b"HTTP/1.1 200 OK\r\n", b"X-Y: " + b"z" * 1000 + b"\r\n"))
    reading = await HttpProbe(url=f"http://127.0.0.1:{port}/", timeout="5s").take("w", sight)
    assert (reading.state, reading.reason) == (
        State.DOWN,
        f"127.0.0.1:{port} sends more than 65536 bytes of headers",
    )
    assert peak() < 2 * MIB


async def test_early_hints_for_ever_are_cut_off(stage: Stage, sight: ToySight) -> None:
    port = await stage.serve(endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100))
    reading = await HttpProbe(url=f"http://127.0.0.1:{port}/", timeout="5s").take("w", sight)
    assert "bytes of headers" in reading.reason


async def test_a_gzip_bomb_stays_packed(stage: Stage, sight: ToySight, peak: Any) -> None:
    bomb = gzip.compress(bytes(200 * MIB), 6)
    assert len(bomb) < MIB
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    port = await stage.serve(saying(head + bomb))
    expect = {"contains": "hello", "max_bytes": MIB}
    reading = await HttpProbe(url=f"http://127.0.0.1:{port}/", expect=expect).take("w", sight)
    assert (reading.state, reading.reason) == (State.DOWN, "the page unpacks to more than 1048576 bytes")
    assert peak() - before < 6 * MIB


@pytest.mark.parametrize("encoding", [b"gzip", b"deflate"])
async def test_a_page_packed_unasked_is_still_read(stage: Stage, sight: ToySight, encoding: bytes) -> None:
    page = "统计信息网".encode()
    packed = gzip.compress(page) if encoding == b"gzip" else zlib.compress(page)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: %b\r\nContent-Length: %d\r\n\r\n" % (encoding, len(packed))
    port = await stage.serve(saying(head + packed))
    reading = await HttpProbe(url=f"http://127.0.0.1:{port}/", expect={"contains": "统计"}).take("w", sight)
    assert reading.state is State.UP


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (b"", "closed the connection without a reply"),
        (b"HTTP/1.1 200 O", "closed the connection without a reply"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "doesn't speak HTTP: it sends b'SSH-2.0-OpenSSH_9.2"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello", "broke off in the middle of the page, after 5 bytes"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "broke off in the middle"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n", "sends a garbled reply"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 3\r\n\r\nabc", "comes packed as 'br'"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", "is said to be gzip and isn't"),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
            "change to another protocol",
        ),
    ],
)
async def test_a_broken_reply_is_down_and_says_how(stage: Stage, sight: ToySight, reply: bytes, reason: str) -> None:
    port = await stage.serve(saying(reply))
    expect = {"contains": "hello"} if b"Encoding: " in reply else {}
    reading = await HttpProbe(url=f"http://127.0.0.1:{port}/", expect=expect).take("w", sight)
    assert reading.state is State.DOWN, reading.reason
    assert reason in reading.reason


async def test_a_body_until_close_is_whole(stage: Stage, sight: ToySight) -> None:
    port = await stage.serve(saying(b"HTTP/1.0 200 OK\r\n\r\nhello"))
    reading = await HttpProbe(url=f"http://127.0.0.1:{port}/", expect={"contains": "hello"}).take("w", sight)
    assert reading.state is State.UP
    assert reading.values["http_content_length"] == 5


def redirect(to: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode()


async def test_a_redirect_is_followed_and_counted(stage: Stage, sight: ToySight) -> None:
    port = await stage.serve(saying(b"HTTP/1.1 200 There\r\nContent-Length: 0\r\n\r\n"))
    first = await stage.serve(saying(redirect(f"http://127.0.0.1:{port}/there")))
    reading = await HttpProbe(url=f"http://127.0.0.1:{first}/").take("w", sight)
    assert (reading.state, reading.reason) == (State.UP, "200 There")
    assert reading.values["http_redirects"] == 1
    wanted = await HttpProbe(url=f"http://127.0.0.1:{first}/", expect={"status": 302}).take("w", sight)
    assert wanted.reason == "302 Found", "a redirect that is expected is not followed"
    none = await HttpProbe(url=f"http://127.0.0.1:{first}/", max_redirects=0).take("w", sight)
    assert none.reason == "answered 302 Found, expected 2xx"


async def test_a_redirect_loop_ends(stage: Stage, sight: ToySight) -> None:
    heard: list[bytes] = []
    port = await stage.serve(saying(redirect("/again"), heard))
    reading = await HttpProbe(url=f"http://127.0.0.1:{port}/", max_redirects=3).take("w", sight)
    assert reading.state is State.DOWN
    assert reading.reason == f"more than 3 redirects, the last to http://127.0.0.1:{port}/again"
    assert len(heard) == 4


@pytest.mark.parametrize("to", ["file:///etc/passwd", "gopher://127.0.0.1/", "http://[:bad/"])
async def test_a_redirect_to_nowhere_is_down(stage: Stage, sight: ToySight, to: str) -> None:
    port = await stage.serve(saying(redirect(to)))
    reading = await HttpProbe(url=f"http://127.0.0.1:{port}/").take("w", sight)
    assert reading.state is State.DOWN
    assert "redirects to" in reading.reason


async def test_own_headers_stay_with_the_host_they_are_for(stage: Stage, sight: ToySight) -> None:
    heard: list[bytes] = []
    port = await stage.serve(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", heard))
    first = await stage.serve(saying(redirect(f"http://localhost:{port}/")))
    await HttpProbe(url=f"http://127.0.0.1:{first}/", headers={"X-Key": "k"}).take("w", sight)
    assert b"X-Key" not in heard[0]
