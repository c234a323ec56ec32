"""A daemon in the test's own loop, two real helpers, and a real PostgreSQL: a bureau that has backups made."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from failover.cli.client import Client
from failover.config.config import Config
from failover.config.enrollment import policy_for
from failover.config.model import SiteConfig
from failover.daemon.build import Builder
from failover.daemon.daemon import Daemon
from failover.daemon.house import House
from failover.daemon.places import Places
from failover.journal.journal import Journal
from failover.model import Event
from failover.servers.base import Server
from failover.servers.local import LocalServer
from tests.servers.database_servers import PASSWORD, PostgreSQL, database_server
from tests.servers.helper_fixtures import need_root
from tests.servers.speak import HELPER, Home


@dataclass
class Ended:
    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """With the WCM's database: two tables, 503 rows."""
    need_root()
    with database_server(PostgreSQL) as server:
        assert isinstance(server, PostgreSQL)
        server.sql("create role wcm; create database wcm owner wcm")
        server.sql(
            "create table page (id int, title text); insert into page select n, '统计' from generate_series(1, 500) n;"
            "create table menu (id int); insert into menu values (1), (2), (3)",
            "wcm",
        )
        yield server


class KeepingBureau:
    """A daemon that has backups made on ``db-backup``; ``found`` is a folder that another tool writes to."""

    def __init__(self, top: Path, postgresql: PostgreSQL) -> None:
        self.top, self.postgresql = top, postgresql
        self.kept, self.found = top / "kept", top / "found"
        self.found.mkdir()
        (top / "state").mkdir()
        self.broke: list[BaseException] = []
        self.places = Places(config=top / "failover.yaml", listen=None)
        self.client = Client(str(top / "api.sock"))
        self.homes = {name: Home(top / name) for name in ("db", "db-backup")}
        for home in self.homes.values():
            secret = home.root / "etc/failover-helper/db-password"
            secret.write_text(PASSWORD + "\n")
            secret.chmod(0o600)
        self.daemon: Daemon | None = None
        self.journal: Journal
        self.write_config()

    def write_config(self, **backups: Any) -> None:
        """The config, with changes to its backup sets."""
        sets: dict[str, Any] = {
            "wcm-db": {"kind": "database", "role": "database", "on": "db-backup", "path": str(self.kept),
                       "at": "02:00"},
            "paper": {
                "kind": "found", "role": "database", "on": "db-backup", "path": str(self.found), "pattern": "wcm*",
                "settle": "1s",
            },
        }  # fmt: skip
        for name, changes in backups.items():
            sets[name.replace("_", "-")] |= changes
        value = {
            "site": {"name": "bureau", "timezone": "Asia/Shanghai"},
            "servers": {"db": {"ssh": "127.0.0.1"}, "db-backup": {"ssh": "127.77.0.32"}},
            "roles": {
                "database": {
                    "home": "db", "standby": "db-backup",
                    "database": {"engine": "postgresql", "name": "wcm", "owner": "wcm", "port": self.postgresql.port},
                }
            },
            "checks": {
                "backups": {"kind": "backup", "set": "wcm-db", "newest_within": "26h", "keep_days": 1, "every": "500ms",
                            "timeout": "900ms", "confirm_every": "400ms", "fall": 2},
            },
            "backups": sets,
            "store": {"path": str(self.top / "state"), "keys": str(self.top / "keys"),
                      "known_hosts": str(self.top / "known_hosts")},
            "console": {"socket": str(self.top / "api.sock"), "listen": None},
        }  # fmt: skip
        self.places.config.write_text(yaml.safe_dump(value, allow_unicode=True))
        self.places.config.chmod(0o644)

    def _server(self, config: Config, site: SiteConfig, name: str) -> Server:
        home = self.homes[name]
        text = json.loads(policy_for(config, site, name).text())
        home.policy_file.write_text(json.dumps({**text, "content_user": "nobody"}))
        home.policy_file.chmod(0o644)
        return LocalServer(name, [sys.executable, "-IS", str(HELPER), "--root", str(home.root)])

    async def start(self) -> None:
        builder = Builder(self.places, self._server)
        config = builder.load()
        self.journal = Journal.open(self.top / "state/journal.db", ballast_bytes=0)
        self.daemon = Daemon(config, self.places, self.journal, self.broke.append, builder)
        await self.daemon.start()

    async def stop(self) -> None:
        if self.daemon is not None:
            await self.daemon.stop("the test ends")
            self.daemon = None
            self.journal.close()

    @property
    def house(self) -> House:
        assert self.daemon is not None
        return self.daemon.houses["bureau"]

    def events(self, *kinds: str) -> list[Event]:
        return self.journal.events(kinds=kinds)

    async def until(self, true: Callable[[], object], seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while not true():
            told = [(event.kind, dict(event.data)) for event in self.journal.events(newest_first=True, limit=8)]
            assert time.monotonic() < end, told
            assert not self.broke, self.broke
            await asyncio.sleep(0.02)

    async def failover(self, *argv: str) -> Ended:
        """What people type."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "failover", "--socket", self.client.path, *argv,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await asyncio.wait_for(process.communicate(), 60)
        return Ended(process.returncode or 0, out.decode(), err.decode())

    def dump(self, path: Path, hours: float) -> Path:
        """A dump as another tool makes it, some hours ago."""
        argv = ["pg_dump", "-Fc", "-h", "127.0.0.1", "-p", str(self.postgresql.port), "-U", "failover", "-d", "wcm"]
        environment = {"PATH": os.environ["PATH"], "PGPASSWORD": PASSWORD}
        path.write_bytes(subprocess.run(argv, env=environment, capture_output=True, check=True).stdout)
        then = time.time() - hours * 3600
        os.utime(path, (then, then))
        return path


@pytest.fixture
async def bureau(postgresql: PostgreSQL) -> AsyncIterator[KeepingBureau]:
    """Configured and not started."""
    top = Path(tempfile.mkdtemp(prefix="keeping", dir=os.environ.get("FAILOVER_TEST_DISK")))
    os.chmod(top, 0o755)  # noqa: S103 - the users of the tools have to pass
    made = KeepingBureau(top, postgresql)
    yield made
    await made.stop()
    shutil.rmtree(top)
    assert not made.broke
