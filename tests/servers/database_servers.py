"""Real database servers in a temporary folder, on loopback, ended by their own pid."""

from __future__ import annotations

import glob
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

OWNER = "nobody"
"""Neither of the two servers runs as root."""
PASSWORD = r"pa:ss\wo'rd"


def free_port() -> int:
    """A port of loopback that nobody has at the moment."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def program(name: str, *places: str) -> str:
    """Where a program is; without it the test is skipped, and fails in CI."""
    found = [path for place in places for path in sorted(glob.glob(f"{place}/{name}"), reverse=True)]
    path = found[0] if found else shutil.which(name)
    if path is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} isn't installed", pytrace=False)
        pytest.skip(f"{name} isn't installed")
    return path


def _run(*argv: str, stdin: str = "", user: str | None = None) -> str:
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False, timeout=120, user=user)
    assert done.returncode == 0, (argv, done.stdout, done.stderr)
    return done.stdout


class Server:
    """A database server that a test talks to as its owner."""

    engine = ""

    def __init__(self, top: Path) -> None:
        self.top, self.port = top, free_port()
        self.process: subprocess.Popen[bytes] | None = None
        shutil.chown(top, OWNER)

    def sql(self, text: str, database: str | None = None) -> str:
        """What the statements say."""
        raise NotImplementedError

    def stop(self) -> None:
        """End it."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def _start(self, *argv: str) -> None:
        with (self.top / "log").open("ab") as log:
            self.process = subprocess.Popen(
                argv, stdout=log, stderr=log, user=OWNER, cwd=self.top, stdin=subprocess.DEVNULL
            )
        end = time.monotonic() + 60
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > end:
                self.stop()
                pytest.fail((self.top / "log").read_text())
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            self.sql("select 1")
        except AssertionError:
            return False
        return True


class PostgreSQL(Server):
    """PostgreSQL, with a password for everyone who comes over TCP."""

    engine = "postgresql"

    def __init__(self, top: Path) -> None:
        super().__init__(top)
        self.bin = os.path.dirname(program("initdb", "/usr/lib/postgresql/*/bin"))
        secret = top / "secret"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        _run(
            f"{self.bin}/initdb", "-D", str(top / "data"), "-U", "failover", "-A", "scram-sha-256", "--no-sync",
            "--pwfile", str(secret), "-E", "UTF8", "--locale=C", user=OWNER,
        )  # fmt: skip
        options = f"-h 127.0.0.1 -p {self.port} -k {top} -F -c max_connections=20 -c shared_buffers=8MB"
        self._start(f"{self.bin}/postgres", "-D", str(top / "data"), *options.split())

    def sql(self, text: str, database: str | None = None) -> str:
        """See :class:`Server`."""
        os.environ["PGPASSWORD"] = PASSWORD
        try:
            return _run(
                f"{self.bin}/psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "failover", "-d",
                database or "postgres", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", stdin=text,
            )  # fmt: skip
        finally:
            del os.environ["PGPASSWORD"]


class MariaDB(Server):
    """MariaDB, with one user who comes with a password."""

    engine = "mariadb"

    def __init__(self, top: Path) -> None:
        super().__init__(top)
        self.client = program("mariadb")
        self.data = top / "data"
        _run(
            program("mariadb-install-db"), "--no-defaults", f"--datadir={self.data}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db", f"--user={OWNER}", "--innodb-log-file-size=4M",
        )  # fmt: skip
        self._start(
            program("mariadbd", "/usr/sbin"), "--no-defaults", f"--datadir={self.data}", f"--port={self.port}",
            "--bind-address=127.0.0.1", f"--socket={top}/s", f"--pid-file={top}/pid", "--innodb-log-file-size=4M",
            "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=8M", "--character-set-server=utf8mb4",
        )  # fmt: skip
        quoted = PASSWORD.replace("\\", "\\\\").replace("'", "''")
        self.sql(f"grant all on *.* to failover@'%' identified by '{quoted}' with grant option")

    def sql(self, text: str, database: str | None = None) -> str:
        """See :class:`Server`."""
        argv = [
            self.client,
            "--no-defaults",
            f"--socket={self.top}/s",
            "-u",
            "root",
            "-N",
            "-B",
            "--default-character-set=utf8mb4",
        ]
        return _run(*argv, *([database] if database else []), stdin=text)


@contextmanager
def database_server(kind: type[Server]) -> Iterator[Server]:
    """A running one, gone at the end."""
    top = Path(tempfile.mkdtemp(prefix="database", dir=os.environ.get("FAILOVER_TEST_DISK")))
    top.chmod(0o755)
    server: Server | None = None
    try:
        server = kind(top)
        yield server
    finally:
        if server is not None:
            server.stop()
        shutil.rmtree(top)
