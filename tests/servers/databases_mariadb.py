"""A real MariaDB with the bureau's database ``wcm`` for tests of the verb ``database``, and backups of it."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.servers import database_servers
from tests.servers.database_servers import database_server, program
from tests.servers.databases import SECRET, Server, folder, stamp
from tests.servers.helper_fixtures import need_root
from tests.waiting import wait_until

ACCOUNTS = r"""
CREATE USER wcm@localhost, report@localhost;
GRANT ALL ON wcm.* TO wcm@localhost;
GRANT SELECT ON wcm.* TO report@localhost;
DROP USER failover@'%';
CREATE USER failover@localhost, failover_restore@localhost;
SET PASSWORD FOR failover@localhost = PASSWORD({secret});
SET PASSWORD FOR failover_restore@localhost = PASSWORD({secret});
GRANT PROCESS, CONNECTION ADMIN, SET USER ON *.* TO failover@localhost;
GRANT ALL ON wcm.* TO failover@localhost WITH GRANT OPTION;
GRANT ALL ON `wcm\_\_%`.* TO failover@localhost WITH GRANT OPTION;
GRANT SELECT ON mysql.db TO failover@localhost;
GRANT SELECT ON mysql.proc TO failover@localhost;
GRANT SELECT (User, Host, Insert_priv, Update_priv, Delete_priv) ON mysql.user TO failover@localhost;
"""
"""What operators are told to create, and no more: the tests would notice what is missing."""

CONTENT = """
CREATE TABLE page (id int PRIMARY KEY, title varchar(100) NOT NULL);
INSERT INTO page SELECT seq, CONCAT('统计 ', seq) FROM seq_1_to_500;
CREATE TABLE image (id int PRIMARY KEY AUTO_INCREMENT, page int, data varbinary(100), FOREIGN KEY (page)
    REFERENCES page (id));
INSERT INTO image (page, data) SELECT 1 + seq % 500, UNHEX(MD5(seq)) FROM seq_1_to_2000;
CREATE TABLE log (at timestamp(6) DEFAULT CURRENT_TIMESTAMP(6), what text CHARACTER SET gbk);
CREATE SEQUENCE number START WITH 7;
DELIMITER //
CREATE FUNCTION shout(word varchar(100)) RETURNS varchar(101) DETERMINISTIC RETURN CONCAT(word, '!;')//
CREATE PROCEDURE note(words text)
BEGIN
  -- a comment; with a semicolon, and a 'quote
  INSERT INTO log (what) VALUES (words);
END//
CREATE TRIGGER page_added AFTER INSERT ON page FOR EACH ROW INSERT INTO log (what) VALUES (CONCAT('new: ', NEW.title))//
CREATE EVENT beat ON SCHEDULE EVERY 1 SECOND DO INSERT INTO log (what) VALUES ('beat')//
CREATE EVENT never ON SCHEDULE EVERY 1 DAY DISABLE COMMENT 'it''s off' DO DELETE FROM log//
DELIMITER ;
CREATE VIEW b_titles AS SELECT title FROM page;
CREATE VIEW a_loud AS SELECT shout(title) AS title FROM b_titles;
"""
"""With all that RENAME TABLE can't move, and a view that stands on one that comes after it by name."""


LISTED = {
    "tables": "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE IN"
    " ('BASE TABLE', 'SEQUENCE') ORDER BY 1",
    "views": "SELECT TABLE_NAME, DEFINER FROM information_schema.VIEWS WHERE TABLE_SCHEMA = DATABASE() ORDER BY 1",
    "routines": "SELECT ROUTINE_NAME, ROUTINE_DEFINITION, DEFINER, SQL_MODE FROM information_schema.ROUTINES WHERE"
    " ROUTINE_SCHEMA = DATABASE() ORDER BY 1",
    "triggers": "SELECT TRIGGER_NAME, EVENT_OBJECT_TABLE, ACTION_ORDER, ACTION_STATEMENT, DEFINER, SQL_MODE FROM"
    " information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE() ORDER BY 1",
    "events": "SELECT EVENT_NAME, EVENT_DEFINITION, STATUS, STARTS, DEFINER, SQL_MODE FROM information_schema.EVENTS"
    " WHERE EVENT_SCHEMA = DATABASE() ORDER BY 1",
    "keys": "SELECT CONSTRAINT_NAME, TABLE_NAME, REFERENCED_TABLE_NAME, UNIQUE_CONSTRAINT_SCHEMA = CONSTRAINT_SCHEMA"
    " FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = DATABASE()",
}


