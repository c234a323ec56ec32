"""A real PostgreSQL for the tests of the helper's ``database``, with nothing beside its database before and after."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.servers.databases import BIN, PostgreSQL, day, postgresql
from tests.waiting import wait_until

INTO = "wcm__20261124t020000"
KEEP = "wcm__old_20261124t091450"


@pytest.fixture(scope="module")
def made() -> Iterator[PostgreSQL]:
    """One for all tests of a file."""
    with postgresql() as server:
        yield server


@pytest.fixture
def server(made: PostgreSQL) -> Iterator[PostgreSQL]:
    """The server, with nothing beside its database before and after."""
    made.write_policy()
    before = made.sql("SELECT count(*) FROM page")
    yield made
    for path in (made.top / "backups").iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    if KEEP in made.databases():
        made.sql("DROP DATABASE IF EXISTS wcm WITH (FORCE)", "postgres", "postgres")
        made.sql(f"ALTER DATABASE {KEEP} RENAME TO wcm", "postgres", "postgres")
    for name in made.databases() - {"postgres", "wcm"}:
        made.sql(f'DROP DATABASE "{name}" WITH (FORCE)', "postgres", "postgres")
    assert made.sql("SELECT count(*) FROM page") == before, "whatever was tried, what served is as it was"


def restored(server: PostgreSQL, backup: str, into: str = INTO, seconds: float = 60) -> dict[str, Any]:
    """What the helper answers to that."""
    return server.change("restored", seconds, backup=backup, set="wcm-db", into=into)


@contextmanager
def session(server: PostgreSQL, user: str = "wcm", of: str = "wcm") -> Iterator[subprocess.Popen[bytes]]:
    """Somebody who is connected and does nothing; gone at the server too in the end."""
    argv = [str(BIN / "psql"), "-XqAt", "-h", str(server.data.parent), "-p", str(server.port), "-U", user, "-d", of]
    holder = subprocess.Popen(
        [*argv, "-c", "SELECT pg_sleep(60)"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    sleeping = "FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'"
    wait_until(lambda: server.sql(f"SELECT count(*) {sleeping}", "postgres", "postgres") == "1")
    try:
        yield holder
    finally:
        holder.kill()
        holder.wait()
        server.sql(f"SELECT pg_terminate_backend(pid) {sleeping}", "postgres", "postgres")


def nothing_left(server: PostgreSQL) -> None:
    """As after a restore that was refused."""
    assert server.databases() == {"postgres", "wcm"}
    assert not list(server.home.run.glob("database-*")), "passwords lay there"
    assert not (server.home.state / "scratch").exists() or not list((server.home.state / "scratch").iterdir())


def slow_dump(server: PostgreSQL) -> str:
    """One whose restore takes long enough to be hit in the middle."""
    server.sql("CREATE TABLE big AS SELECT g AS id, repeat(md5(g::text), 8) AS text FROM generate_series(1, 120000) g;"
               "CREATE INDEX ON big (text)")  # fmt: skip
    backup = server.dump(day(24))
    server.sql("DROP TABLE big")
    return backup
