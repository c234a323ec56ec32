"""``database`` against a real MariaDB: put in place and back by renaming tables, and whole whatever interrupts it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.servers.databases import Writers, day
from tests.servers.databases_mariadb import INTO, KEEP, MariaDB, restored, session
from tests.servers.speak import SOURCES, error
from tests.waiting import wait_until

ASIDE = "wcm__old_20261124t120000"
MORE = """
INSERT INTO page VALUES (1000, 'written since');
DELIMITER //
CREATE TRIGGER a_later AFTER INSERT ON page FOR EACH ROW FOLLOWS page_added INSERT INTO log (what) VALUES ('second')//
DELIMITER ;
ALTER VIEW b_titles AS SELECT title FROM page WHERE id > 0;
"""
"""What the one that serves has besides, so that the two can be told apart."""


def in_place_of(server: MariaDB, more: str = MORE) -> tuple[dict[str, str], dict[str, str]]:
    """Restore a backup, then change what serves; the content that served, and that of the backup as it should serve."""
    backup, of_backup = server.dump(day(24)), server.content()
    assert "result" in restored(server, backup)
    server.sql(more)
    return server.content(), of_backup


# --- done whole ------------------------------------------------------------------------------------------------------


def test_it_is_put_in_place_and_back_by_renaming(maria: MariaDB) -> None:
    maria.root("CREATE DEFINER = report@localhost PROCEDURE theirs() SELECT 1;"
               "GRANT SELECT ON wcm.page TO report@localhost", "wcm")  # fmt: skip
    served, of_backup = in_place_of(maria)
    reply = maria.change("swapped", into=INTO, keep=KEEP)
    assert "result" in reply, reply
    assert maria.databases() == {"wcm", KEEP}
    # What was restored runs as the owner, whoever made it; all else is as it was made.
    assert maria.content() == {**of_backup, "routines": of_backup["routines"].replace("report@", "wcm@")}
    kept = maria.content(KEEP)
    assert {key: kept[key] for key in ("tables", "keys", "sums")} == {
        key: served[key] for key in ("tables", "keys", "sums")
    }
    assert maria.root("SELECT COUNT(*) FROM b_titles", KEEP) == "501"
    assert {"wcm@", "report@"}.isdisjoint(kept["routines"].split()), "nobody of the site's has rights there"
    assert "SLAVESIDE_DISABLED" in kept["events"], "what doesn't serve does nothing by itself"
    assert maria.sql("SELECT title FROM a_loud ORDER BY title LIMIT 1") == "统计 1!;"
    maria.sql("INSERT INTO page VALUES (2000, 'after'); CALL note('noted')")
    assert maria.sql("SELECT what FROM log ORDER BY at") == "new: after\nnoted"
    with pytest.raises(AssertionError, match="foreign key constraint"):
        maria.sql("INSERT INTO image (page) VALUES (9999)")
    with pytest.raises(AssertionError, match="denied"):
        maria.sql("SELECT 1 FROM page", KEEP)
    notes = {entry["name"]: entry["note"] for entry in maria.ask()["databases"]}
    assert notes == {"wcm": "wcm-db-20261124T020000Z", KEEP: None}
    assert maria.change("swapped", into=INTO, keep=KEEP)["result"]["changed"] is False, "asked again"
    maria.sql("DELETE FROM log; DELETE FROM page WHERE id = 2000")
    assert "result" in maria.change("swapped-back", into=ASIDE, keep=KEEP)
    assert maria.content() == served, "as it was made, by whomever"
    assert maria.databases() == {"wcm", ASIDE}
    assert maria.change("swapped-back", into=ASIDE, keep=KEEP)["result"]["changed"] is False
    assert maria.root("SELECT SCHEMA_COMMENT FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = 'wcm'") == (
        "the bureau's"
    )
    assert not list((maria.home.state / "databases").glob("*-exchange.json"))


def test_events_run_where_it_serves_and_nowhere_else(maria: MariaDB) -> None:
    in_place_of(maria)
    maria.change("swapped", into=INTO, keep=KEEP)
    maria.root("SET GLOBAL event_scheduler = ON")
    wait_until(lambda: int(maria.sql("SELECT COUNT(*) FROM log")) >= 2)
    assert maria.root("SELECT what FROM log", KEEP) == "new: written since"


def test_what_a_table_was_may_be_a_view_now(maria: MariaDB) -> None:
    _, of_backup = in_place_of(maria, "DROP TABLE log; CREATE VIEW log AS SELECT 1 AS at, 'x' AS what;"
                               "DROP VIEW b_titles; CREATE TABLE b_titles (title text)")  # fmt: skip
    reply = maria.change("swapped", into=INTO, keep=KEEP)
    assert "result" in reply, reply
    assert maria.content() == of_backup
    assert maria.root("SELECT what FROM log", KEEP) == "x"


@pytest.mark.parametrize("there", ["nothing", "an empty one"])
def test_it_is_put_in_place_where_none_served(maria: MariaDB, there: str) -> None:
    _, of_backup = in_place_of(maria, "SELECT 1")
    maria.root("DROP DATABASE wcm")
    if there != "nothing":
        maria.root("CREATE DATABASE wcm CHARACTER SET latin1")
    reply = maria.change("swapped", into=INTO, keep=KEEP)
    assert "result" in reply, reply
    assert maria.content() == of_backup
    assert maria.root("SELECT @@collation_database", "wcm") == "utf8mb4_unicode_ci"
    assert maria.databases() == ({"wcm"} if there == "nothing" else {"wcm", KEEP})


# --- in use ----------------------------------------------------------------------------------------------------------


def test_open_connections_are_ended(maria: MariaDB) -> None:
    in_place_of(maria)
    orders = "START TRANSACTION; INSERT INTO log (what) VALUES ('w'); SELECT SLEEP(0.5); COMMIT"
    writers = Writers([*maria.client(), "wcm", "-e", orders])
    with session(maria, "wcm", "wcm", "START TRANSACTION; SELECT * FROM page LIMIT 1") as holder, writers:
        wait_until(lambda: maria.ask()["connections"] > 1)
        reply = maria.change("swapped", into=INTO, keep=KEEP)
        assert "result" in reply, reply
        assert holder.wait(10) != 0
    assert maria.databases() == {"wcm", KEEP}
    assert maria.sql("SELECT COUNT(*) FROM page") == "500"


@pytest.mark.parametrize("of", ["wcm", "mysql"])
def test_who_can_not_be_ended_is_named_and_nothing_is_renamed(maria: MariaDB, of: str) -> None:
    """Also one that has chosen another database, which is never ended: what it does may be none of ours."""
    served, _ = in_place_of(maria)
    maria.root("REVOKE CONNECTION ADMIN ON *.* FROM failover@localhost")
    try:
        with session(maria, "root", of, "START TRANSACTION; INSERT INTO wcm.log (what) VALUES ('held')"):
            kind, words = error(maria.change("swapped", into=INTO, keep=KEEP, seconds=50))
    finally:
        maria.root("GRANT CONNECTION ADMIN ON *.* TO failover@localhost")
    assert (kind, "in use" in words or "a connection of root from localhost (number " in words) == ("in-use", True), (
        words
    )
    assert maria.databases() == {"wcm", INTO}
    assert maria.content() == served, "its triggers are there again"
    assert "result" in maria.change("swapped", into=INTO, keep=KEEP), "nothing stands in the way any more"


# --- cut off ---------------------------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from helper import database
from helper.core import Places, Work, boottime
from helper.mariadb_sessions import MariaDBSessions
root, at, want, into, keep = sys.argv[2:]
left = int(at)
ask = MariaDBSessions.sql

def sql(self, orders, *args, **more):
    global left
    if not orders.startswith(("SELECT", "SHOW", "KILL")):
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
    return ask(self, orders, *args, **more)

MariaDBSessions.sql = sql
insisted = MariaDBSessions.insist

def insist(self, orders, *args):
    global left
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1
    return insisted(self, orders, *args)

MariaDBSessions.insist = insist
work = Work(Places(root), "database", boottime() + 60)
print(database.change_database(work, {"name": "wcm", "want": want, "into": into, "keep": keep}))
"""
"""The helper's own code, killed just before the order of this number that changes anything."""
SMALL = """
DROP VIEW a_loud; DROP TABLE image; DROP PROCEDURE note; DROP EVENT never; DROP SEQUENCE number;
"""