class MariaDB(Server):
    """MariaDB with an account ``failover`` that may do what it must, and ``wcm``, which owns the database."""

    engine = "mariadb"

    def __init__(self, top: Path, real: database_servers.MariaDB) -> None:
        self.real = real
        super().__init__(top, real.data)
        self.port = real.port
        self.write_policy()

    @property
    def host(self) -> str:
        return "127.0.0.1"

    def make(self) -> None:
        """The accounts, and the database with some rows."""
        secret = "'{}'".format(SECRET.replace("\\", "\\\\"))
        self.root("CREATE DATABASE wcm")
        self.root(ACCOUNTS.format(secret=secret))
        self.fill()

    def fill(self) -> None:
        """The database as it was at first, and nothing of ours beside it."""
        for name in self.databases():
            self.root(f"DROP DATABASE `{name}`")
        self.root("CREATE DATABASE wcm CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci COMMENT 'the bureau''s'")
        self.root("GRANT ALL ON wcm.* TO wcm@localhost; REVOKE INSERT ON wcm.* FROM report@localhost")
        self.sql(CONTENT)
        for name in self.root("SELECT Db FROM mysql.db WHERE User = 'failover_restore'").split():
            self.root(f"REVOKE ALL ON `{name}`.* FROM failover_restore@localhost".replace("\\\\", "\\"))
        shutil.rmtree(self.home.state / "databases", ignore_errors=True)
        for path in (self.top / "backups").iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def content(self, of: str = "wcm") -> dict[str, Any]:
        """All that is in it, to compare with: rows, and how everything in it is made."""
        found: dict[str, Any] = {key: self.root(query, of) for key, query in LISTED.items()}
        checks = ", ".join(f"`{of}`.`{name}`" for name in found["tables"].split())
        sums = self.root(f"CHECKSUM TABLE {checks}") if checks else ""
        return {**found, "sums": sums.replace(of + ".", "")}

    def root(self, orders: str, of: str = "") -> str:
        """As the superuser."""
        return self.real.sql(orders, of or None).strip()

    def sql(self, orders: str, of: str = "wcm", user: str = "wcm") -> str:
        """As somebody at the server's own socket."""
        argv = [*self.client(user), *([of] if of else [])]
        done = subprocess.run(argv, input=orders, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def client(self, user: str = "wcm") -> list[str]:
        """The client's command line."""
        return [program("mariadb"), "--no-defaults", f"--socket={self.real.top}/s", "-u", user, "-N", "-B",
                "--default-character-set=utf8mb4", "--comments"]  # fmt: skip

    def databases(self) -> set[str]:
        """Every database's name, the server's own left out."""
        return set(self.root("SHOW DATABASES").split()) - {"information_schema", "mysql", "performance_schema", "sys"}

    def version(self) -> str:
        return self.root("SELECT VERSION()")

    def dump(self, at: datetime, form: str = "plain.gz", *options: str, text: str | None = None, **more: object) -> str:
        """A backup of it, in the catalogue; its id. ``text`` is what the file holds instead of a dump."""
        name = f"wcm-db-{stamp(at)}"
        if form == "mariadb-backup":
            path = self.top / "backups" / name
            # It takes a table for dropped that was made anew under its name since the last checkpoint.
            self.root("SET GLOBAL innodb_log_checkpoint_now = ON")
            argv = [program("mariadb-backup"), "--no-defaults", "--backup", f"--target-dir={path}", "--user=root",
                    f"--socket={self.real.top}/s", f"--datadir={self.data}"]  # fmt: skip
            subprocess.run(argv, check=True, capture_output=True, timeout=120)
            return self.note_backup(path, form, at, **more)
        path = self.top / "backups" / f"{name}.sql.gz"
        path.write_bytes(gzip.compress((self.dumped(*options) if text is None else text).encode()))
        path.chmod(0o644)
        return self.note_backup(path, form, at, **more)

    def dumped(self, *options: str) -> str:
        """What mariadb-dump says of it."""
        argv = [program("mariadb-dump"), "--no-defaults", f"--socket={self.real.top}/s", "--user=root",
                "--single-transaction", "--routines", "--triggers", "--events", "--hex-blob",
                *(options or ("wcm",))]  # fmt: skip
        return subprocess.run(argv, check=True, capture_output=True, timeout=120).stdout.decode()

    def cut_to(self, backup: str, size: int) -> None:
        """Truncate it, and let the catalogue agree: only reading it shows."""
        path = self.top / f"backups/{backup}.sql.gz"
        with open(path, "r+b") as file:
            file.truncate(size)
        entry = self.top / f"backups/{backup}.json"
        entry.write_text(re.sub(r'"bytes": \d+', f'"bytes": {size}', entry.read_text()))


@contextmanager
def mariadb() -> Iterator[MariaDB]:
    """A new one."""
    need_root()
    with folder() as top, database_server(database_servers.MariaDB) as real:
        assert isinstance(real, database_servers.MariaDB)
        server = MariaDB(top, real)
        server.make()
        yield server


@pytest.fixture(scope="session")
def running() -> Iterator[MariaDB]:
    """One server for all tests of a session: starting one takes seconds."""
    with mariadb() as server:
        yield server


@pytest.fixture
def maria(running: MariaDB) -> Iterator[MariaDB]:
    """The server with its database as at first, and nothing beside it."""
    running.write_policy()
    yield running
    running.root("SET GLOBAL event_scheduler = OFF")
    running.fill()


INTO = "wcm__20261124t020000"
KEEP = "wcm__old_20261124t091450"


def restored(server: MariaDB, backup: str, into: str = INTO, seconds: float = 60) -> dict[str, Any]:
    """The reply to that."""
    return server.change("restored", seconds, backup=backup, set="wcm-db", into=into)


def nothing_left(server: MariaDB) -> None:
    """As after a restore that was refused."""
    assert server.databases() == {"wcm"}
    assert not list(server.home.run.glob("database-*")), "passwords lay there"
    assert not (server.home.state / "scratch").exists()
    lent = server.root("SELECT Db FROM mysql.db WHERE User = 'failover_restore'")
    assert lent == "", "what was lent for it is taken back"


@contextmanager
def session(server: MariaDB, user: str, of: str, orders: str) -> Iterator[subprocess.Popen[bytes]]:
    """Somebody who is connected, did something, and sleeps; gone at the server too in the end."""
    argv = [*server.client(user), "--unbuffered", of, "-e", f"{orders}; SELECT SLEEP(60)"]
    holder = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    sleeping = "FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT SLEEP%' AND ID <> CONNECTION_ID()"
    wait_until(lambda: server.root(f"SELECT COUNT(*) {sleeping}") == "1")
    try:
        yield holder
    finally:
        holder.kill()
        holder.wait()
        for number in server.root(f"SELECT ID {sleeping}").split():
            server.root(f"KILL {number}")
