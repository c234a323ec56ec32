"""``http`` against real servers on loopback: the page, and how it can be wrong, slow or absent."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import Any

import pytest

from failover.model import State
from failover.probes.http import HttpProbe

from .conftest import Nginx, Stage, ToySight, free_port, saying


def probe(port: int, path: str = "/", **settings: Any) -> HttpProbe:
    return HttpProbe.model_validate({"url": f"http://127.0.0.1:{port}{path}", **settings})


async def test_a_page_of_nginx_is_up_and_measured(nginx: Nginx, sight: ToySight) -> None:
    reading = await probe(nginx.port, expect={"status": 200, "contains": "统计"}).take("website", sight)
    assert (reading.state, reading.reason) == (State.UP, "200 OK")
    assert set(reading.phases) == {"resolve", "connect", "processing", "transfer"}
    assert sum(reading.phases.values()) <= reading.seconds < 1
    assert reading.values == {"http_status_code": 200.0, "http_redirects": 0.0, "http_content_length": 2716.0}


async def test_a_frozen_nginx_is_down_within_the_time(nginx: Nginx, sight: ToySight) -> None:
    nginx.signal_all(signal.SIGSTOP)
    reading = await probe(nginx.port, timeout="500ms").take("website", sight)
    assert reading.state is State.DOWN, "its kernel still accepts connections"
    assert reading.reason == "no complete answer within 0.5 s (connected, but no reply came)"
    assert 0.5 <= reading.seconds < 3
    nginx.signal_all(signal.SIGCONT)
    assert (await probe(nginx.port).take("website", sight)).state is State.UP


async def test_a_refused_connection_is_down_at_once(sight: ToySight) -> None:
    port = free_port()
    reading = await probe(port).take("website", sight)
    assert (reading.state, reading.reason) == (State.DOWN, f"127.0.0.1:{port} refuses the connection")
    assert reading.seconds < 2


@pytest.mark.parametrize("dripped", ["head", "body"])
async def test_a_drip_fails_within_the_time(stage: Stage, sight: ToySight, dripped: str) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        text = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000
        at_once = 0 if dripped == "head" else 60
        writer.write(text[:at_once])
        for byte in text[at_once:]:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.3)

    port = await stage.serve(drip)
    began = time.monotonic()
    reading = await probe(port, timeout="1s").take("website", sight)
    assert 1.0 <= time.monotonic() - began < 4
    assert reading.state is State.DOWN
    assert ("reply had begun" if dripped == "body" else "no reply came") in reading.reason


@pytest.mark.parametrize(
    ("status", "expect", "state", "reason"),
    [
        ("500 Internal Server Error", {}, State.DOWN, "answered 500 Internal Server Error, expected 2xx"),
        ("404 Not Found", {"status": [200, 204]}, State.DOWN, "answered 404 Not Found, expected 200 or 204"),
        ("503 Nicht da", {"status": "5xx"}, State.UP, "503 Nicht da"),
        ("401 Unauthorized", {"status": 401}, State.UP, "401 Unauthorized"),
        ("403 Forbidden", {}, State.UNKNOWN, "the monitor is blocked: it was answered 403 Forbidden"),
        ("429 Too Many", {}, State.UNKNOWN, "the monitor is blocked: it was answered 429 Too Many"),
        ("403 Forbidden", {"status": 403}, State.UP, "403 Forbidden"),
    ],
)
async def test_status(stage: Stage, sight: ToySight, status: str, expect: Any, state: State, reason: str) -> None:
    reading = await probe(await stage.page(status=status), expect=expect).take("website", sight)
    assert (reading.state, reading.reason) == (state, reason)
    assert reading.values["http_status_code"] == float(status[:3])


async def test_403_is_down_where_the_config_says_that_nobody_blocks(stage: Stage, sight: ToySight) -> None:
    reading = await probe(await stage.page(status="403 Forbidden"), blocked=[429]).take("website", sight)
    assert reading.state is State.DOWN


@pytest.mark.parametrize(
    ("expect", "reason"),
    [
        ({"contains": "统计"}, None),
        ({"contains": ["统计", "信息"]}, None),
        ({"contains": ["统计", "bureau"]}, "the page doesn't contain 'bureau'"),
        ({"not_contains": "Welcome to nginx"}, None),
        ({"not_contains": "信息"}, "the page contains '信息', which it mustn't"),
    ],
)
async def test_text(stage: Stage, sight: ToySight, expect: Any, reason: str | None) -> None:
    reading = await probe(await stage.page("统计信息网"), expect=expect).take("website", sight)
    assert reading.state is (State.UP if reason is None else State.DOWN)
    assert reason is None or reason in reading.reason


@pytest.mark.parametrize("told", ["by header", "by page"])
async def test_text_of_a_page_in_gbk_is_found(stage: Stage, sight: ToySight, told: str) -> None:
    body = '<meta charset="gb2312">统计信息网 镕'.encode("gb18030") if told == "by page" else "统计信息网".encode("gbk")
    head = b"Content-Type: text/html; charset=GBK\r\n" if told == "by header" else b""
    port = await stage.serve(saying(b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body)))
    assert (await probe(port, expect={"contains": "统计"}).take("website", sight)).state is State.UP
    assert (await probe(port, expect={"contains": "财政"}).take("website", sight)).state is State.DOWN


async def test_headers_tell_who_served(stage: Stage, sight: ToySight) -> None:
    port = await stage.page(head="X-Served-By: web-1.example\r\n")
    assert (
        await probe(port, role="web", expect={"header": {"x-served-by": "{holder}"}}).take("w", sight)
    ).state is State.UP
    sight.holders["web"] = "web-2"
    reading = await probe(port, role="web", expect={"header": {"X-Served-By": "{holder}"}}).take("w", sight)
    assert (reading.state, reading.reason) == (
        State.DOWN,
        "header X-Served-By is 'web-1.example', expected 'web-2' in it",
    )
    reading = await probe(port, expect={"header": {"X-Other": "a"}}).take("w", sight)
    assert reading.reason == "the reply has no header X-Other, expected 'a' in it"


async def test_the_holder_is_looked_at_wherever_it_is(stage: Stage, sight: ToySight) -> None:
    heard: list[bytes] = []
    four = await stage.serve(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", heard))
    six = await stage.serve(saying(b"HTTP/1.1 204 No Content\r\n\r\n", heard), host="::1")
    at = HttpProbe(role="web", url=f"http://{{holder}}:{four}/health?a=1")
    assert (await at.take("w", sight)).reason == "200 OK"
    sight.holders["web"] = "web-2"
    at = HttpProbe(role="web", url=f"http://{{holder}}:{six}/health")
    assert (await at.take("w", sight)).reason == "204 No Content"
    assert heard[0].startswith(b"GET /health?a=1 HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"Host: [::1]:" in heard[1]
    for wanted in (
        b"Accept-Encoding: identity",
        b"Cache-Control: no-cache",
        b"User-Agent: failover/",
        b"Connection: close",
    ):
        assert wanted in heard[0]


async def test_head_reads_no_body_and_sends_its_headers(stage: Stage, sight: ToySight) -> None:
    heard: list[bytes] = []
    port = await stage.serve(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 5000000000\r\n\r\n", heard))
    reading = await probe(port, method="HEAD", headers={"X-Probe": "failover", "Host": "www.example.cn"}).take(
        "w", sight
    )
    assert reading.state is State.UP
    assert reading.values["http_content_length"] == 5e9
    assert heard[0].startswith(b"HEAD / HTTP/1.1\r\n")
    assert b"X-Probe: failover\r\n" in heard[0]
    assert heard[0].lower().count(b"host:") == 1
    assert b"Host: www.example.cn" in heard[0]


async def test_a_slow_page_is_down_where_the_config_says_so(stage: Stage, sight: ToySight) -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.2)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        await reader.read()

    port = await stage.serve(slow)
    reading = await probe(port, expect={"max_seconds": 0.1}).take("w", sight)
    assert reading.state is State.DOWN
    assert "allowed are 0.1 s" in reading.reason
    assert reading.phases["processing"] >= 0.19
    assert (await probe(port, expect={"max_seconds": 1}).take("w", sight)).state is State.UP


async def test_early_hints_come_before_the_reply(stage: Stage, sight: ToySight) -> None:
    port = await stage.serve(
        saying(
            b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
            b"HTTP/1.1 200 Fine\r\nX-A: b\r\nContent-Length: 2\r\n\r\nok"
        )
    )
    reading = await probe(port, expect={"contains": "ok", "header": {"X-A": "b"}}).take("w", sight)
    assert (reading.state, reading.reason) == (State.UP, "200 Fine")


async def test_a_name_that_cannot_be_looked_up_is_the_monitors_trouble(sight: ToySight) -> None:
    reading = await HttpProbe(url="http://no-such-host.invalid/").take("w", sight)
    assert reading.state is State.UNKNOWN
    assert reading.reason.startswith("can't look up no-such-host.invalid:")


async def test_a_name_with_a_dead_first_address_is_up(stage: Stage, sight: ToySight) -> None:
    port = await stage.page()  # on 127.0.0.1 alone, while localhost may be ::1 first
    assert (await HttpProbe(url=f"http://localhost:{port}/").take("w", sight)).state is State.UP
    only_six = await HttpProbe(url=f"http://[::1]:{port}/").take("w", sight)
    assert (only_six.state, only_six.reason) == (State.DOWN, f"[::1]:{port} refuses the connection")
