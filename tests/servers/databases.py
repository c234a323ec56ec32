"""Real database servers for tests: processes of an unprivileged user in a temporary folder, ended by pid."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.servers.helper_fixtures import need_root
from tests.servers.speak import Home, Speaker

USER = "nobody"
"""Stands for ``failover-db`` and for the database's own user: one that may do nothing."""
SECRET = 'p:a\\s "word'
"""With everything that a password file has to escape."""
VERSION = max((int(path.name) for path in Path("/usr/lib/postgresql").glob("[0-9]*")), default=0)
"""Of the newest PostgreSQL that this machine has."""
BIN = Path(f"/usr/lib/postgresql/{VERSION}/bin")
STARTS_WITHIN = 30.0


def as_user(argv: list[str]) -> list[str]:
    """A command as the unprivileged user."""
    return ["setpriv", f"--reuid={USER}", "--regid=nogroup", "--clear-groups", "--", *argv]


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def stamp(at: datetime) -> str:
    """As ids have it."""
    return f"{at:%Y%m%dT%H%M%SZ}"


@contextmanager
def folder(under: Path | None = None) -> Iterator[Path]:
    """A folder that the unprivileged user may enter; removed at the end."""
    made = Path(tempfile.mkdtemp(prefix="db", dir=under))
    made.chmod(0o755)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


class Server:
    """One database server and a helper's home beside it. ``name`` is the database ``wcm``, its owner ``wcm``."""

    engine = ""

    def __init__(self, top: Path, data: Path) -> None:
        self.top, self.data, self.port = top, data, free_port()
        self.process: subprocess.Popen[bytes] | None = None
        (top / "backups").mkdir()
        self.home = Home(top / "root")
        (self.home.root / "etc/failover-helper/db-password").write_text(SECRET + "\n")
        (self.home.root / "etc/failover-helper/db-password").chmod(0o600)
        self.queries: dict[str, str] = {}
        self.write_policy()

    def write_policy(self, **more: Any) -> None:
        """The helper's, with changes to the database's entry."""
        entry = {
            "name": "wcm", "engine": self.engine, "owner": "wcm", "user": "failover", "port": self.port,
            "host": self.host, "password_file": "/etc/failover-helper/db-password", "queries": self.queries,
            "folders": [], "os_user": USER,
        }  # fmt: skip
        sets = [{"set": "wcm-db", "kind": "database", "path": str(self.top / "backups"), "database": "wcm"}]
        self.home.write_policy(databases=[{**entry, **more}], backups=sets, content_user=None)

    @property
    def host(self) -> str:
        raise NotImplementedError

    def argv(self) -> list[str]:
        raise NotImplementedError

    def answers(self) -> bool:
        raise NotImplementedError

    def sql(self, orders: str, of: str = "wcm", user: str = "wcm") -> str:
        raise NotImplementedError

    def start(self) -> None:
        """Start it and wait until it answers."""
        with open(self.top / "log", "ab") as log:
            self.process = subprocess.Popen(
                as_user(self.argv()), stdout=log, stderr=log, cwd="/", start_new_session=True
            )
        until = time.monotonic() + STARTS_WITHIN
        while not self.answers():
            assert self.process.poll() is None, (self.top / "log").read_text()[-2000:]
            assert time.monotonic() < until, (self.top / "log").read_text()[-2000:]
            time.sleep(0.05)

    def stop(self) -> None:
        """End it at once."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT if self.engine == "postgresql" else signal.SIGKILL)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(10)

    def speak(self) -> Speaker:
        """A helper of this server."""
        return Speaker(self.home, python=sys.executable)

    def ask(self, **args: Any) -> dict[str, Any]:
        """The verb's answer."""
        with self.speak() as speaker:
            reply = speaker.ask("database", name="wcm", **args)
        assert "result" in reply, reply
        result: dict[str, Any] = reply["result"]
        return result

    def change(self, want: str, seconds: float = 60, **args: Any) -> dict[str, Any]:
        """The whole reply to a change."""
        with self.speak() as speaker:
            return speaker.change("database", {"name": "wcm", "want": want, **args}, seconds)

    def note_backup(self, path: Path, form: str, at: datetime, **more: Any) -> str:
        """Put a file into the catalogue, as the verb ``backups`` would; its id."""
        backup = f"wcm-db-{stamp(at)}"
        size = path.stat().st_size if path.is_file() else sum(f.stat().st_size for f in path.rglob("*") if f.is_file())
        when = at.isoformat()
        entry = {
            "id": backup, "set": "wcm-db", "kind": "database", "engine": self.engine, "server_version": self.version(),
            "tool_version": None, "format": form, "path": str(path), "bytes": size, "sha256": None, "taken_at": when,
            "finished_at": when, "tables": None, "verified_at": when, "restored_at": None, "problem": None,
            "made_by": "failover",
        }  # fmt: skip
        import json

        (self.top / f"backups/{backup}.json").write_text(json.dumps({**entry, **more}))
        return backup

    def version(self) -> str:
        raise NotImplementedError


