"""``database`` against a real MariaDB: one that doesn't serve is read, and not written to (I11)."""

from __future__ import annotations

import json

import pytest

from tests.servers.databases import day
from tests.servers.databases_mariadb import INTO, KEEP, MariaDB, restored, session
from tests.servers.speak import error

OWNERS = "SELECT Select_priv, Insert_priv, Update_priv, Drop_priv, Trigger_priv FROM mysql.db WHERE User = 'wcm'"


def test_a_parked_database_is_read_and_not_written(maria: MariaDB) -> None:
    maria.root("GRANT INSERT, SELECT ON wcm.* TO report@localhost")
    with session(maria, "wcm", "wcm", "START TRANSACTION; INSERT INTO page VALUES (1001, 'begun')") as before:
        assert maria.change("read-only")["result"]["read_only"] is True
        assert before.wait(10) != 0, "a session from before would go on writing"
    assert maria.ask()["read_only"] is True
    for user in ("wcm", "report"):
        with pytest.raises(AssertionError, match="denied"):
            maria.sql("INSERT INTO page VALUES (1001, 'late')", user=user)
    for orders in ("DROP TABLE log", "CREATE TABLE more (a int)", "CALL note('late')", "TRUNCATE log"):
        with pytest.raises(AssertionError, match="denied"):
            maria.sql(orders)
    assert maria.sql("SELECT COUNT(*) FROM a_loud") == "500"
    assert maria.ask(rows=True)["tables"]["page"] == 500
    assert maria.change("read-only")["result"]["read_only"] is True, "asked again"
    assert maria.change("read-write")["result"]["read_only"] is False
    assert maria.ask()["read_only"] is False
    maria.sql("INSERT INTO page VALUES (1001, 'again'); DELETE FROM page WHERE id = 1001; CALL note('again')")
    assert maria.root(OWNERS) == "Y\tY\tY\tY\tY", "all that was taken"
    assert maria.change("read-write")["result"]["read_only"] is False, "asked again"


def test_what_was_taken_is_known_though_taking_it_was_cut_off(maria: MariaDB) -> None:
    maria.change("read-only")
    maria.root("GRANT UPDATE ON wcm.* TO wcm@localhost")
    assert maria.ask()["read_only"] is False
    assert maria.change("read-only")["result"]["read_only"] is True
    maria.change("read-write")
    assert maria.root(OWNERS) == "Y\tY\tY\tY\tY"


@pytest.mark.parametrize(("given", "names"), [
    ("GRANT ALL ON *.* TO wcm@localhost", "wcm@localhost"),
    ("GRANT INSERT ON *.* TO wcm@localhost", "wcm@localhost"),
    ("CREATE USER other@localhost; GRANT UPDATE ON `wc%`.* TO other@localhost", "other@localhost"),
])  # fmt: skip
def test_rights_for_more_than_the_database_are_told_and_not_taken(maria: MariaDB, given: str, names: str) -> None:
    maria.root(given)
    try:
        kind, words = error(maria.change("read-only"))
        assert maria.ask()["read_only"] is False
    finally:
        maria.root("REVOKE ALL ON *.* FROM wcm@localhost; DROP USER IF EXISTS other@localhost")
        maria.change("read-write")
    assert (kind, f"rights are for more than this database: {names}" in words) == ("not-so", True), words


def test_a_server_that_is_read_only_as_a_whole_is_told_as_that(maria: MariaDB) -> None:
    maria.root("SET GLOBAL read_only = ON")
    try:
        assert maria.ask()["read_only"] is True
        kind, words = error(maria.change("read-write"))
        assert (kind, "the server's read_only is on" in words) == ("not-so", True), words
    finally:
        maria.root("SET GLOBAL read_only = OFF")
    assert maria.ask()["read_only"] is False


def test_who_can_still_write_is_named(maria: MariaDB) -> None:
    maria.root("REVOKE CONNECTION ADMIN ON *.* FROM failover@localhost")
    try:
        with session(maria, "wcm", "wcm", "SELECT 1"):
            kind, words = error(maria.change("read-only"))
    finally:
        maria.root("GRANT CONNECTION ADMIN ON *.* TO failover@localhost")
    assert (kind, "a connection of wcm from localhost (number " in words) == ("in-use", True), words


def test_what_may_not_be_seen_is_never_taken_for_read_only(maria: MariaDB) -> None:
    maria.root("REVOKE SELECT (Insert_priv) ON mysql.user FROM failover@localhost")
    try:
        with maria.speak() as speaker:
            kind, words = error(speaker.ask("database", name="wcm"))
    finally:
        maria.root("GRANT SELECT (Insert_priv) ON mysql.user TO failover@localhost")
    assert (kind, "can't see who may write" in words) == ("no-right", True), words


def test_what_is_put_in_place_of_a_parked_one_takes_writes_once_it_is_told_to(maria: MariaDB) -> None:
    """Rights belong to the name here, so that the new one is as closed as the old one was; the step opens it."""
    maria.change("read-only")
    restored(maria, maria.dump(day(24)))
    reply = maria.change("swapped", into=INTO, keep=KEEP)
    assert "result" in reply, reply
    assert maria.ask()["read_only"] is True
    assert maria.change("read-write")["result"]["read_only"] is False
    maria.sql("INSERT INTO page VALUES (1001, 'new'); DELETE FROM page WHERE id = 1001")
    assert maria.sql("SELECT title FROM a_loud ORDER BY title LIMIT 1") == "统计 1!;"
    with pytest.raises(AssertionError, match="denied"):
        maria.sql("SELECT 1 FROM page", KEEP)


def test_what_was_taken_is_written_down_before(maria: MariaDB) -> None:
    maria.change("read-only")
    noted = json.loads((maria.home.state / "databases/mariadb-wcm-rights.json").read_text())
    assert {(row["user"], row["host"], row["db"]) for row in noted} == {("wcm", "localhost", "wcm")}
    assert {"INSERT", "UPDATE", "DELETE", "DROP", "EVENT"} <= set(noted[0]["rights"])
    maria.change("read-write")
    assert not (maria.home.state / "databases/mariadb-wcm-rights.json").exists()