def killed_at(server: MariaDB, number: int, want: str, into: str) -> bool:
    """Whether it was killed before it came to its end."""
    argv = [sys.executable, "-c", KILLED, str(SOURCES.parent), str(server.home.root), str(number), want, into, KEEP]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (0, -9), done.stderr
    return done.returncode == -9


@pytest.mark.parametrize("asked", ["once more", "for something else"])
def test_one_that_is_cut_off_at_any_order_is_finished_or_taken_back_by_what_is_asked_next(
    maria: MariaDB, asked: str
) -> None:
    maria.sql(SMALL)
    served, of_backup = in_place_of(maria)
    number, states = int(asked != "once more"), set[bool]()
    while killed_at(maria, number, "swapped", INTO):
        states.add(KEEP in maria.databases() and "page" in maria.root("SHOW TABLES", KEEP))
        if asked == "once more":
            reply = maria.change("swapped", into=INTO, keep=KEEP)
            assert "result" in reply, (number, reply)
            assert maria.content() == of_backup, number
            assert "result" in maria.change("swapped-back", into=INTO, keep=KEEP), number
        elif KEEP in maria.databases() and INTO not in maria.databases():
            assert "result" in maria.change("swapped-back", into=INTO, keep=KEEP), number
        else:
            maria.change("dropped", into="wcm__20200101t000000")
            if maria.content() != served:
                assert maria.content() == of_backup, f"neither this nor that after {number}"
                assert "result" in maria.change("swapped-back", into=INTO, keep=KEEP), number
        assert maria.content() == served, number
        assert maria.databases() == {"wcm", INTO}, number
        number += 2
    assert number > 10
    assert states == {False, True}, "it was cut off before the tables moved and after"
    assert maria.content() == of_backup


