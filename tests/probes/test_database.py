"""``database``: real servers that live, hang, start up and are full; and what only looks like one."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from failover.model import Reading, State
from failover.probes.database import DatabaseProbe
from tests.servers.database_servers import PASSWORD, MariaDB, PostgreSQL, Server, database_server

from .conftest import Stage, ToySight, free_port


@pytest.fixture(scope="module", params=[PostgreSQL, MariaDB], ids=["postgresql", "mariadb"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with database_server(request.param) as one:
        yield one


def probe(server: Server, **more: object) -> DatabaseProbe:
    return DatabaseProbe.model_validate({"address": "127.0.0.1", "engine": server.engine, "port": server.port, **more})


@contextmanager
def stopped(server: Server) -> Iterator[None]:
    """Hung whole. The first process stops first, so that it neither starts nor buries a worker meanwhile.

    It goes on last for the same reason: a worker that ended just before is there to be signalled until then.
    """
    assert server.process is not None
    first = psutil.Process(server.process.pid)
    first.suspend()
    for _ in range(500):  # told isn't stopped: it may be in the middle of a call
        if first.status() == psutil.STATUS_STOPPED:
            break
        time.sleep(0.01)
    workers = first.children(recursive=True)
    try:
        for worker in workers:
            worker.suspend()
        yield
    finally:
        for worker in reversed(workers):
            worker.resume()
        first.resume()


async def test_one_that_lives_says_so(server: Server, sight: ToySight) -> None:
    reading = await probe(server).take("db", sight)
    assert reading.state is State.UP, reading.reason
    assert ("asks for a login: PostgreSQL" if server.engine == "postgresql" else "greets as 10.") in reading.reason
    for _ in range(120):  # nor is the monitor ever shut out for asking without logging in
        assert (await probe(server).take("db", sight)).state is State.UP


async def test_one_that_hangs_is_down_though_its_kernel_accepts(server: Server, sight: ToySight) -> None:
    with stopped(server), socket.create_connection(("127.0.0.1", server.port), 2):
        reading = await probe(server, timeout="500ms").take("db", sight)
    assert (reading.state, reading.reason) == (
        State.DOWN,
        "no complete answer within 0.5 s (connected, but no reply came)",
    )
    assert (await probe(server).take("db", sight)).state is State.UP


async def test_an_account_that_nobody_knows_is_answered_too(server: Server, sight: ToySight) -> None:
    assert (await probe(server, user="nobody", database="nowhere").take("db", sight)).state is State.UP


@contextmanager
def sessions(server: Server) -> Iterator[None]:
    """More people than it has room for."""
    if isinstance(server, PostgreSQL):
        argv = [f"{server.bin}/psql", "-h", "127.0.0.1", "-p", str(server.port), "-U", "failover", "-d", "postgres"]
        argv += ["-c", "select pg_sleep(60)"]
    else:
        server.sql("set global max_connections = 10")
        argv = ["mariadb", "--no-defaults", "-h", "127.0.0.1", "-P", str(server.port), "-u", "failover"]
        argv += ["-e", "select sleep(60)"]
    secret = {"PGPASSWORD": PASSWORD, "MYSQL_PWD": PASSWORD, "PATH": os.environ["PATH"]}
    nowhere = subprocess.DEVNULL
    held = [subprocess.Popen(argv, env=secret, stdout=nowhere, stderr=nowhere) for _ in range(25)]
    try:
        yield
    finally:
        for one in held:
            one.kill()
            one.wait()


async def until(state: State, one: DatabaseProbe, sight: ToySight) -> Reading:
    """The first look that says so, or the last one."""
    for _ in range(200):
        reading = await one.take("db", sight)
        if reading.state is state:
            break
        await asyncio.sleep(0.1)
    return reading


async def test_a_full_one_is_no_reason_to_move(server: Server, sight: ToySight) -> None:
    with sessions(server):
        reading = await until(State.UNKNOWN, probe(server), sight)
    assert reading.state is State.UNKNOWN
    assert "lives and has no room for another connection" in reading.reason


async def test_one_that_is_starting_up_is_down(stage: Stage, sight: ToySight) -> None:
    """As PostgreSQL says it while it recovers from a crash: too short a moment to meet it for certain."""
    said = b"SFATAL\0C57P03\0Mthe database system is starting up\0\0"

    async def recovers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)
        writer.write(b"E" + (len(said) + 4).to_bytes(4, "big") + said)
        await reader.read()

    port = await stage.serve(recovers)
    reading = await DatabaseProbe(address="127.0.0.1", engine="postgresql", port=port).take("db", sight)
    assert (reading.state, reading.reason) == (
        State.DOWN, f"127.0.0.1:{port} takes nobody now: the database system is starting up",
    )  # fmt: skip


@pytest.mark.parametrize("engine", ["postgresql", "mariadb"])
async def test_what_says_something_else_is_no_database(engine: str, stage: Stage, sight: ToySight) -> None:
    async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.write_eof()
        await reader.read()

    port = await stage.serve(web)
    reading = await DatabaseProbe.model_validate({"address": "127.0.0.1", "engine": engine, "port": port}).take(
        "d", sight
    )
    assert reading.state is State.DOWN
    assert "which isn't" in reading.reason
    closed = {"address": "127.0.0.1", "engine": engine, "port": free_port()}
    assert (await DatabaseProbe.model_validate(closed).take("d", sight)).state is State.DOWN


async def test_killed_is_down(server: Server, sight: ToySight) -> None:
    """The last one: the server of this module ends here."""
    assert server.process is not None
    server.process.send_signal(signal.SIGKILL)
    server.process.wait(20)
    assert (await until(State.DOWN, probe(server), sight)).state is State.DOWN
