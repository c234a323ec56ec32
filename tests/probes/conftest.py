"""A toy of the world that probes look at, and real servers on loopback that do what a test tells them to."""

from __future__ import annotations

import asyncio
import datetime
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trustme

from failover.backups import BackupSet

Speak = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class ToySight:
    """Who holds what, where it is, and what each helper would say."""

    holders: dict[str, str] = field(default_factory=lambda: {"web": "web-1"})
    addresses: dict[str, str] = field(default_factory=lambda: {"web-1": "127.0.0.1", "web-2": "::1"})
    services: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    answers: dict[tuple[str, str], dict[str, Any] | Exception] = field(default_factory=dict)
    backups: dict[str, BackupSet] = field(default_factory=dict)
    fault: str | None = None
    answer_seconds: float = 0.0
    asked: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    def holder(self, role: str) -> str:
        return self.holders[role]

    def address_of(self, server: str) -> str:
        return self.addresses[server]

    def service_address(self, name: str) -> tuple[str, str | None]:
        return self.services[name]

    def backup_set(self, name: str) -> BackupSet:
        return self.backups[name]

    async def ask(self, server: str, verb: str, within_seconds: float, **args: Any) -> dict[str, Any]:
        self.asked.append((server, verb, args))
        await asyncio.sleep(self.answer_seconds)
        answer = self.answers[server, verb]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def own_fault(self) -> str | None:
        return self.fault


@pytest.fixture
def sight() -> ToySight:
    return ToySight()


class Stage:
    """Servers of one test: each connection is handed to the coroutine that the test brought."""

    def __init__(self) -> None:
        self._servers: list[asyncio.Server] = []
        self._talks: set[asyncio.Task[None]] = set()

    async def serve(self, speak: Speak, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> int:
        """Serves until the test ends; the port."""

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            me = asyncio.current_task()
            assert me is not None
            self._talks.add(me)
            try:
                with suppress(OSError, asyncio.IncompleteReadError):
                    await speak(reader, writer)
            finally:
                self._talks.discard(me)
                writer.transport.abort()

        server = await asyncio.start_server(talk, host, 0, ssl=tls)
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def page(self, body: str = "hello", *, status: str = "200 OK", head: str = "", **where: Any) -> int:
        """A web server that always gives this page."""
        raw = body.encode()
        reply = f"HTTP/1.1 {status}\r\nContent-Length: {len(raw)}\r\n{head}\r\n".encode() + raw
        return await self.serve(saying(reply), **where)

    async def close(self) -> None:
        for server in self._servers:
            server.close()
        for talk in list(self._talks):
            talk.cancel()
        await asyncio.sleep(0.01)


def saying(reply: bytes, heard: list[bytes] | None = None) -> Speak:
    """Reads one request's head, notes it, and replies."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        if heard is not None:
            heard.append(request)
        writer.write(reply)
        await writer.drain()
        writer.write_eof() if writer.can_write_eof() else writer.close()
        await reader.read()

    return speak


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    made = Stage()
    yield made
    await made.close()


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture(scope="session")
def certified(authority: trustme.CA) -> Callable[..., ssl.SSLContext]:
    """A server's TLS context for these names, good for ``days`` from now (negative: expired already)."""

    def make(*names: str, days: float = 365.0, ca: trustme.CA = authority) -> ssl.SSLContext:
        now = datetime.datetime.now(datetime.UTC)
        ends = now + datetime.timedelta(days=days)
        leaf = ca.issue_cert(*names, not_before=min(now, ends) - datetime.timedelta(days=400), not_after=ends)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        leaf.configure_cert(context)
        return context

    return make


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def needed(command: str, package: str) -> str:
    """The path of a real program. On a developer's machine its absence skips, visibly; in CI it fails."""
    if found := shutil.which(command, path=f"{os.environ['PATH']}:/usr/sbin:/sbin"):
        return found
    sentence = f"{command} is missing: make lab-packages, or apt-get install {package}"
    if os.environ.get("CI"):
        pytest.fail(sentence)
    pytest.skip(sentence)


@dataclass
class Nginx:
    """A real nginx that can be frozen."""

    port: int
    process: subprocess.Popen[bytes]

    def signal_all(self, number: int) -> None:
        os.killpg(self.process.pid, number)


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[Nginx]:
    program = needed("nginx", "nginx-light")
    port = free_port()
    (tmp_path / "www").mkdir()
    (tmp_path / "www/index.html").write_text("统计信息网 " + "x" * 2700)
    temp = " ".join(f"{kind}_temp_path {tmp_path}/{kind};" for kind in ("proxy", "fastcgi", "uwsgi", "scgi"))
    (tmp_path / "nginx.conf").write_text(
        f"daemon off; worker_processes 1; worker_rlimit_nofile 8192;"
        f" pid {tmp_path}/pid; error_log {tmp_path}/error.log;"
        f"{'user root;' if os.geteuid() == 0 else ''} events {{ worker_connections 4096; }}"
        f"http {{ access_log off; client_body_temp_path {tmp_path}/body; {temp} charset utf-8; default_type text/html;"
        f" server {{ listen 127.0.0.1:{port} backlog=4096; root {tmp_path}/www; }} }}"
    )
    process = subprocess.Popen(
        [program, "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        await_port(port, process)
        yield Nginx(port, process)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(5)


def await_port(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        assert process.poll() is None, f"it ended with {process.returncode}"
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
            return
        time.sleep(0.025)
    raise AssertionError(f"nothing listens on port {port}")