def test_one_that_is_killed_while_it_waits_for_the_tables_moves_nothing_later(maria: MariaDB) -> None:
    served, of_backup = in_place_of(maria)
    with session(maria, "root", "mysql", "START TRANSACTION; INSERT INTO wcm.log (what) VALUES ('held')"):
        speaker = maria.speak()
        args = {"name": "wcm", "want": "swapped", "into": INTO, "keep": KEEP}
        speaker.send(speaker.stamped("database", args, 60))
        waits = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'RENAME TABLE%'"
        wait_until(lambda: maria.root(waits) == "1")
        assert "page_added" not in maria.root("SELECT TRIGGER_NAME FROM information_schema.TRIGGERS"), "taken away"
        speaker.process.kill()
        speaker.hang_up()
        assert "result" in maria.change("dropped", into="wcm__20200101t000000"), "anything else that is asked"
    assert maria.content() == served
    assert maria.databases() == {"wcm", INTO}
    assert "result" in maria.change("swapped", into=INTO, keep=KEEP)
    assert maria.content() == of_backup


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [
    {"into": "wcm", "keep": KEEP}, {"into": "mysql", "keep": KEEP}, {"into": INTO, "keep": "wcm"},
    {"into": "wcm__20261124t020000; DROP DATABASE wcm", "keep": KEEP}, {"into": INTO, "keep": "other"},
])  # fmt: skip
def test_only_our_own_names_are_renamed(maria: MariaDB, names: dict[str, str]) -> None:
    assert error(maria.change("swapped", into=names["into"], keep=names["keep"]))[0] == "not-in-policy"


@pytest.mark.parametrize("into", ["wcm", "mysql", "wcm__backup", "wcm2__20261124t020000", "WCM__20261124T020000"])
def test_nothing_else_is_dropped(maria: MariaDB, into: str) -> None:
    maria.root("CREATE DATABASE IF NOT EXISTS wcm2__20261124t020000")
    assert error(maria.change("dropped", into=into))[0] == "not-in-policy"
    assert {"wcm", "wcm2__20261124t020000"} <= maria.databases()


def test_our_own_are_dropped_also_when_somebody_is_connected(maria: MariaDB) -> None:
    restored(maria, maria.dump(day(24)))
    with session(maria, "root", INTO, "START TRANSACTION; SELECT * FROM page LIMIT 1"):
        assert "result" in maria.change("dropped", into=INTO)
    assert maria.databases() == {"wcm"}
    assert maria.root("SELECT Db FROM mysql.db WHERE User = 'failover_restore'") == ""
    assert "result" in maria.change("dropped", into=INTO), "what isn't there needs no dropping"