class PostgreSQL(Server):
    """PostgreSQL 15 with a role ``failover`` that may create databases and is a member of the owner."""

    engine = "postgresql"
    max_wal_size = "64MB"

    @property
    def host(self) -> str:
        return "127.0.0.1"

    def argv(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1", "port": str(self.port), "unix_socket_directories": str(self.data.parent),
            "fsync": "off", "shared_buffers": "32MB", "max_wal_size": self.max_wal_size, "min_wal_size": "32MB",
            "wal_level": "replica",
        }  # fmt: skip
        return [str(BIN / "postgres"), "-D", str(self.data), *(f"--{key}={value}" for key, value in settings.items())]

    def make(self) -> None:
        """The cluster, its roles and the database with some rows."""
        password = self.top / "password"
        password.write_text("admin")
        password.chmod(0o644)
        shutil.chown(self.data.parent, USER)
        init = [str(BIN / "initdb"), "-D", str(self.data), "-U", "postgres", f"--pwfile={password}", "-E", "UTF8", "-N",
                "--locale=C.UTF-8", "--auth-local=trust", "--auth-host=scram-sha-256", "--wal-segsize=1"]  # fmt: skip
        subprocess.run(as_user(init), check=True, capture_output=True, timeout=60, cwd="/")
        self.start()
        secret = SECRET.replace("'", "''")
        self.sql(
            "CREATE ROLE wcm LOGIN PASSWORD 'w'; CREATE ROLE report LOGIN;"
            f"CREATE ROLE failover LOGIN CREATEDB PASSWORD '{secret}'; GRANT wcm TO failover",
            "postgres", "postgres",
        )  # fmt: skip
        self.sql("CREATE DATABASE wcm OWNER wcm", "postgres", "postgres")
        self.sql(
            "CREATE TABLE page (id int PRIMARY KEY, title text NOT NULL);"
            "INSERT INTO page SELECT g, '统计 ' || g FROM generate_series(1, 500) g;"
            "CREATE TABLE image (id serial PRIMARY KEY, page int REFERENCES page, data bytea);"
            "INSERT INTO image (page, data) SELECT 1 + g % 500, decode(md5(g::text), 'hex')"
            " FROM generate_series(1, 2000) g;"
            "CREATE VIEW titles AS SELECT title FROM page; GRANT SELECT ON page TO report"
        )

    def answers(self) -> bool:
        done = subprocess.run(
            [BIN / "pg_isready", "-q", "-h", self.data.parent, "-p", str(self.port)], check=False, timeout=10
        )
        return done.returncode == 0

    def sql(self, orders: str, of: str = "wcm", user: str = "wcm") -> str:
        """As somebody at the server's own socket."""
        argv = [str(BIN / "psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", str(self.data.parent), "-p", str(self.port)]
        argv += ["-U", user, "-d", of, "-c", orders]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def databases(self) -> set[str]:
        """Every database's name."""
        return set(self.sql("SELECT datname FROM pg_database WHERE NOT datistemplate", "postgres", "postgres").split())

    def version(self) -> str:
        return "15.18"

    def dump(self, at: datetime, form: str = "custom", of: str = "wcm", **more: Any) -> str:
        """A backup of it, in the catalogue; its id."""
        name = f"wcm-db-{stamp(at)}"
        path = self.top / "backups" / {"custom": f"{name}.dump", "plain.gz": f"{name}.sql.gz"}.get(form, name)
        base = ["-h", str(self.data.parent), "-p", str(self.port)]
        if form == "base":
            argv = [str(BIN / "pg_basebackup"), *base, "-U", "postgres", "-D", str(path), "-X", "stream", "-c", "fast"]
            subprocess.run(argv, check=True, capture_output=True, timeout=120)
        elif form == "plain.gz":
            with open(path, "wb") as file:
                dump = subprocess.run(
                    [BIN / "pg_dump", *base, "-U", "postgres", of], capture_output=True, timeout=120, check=True
                )
                subprocess.run(["gzip", "-c"], input=dump.stdout, stdout=file, check=True, timeout=120)
        else:
            kind = {"custom": "c", "directory": "d"}[form]
            argv = [str(BIN / "pg_dump"), *base, "-U", "postgres", "-F", kind, "-f", str(path), of]
            subprocess.run(argv, check=True, capture_output=True, timeout=120)
        for each in [path, *(path.rglob("*") if form == "directory" else ())]:
            each.chmod(0o755 if each.is_dir() else 0o644)
        return self.note_backup(path, form, at, **more)


@contextmanager
def postgresql(under: Path | None = None, max_wal_size: str = "64MB") -> Iterator[PostgreSQL]:
    """A new one; ``under`` is where its data lie, if they are to lie on another disk."""
    need_root()
    assert BIN.exists(), "make test-packages installs PostgreSQL"
    with folder() as top:
        data = (under or top) / "pg"
        data.mkdir()
        server = PostgreSQL(top, data / "data")
        server.max_wal_size = max_wal_size
        server.make()
        try:
            yield server
        finally:
            server.stop()


def day(number: int, hour: int = 2) -> datetime:
    """A moment of this November."""
    return datetime(2026, 11, number, hour, tzinfo=UTC)


class Writers:
    """Clients that connect, write and connect anew as fast as they can, like a pool does; in a ``with`` block."""

    def __init__(self, argv: list[str], count: int = 4) -> None:
        self._argv, self._stop = argv, threading.Event()
        self._threads = [threading.Thread(target=self._write) for _ in range(count)]

    def _write(self) -> None:
        while not self._stop.is_set():
            subprocess.run(self._argv, capture_output=True, timeout=30, check=False)

    def __enter__(self) -> Writers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)
