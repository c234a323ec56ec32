"""What the helper says of what it can reach: over real sockets, from a real machine of the segment."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.servers.database_servers import MariaDB, PostgreSQL, database_server
from tests.servers.segment import Segment
from tests.servers.speak import Home, Speak, Speaker

PAGE = "<h1>统计</h1>".encode()


class Answers:
    """A TCP server on loopback that answers every request with these bytes, one chunk each ``pause`` seconds."""

    def __init__(self, *chunks: bytes, pause: float = 0.0) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.requests: list[bytes] = []
        self._chunks, self._pause = chunks, pause
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                try:
                    self.requests.append(connection.recv(65536))
                    for chunk in self._chunks:
                        connection.sendall(chunk)
                        time.sleep(self._pause)
                except OSError:
                    continue

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def answer() -> Iterator[Callable[..., Answers]]:
    made: list[Answers] = []

    def make(*chunks: bytes, pause: float = 0.0) -> Answers:
        made.append(Answers(*chunks, pause=pause))
        return made[-1]

    yield make
    for server in made:
        server.close()


@pytest.fixture
def helper(tmp_path: Path, speak: Speak) -> Speaker:
    return speak(Home(tmp_path / "root", see=["127.0.0.0/8", "10.77.0.0/24"]))


def http(body: bytes, status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nX-Served-By: web\r\nSet-Cookie: s=1\r\n\r\n"
    return head.encode() + body


def test_a_page_is_seen_with_its_marks(helper: Speaker, answer: Callable[..., Answers]) -> None:
    server = answer(http(PAGE))
    seen = helper.ask("see", url=f"http://127.0.0.1:{server.port}/a?b=c", host="www.example", contains="统计")["result"]
    assert (seen["seen"], seen["status"], seen["contains"]) == (True, 200, True)
    assert seen["headers"] == {"content-length": str(len(PAGE)), "x-served-by": "web"}
    assert seen["body_sha256"] == hashlib.sha256(PAGE).hexdigest()
    assert server.requests[0].startswith(b"GET /a?b=c HTTP/1.1\r\n")
    assert server.requests[0].count(b"\r\nHost: www.example\r\n") == 1


def test_another_page_than_expected_is_not_seen(helper: Speaker, answer: Callable[..., Answers]) -> None:
    server = answer(http(b"It works!"))
    seen = helper.ask("see", url=f"http://127.0.0.1:{server.port}/", contains="统计")["result"]
    assert (seen["seen"], seen["status"]) == (False, 200)
    assert "统计" in seen["reason"]


def test_an_error_page_is_seen_with_its_status(helper: Speaker, answer: Callable[..., Answers]) -> None:
    server = answer(http(b"", "503 Service Unavailable"))
    seen = helper.ask("see", url=f"http://127.0.0.1:{server.port}/")["result"]
    assert (seen["seen"], seen["status"]) == (True, 503)


@pytest.mark.parametrize("engine", ["postgresql", "mariadb"])
def test_a_database_is_seen_once_it_says_something(helper: Speaker, engine: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:  # accepts by its kernel alone, as a frozen program's
        port = server.getsockname()[1]
        assert helper.ask("see", ip="127.0.0.1", port=port, timeout_seconds=0.5)["result"]["seen"] is True
        frozen = helper.ask("see", ip="127.0.0.1", port=port, speaks=engine, timeout_seconds=0.5)["result"]
        assert (frozen["seen"], frozen["reason"]) == (False, "no whole answer within 0.5 s")
    kind = {"postgresql": PostgreSQL, "mariadb": MariaDB}[engine]
    with database_server(kind) as living:
        seen = helper.ask("see", ip="127.0.0.1", port=living.port, speaks=engine)["result"]
    assert (seen["seen"], seen["reason"]) == (True, "it speaks")


def test_a_dripping_page_ends_at_its_total_time(helper: Speaker, answer: Callable[..., Answers]) -> None:
    server = answer(*[bytes([byte]) for byte in http(PAGE * 100)], pause=0.2)
    began = time.monotonic()
    seen = helper.ask("see", url=f"http://127.0.0.1:{server.port}/", timeout_seconds=0.7)["result"]
    assert 0.6 < time.monotonic() - began < 10
    assert not seen["seen"]
    assert "within 0.7 s" in seen["reason"]


NO_HTTP = [
    b"",
    b"SSH-2.0-x\r\n",
    b"HTTP/1.1 999999999 x\r\n\r\n",
    b"\xff" * 70000,
    b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 500,
]


@pytest.mark.parametrize("line", NO_HTTP, ids=["nothing", "ssh", "strange status", "noise", "endless headers"])
def test_no_http_is_not_seen(helper: Speaker, answer: Callable[..., Answers], line: bytes) -> None:
    seen = helper.ask("see", url=f"http://127.0.0.1:{answer(line).port}/", timeout_seconds=1)["result"]
    assert not seen["seen"]
    assert seen["reason"]


def test_a_huge_page_is_cut(helper: Speaker, answer: Callable[..., Answers]) -> None:
    body = b"x" * (3 << 20)
    seen = helper.ask("see", url=f"http://127.0.0.1:{answer(http(body)).port}/", timeout_seconds=10)["result"]
    assert (seen["seen"], seen["truncated"], seen["body_bytes"]) == (True, True, 1 << 20)


def test_a_port_is_seen_when_it_accepts(helper: Speaker, answer: Callable[..., Answers]) -> None:
    port = answer(b"").port
    assert helper.ask("see", ip="127.0.0.1", port=port)["result"]["seen"]
    with socket.create_server(("127.0.0.1", 0)) as probe:
        closed = probe.getsockname()[1]
    seen = helper.ask("see", ip="127.0.0.1", port=closed)["result"]
    assert (seen["seen"], seen["reason"]) == (False, "Connection refused")


@pytest.mark.lab
def test_a_machine_is_seen_by_ping_and_by_its_link(segment: Segment, tmp_path: Path, speak: Speak) -> None:
    web, other = segment["web"], segment["other"]
    helper = speak(Home(tmp_path / "root", see=["10.77.0.0/24", "fd77::/64"]), web.prefix)
    for ip in (other.ipv4, other.ipv6):
        assert helper.ask("see", ip=ip)["result"]["mac"] == other.mac
        assert helper.ask("see", ip=ip)["result"]["seen"]
        link = helper.ask("see", ip=ip, arp=True)["result"]
        assert (link["seen"], link["macs"]) == (True, [other.mac])
    began = time.monotonic()
    seen = helper.ask("see", ip="10.77.0.99", timeout_seconds=0.5)["result"]
    assert not seen["seen"]
    assert time.monotonic() - began < 1.5
    # A machine whose firewall lets nothing in is dead to ping, and answers on its link all the same.
    other.run(
        "nft add table inet f; nft add chain inet f i '{ type filter hook input priority 0; ip protocol icmp drop; }'"
    )
    assert not helper.ask("see", ip=other.ipv4, timeout_seconds=0.5)["result"]["seen"]
    assert helper.ask("see", ip=other.ipv4, arp=True)["result"]["seen"]
