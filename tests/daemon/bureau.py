"""The whole daemon in the test's own loop: real journal, sockets, web servers and webhook; the servers are toys."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from failover.cli.client import Client
from failover.daemon.build import Builder
from failover.daemon.daemon import Daemon
from failover.daemon.places import Places
from failover.journal.journal import Journal
from failover.model import Event
from tests.daemon.live import LiveWorld, config_text, live_world, make_server
from tests.notify.sinks import WebSink


@pytest.fixture
def world() -> Iterator[LiveWorld]:
    with live_world() as world:
        yield world
    assert not world.oracle.overlaps


@pytest.fixture
def robot() -> Iterator[WebSink]:
    with WebSink().listening() as sink:
        yield sink


class Bureau:
    """A daemon that can be started, stopped, and started again; ``broke`` holds what a part of it died of."""

    def __init__(self, folder: Path, world: LiveWorld, robot: WebSink) -> None:
        self.folder = folder
        self.world = world
        self.robot = robot
        self.broke: list[BaseException] = []
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.places = Places(config=folder / "failover.yaml", listen=f"127.0.0.1:{self.port}")
        self.client = Client(str(folder / "api.sock"))
        self.journal: Journal
        self.daemon: Daemon | None = None
        (folder / "state").mkdir()

    def write_config(self, **more: Any) -> None:
        self.places.config.write_text(config_text(self.world, self.folder, self.robot.url, **more))
        self.places.config.chmod(0o644)

    async def start(self) -> Daemon:
        builder = Builder(self.places, partial(make_server, self.world))
        config = builder.load()
        self.journal = Journal.open(self.folder / "state" / "journal.db", ballast_bytes=0)
        self.daemon = Daemon(config, self.places, self.journal, self.broke.append, builder)
        await self.daemon.start()
        return self.daemon

    async def stop(self) -> None:
        if self.daemon is not None:
            await self.daemon.stop("the test ends")
            self.daemon = None
            self.journal.close()

    async def get(self, route: str, **query: Any) -> dict[str, Any]:
        return await asyncio.to_thread(lambda: self.client.get(route, **query))

    async def post(self, route: str, **body: Any) -> dict[str, Any]:
        return await asyncio.to_thread(lambda: self.client.post(route, **body))

    async def public(self, path: str, **headers: str) -> tuple[int, str]:
        """What loopback answers."""

        def ask() -> tuple[int, str]:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            with contextlib.closing(connection):
                connection.request("GET", path, headers=headers)
                response = connection.getresponse()
                return response.status, response.read().decode()

        return await asyncio.to_thread(ask)

    async def site(self) -> dict[str, Any]:
        site: dict[str, Any] = (await self.get("/status"))["sites"][0]
        return site

    async def until(self, true: Callable[[], object], seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, f"it never came true; the journal ends {self.tail()}"
            assert not self.broke, self.broke
            await asyncio.sleep(0.02)

    async def settled(self) -> None:
        """The website is up, the plan ready, and grace is over."""
        assert self.daemon is not None
        monitor = self.daemon.houses["bureau"].monitor
        await self.until(lambda: monitor.checks.healths["website"].standing == "up" and monitor.readiness.known)
        await asyncio.sleep(0.3)

    def events(self, *kinds: str) -> list[Event]:
        return self.journal.events(kinds=kinds)

    def ended(self, number: int) -> bool:
        return any(event.run == number for event in self.events("run.ended"))

    def tail(self) -> list[str]:
        newest = self.journal.events(newest_first=True, limit=12)
        return [f"{event.kind} {dict(event.data).get('reason', '')}" for event in reversed(newest)]

    @property
    def holds(self) -> str | None:
        host = self.world.holder("127.77.0.100")
        return host.name if host else None

    def break_web(self) -> None:
        """nginx on web dies, and no restart heals it."""
        self.world.hosts["web"].broken.add("nginx")
        self.world.changed()

    def mend_web(self) -> None:
        self.world.hosts["web"].broken.discard("nginx")
        self.world.changed()


@pytest.fixture
async def bureau(tmp_path: Path, world: LiveWorld, robot: WebSink) -> AsyncIterator[Bureau]:
    """Configured and not started."""
    bureau = Bureau(tmp_path, world, robot)
    bureau.write_config()
    yield bureau
    await bureau.stop()
    assert not bureau.broke


@pytest.fixture
async def running(bureau: Bureau) -> Bureau:
    """Started, settled."""
    await bureau.start()
    await bureau.settled()
    return bureau
