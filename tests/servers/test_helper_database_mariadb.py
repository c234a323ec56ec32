"""``database`` against a real MariaDB: what stands there, and backups restored beside what serves."""

from __future__ import annotations

import gzip
import json
import os
import signal
import time

import psutil
import pytest

from tests.servers.databases import SECRET, day
from tests.servers.databases_mariadb import INTO, KEEP, MariaDB, nothing_left, restored
from tests.servers.helper_fixtures import Syslog
from tests.servers.speak import error
from tests.waiting import wait_until

ROWS = {"page": 500, "image": 2000, "log": 0}


# --- asking ----------------------------------------------------------------------------------------------------------


def test_it_says_how_the_database_stands(maria: MariaDB) -> None:
    found = maria.ask()
    assert "MariaDB" in found["version"]
    assert (found["engine"], found["up"], found["exists"], found["read_only"]) == ("mariadb", True, True, False)
    assert found["bytes"] > 50_000
    assert [(entry["name"], entry["note"]) for entry in found["databases"]] == [("wcm", None)]
    assert maria.ask(rows=True, of="wcm")["tables"] == ROWS


def test_a_server_that_is_down_is_told_as_that(maria: MariaDB) -> None:
    maria.write_policy(port=1)
    found = maria.ask()
    assert (found["up"], found["exists"], found["databases"]) == (False, False, [])
    assert "Can't connect" in found["problem"]


def test_only_the_queries_of_the_policy_are_asked_and_they_change_nothing(maria: MariaDB) -> None:
    queries = {"pages": "SELECT COUNT(*) FROM page", "bad": "DELETE FROM image", "worse": "DROP TABLE image"}
    maria.write_policy(queries=queries)
    assert maria.ask(query="pages")["value"] == "500"
    with maria.speak() as speaker:
        assert error(speaker.ask("database", name="wcm", query="other"))[0] == "not-in-policy"
        for name in ("bad", "worse"):
            kind, words = error(speaker.ask("database", name="wcm", query=name))
            assert kind == "database-refused"
            assert "READ ONLY transaction" in words
        assert error(speaker.ask("database", name="wcm", rows=True, of="mysql"))[0] == "not-in-policy"
    assert maria.ask(rows=True)["tables"] == ROWS


def test_a_password_that_others_can_read_is_not_used(maria: MariaDB) -> None:
    path = maria.home.root / "etc/failover-helper/db-password"
    path.chmod(0o644)
    try:
        with maria.speak() as speaker:
            assert error(speaker.ask("database", name="wcm"))[0] == "no-password"
    finally:
        path.chmod(0o600)


# --- restoring -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["plain.gz", "dump.gz", "mariadb-backup"])
def test_a_good_backup_is_restored_beside_what_serves(maria: MariaDB, form: str) -> None:
    maria.write_policy(queries={"pages": "SELECT COUNT(*) FROM a_loud"})
    backup = maria.dump(day(24), form, tables=ROWS)
    before = maria.content()
    reply = restored(maria, backup)
    assert "result" in reply, reply
    result = reply["result"]
    assert (result["into"], result["tables"], result["rows"]) == (INTO, 3, 2500)
    assert result["bytes"] > 50_000
    assert result["warnings"] == ["7 views, routines, triggers or events will run as wcm, not as those who made them"]
    there = maria.content(INTO)
    assert {key: there[key] for key in ("tables", "keys", "sums")} == {
        key: before[key] for key in ("tables", "keys", "sums")
    }
    assert maria.content() == before
    assert maria.root("SELECT NEXT VALUE FOR number", INTO) == "7"
    assert maria.root("SELECT title FROM a_loud ORDER BY title LIMIT 1", INTO) == "统计 1!;"
    assert "-- a comment; with a semicolon" in there["routines"]
    analyzed = "SELECT COUNT(*) FROM mysql.innodb_table_stats WHERE database_name = DATABASE() AND n_rows = 2000"
    assert maria.root(analyzed, INTO) == "1"
    assert {entry["name"]: entry["note"] for entry in maria.ask()["databases"]} == {"wcm": None, INTO: backup}
    rights = maria.root("SELECT Select_priv, Insert_priv, Drop_priv FROM mysql.db WHERE User = 'failover_restore'")
    assert rights == "Y\tN\tN", "what was lent to fill it is taken back"
    assert not list(maria.home.run.glob("database-*"))
    assert not (maria.home.state / "scratch").exists()
    again = restored(maria, backup)["result"]
    assert (again["rows"], again["seconds"] < 5) == (2500, True), "it is there already"


def test_a_dump_that_makes_and_chooses_its_database_is_restored_beside_all_the_same(maria: MariaDB) -> None:
    backup = maria.dump(day(24), "plain.gz", "--add-drop-database", "--databases", "wcm", tables=ROWS)
    before = maria.content()
    assert restored(maria, backup)["result"]["rows"] == 2500
    assert maria.content() == before


def test_a_trigger_that_names_its_database_is_made_in_the_restored_one(maria: MariaDB) -> None:
    maria.sql("DROP TRIGGER page_added; CREATE TRIGGER wcm.page_added AFTER INSERT ON wcm.page FOR EACH ROW"
              " INSERT INTO log (what) VALUES ('named')")  # fmt: skip
    assert "result" in restored(maria, maria.dump(day(24)))
    assert "\tpage\t" in maria.content(INTO)["triggers"]
    assert len(maria.content()["triggers"].splitlines()) == 1


@pytest.mark.parametrize("form", ["plain.gz", "mariadb-backup"])
def test_its_events_sleep_beside_what_serves(maria: MariaDB, form: str) -> None:
    maria.root("SET GLOBAL event_scheduler = ON")
    restored(maria, maria.dump(day(24), form))
    serves = maria.root("SELECT COUNT(*) FROM log", "wcm")
    wait_until(lambda: maria.root("SELECT COUNT(*) FROM log", "wcm") > serves)
    states = "SELECT EVENT_NAME, STATUS FROM information_schema.EVENTS WHERE EVENT_SCHEMA = '{}' ORDER BY 1"
    assert maria.root(states.format("wcm")) == "beat\tENABLED\nnever\tDISABLED"
    assert maria.root(states.format(INTO)) == "beat\tSLAVESIDE_DISABLED\nnever\tDISABLED"


def test_its_events_do_nothing_while_it_is_restored(maria: MariaDB) -> None:
    sly = "create event sly on schedule every 1 second do insert into log (what) values ('sly');\n"
    text = maria.dumped().replace("\n-- Dump completed", f"\nDO SLEEP(2.5);\n{sly}\n-- Dump completed")
    maria.root("SET GLOBAL event_scheduler = ON")
    assert "result" in restored(maria, maria.dump(day(24), text=text))
    beats = maria.root("SELECT what FROM log", INTO)
    assert "beat" not in beats
    time.sleep(1.5)
    assert maria.root("SELECT what FROM log", INTO) == beats, "nor does one that is written otherwise afterwards"
    awake = "SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE() AND STATUS = 'ENABLED'"
    assert maria.root(awake, INTO) == ""


@pytest.mark.parametrize("form", ["plain.gz", "mariadb-backup"])
def test_a_backup_that_only_root_can_read_is_restored(maria: MariaDB, form: str) -> None:
    backup = maria.dump(day(24), form)
    for path in (maria.top / "backups").rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    (maria.top / "backups").chmod(0o700)
    try:
        assert restored(maria, backup)["result"]["rows"] == 2500
    finally:
        (maria.top / "backups").chmod(0o755)


# --- what is no good -------------------------------------------------------------------------------------------------


def test_the_newest_good_one_of_four(maria: MariaDB) -> None:
    """Truncated, empty, of a newer version, good: three are refused with their reason, and nothing is left of them."""
    truncated, empty, newer, good = [maria.dump(day(number), tables=ROWS) for number in (24, 23, 22, 21)]
    maria.cut_to(truncated, (maria.top / f"backups/{truncated}.sql.gz").stat().st_size // 2)
    maria.cut_to(empty, 0)
    entry = maria.top / f"backups/{newer}.json"
    entry.write_text(json.dumps({**json.loads(entry.read_text()), "server_version": "99.1.2-MariaDB"}))
    before = maria.content()
    kind, words = error(restored(maria, truncated))
    assert (kind, "unexpected end of file" in words) == ("bad-backup", True), words
    kind, words = error(restored(maria, empty))
    assert (kind, "it is empty" in words) == ("bad-backup", True), words
    reply = restored(maria, newer)
    kind, words = error(reply)
    assert (kind, reply["error"]["began"]) == ("wrong-version", False)
    assert "it was made on MariaDB 99.1.2-MariaDB; this server is 1" in words
    nothing_left(maria)
    assert maria.content() == before
    assert restored(maria, good)["result"]["rows"] == 2500


def test_a_dump_that_ends_at_a_line_is_noticed(maria: MariaDB) -> None:
    """The client would take the end of its input for the end of the dump."""
    text = maria.dumped()
    kind, words = error(restored(maria, maria.dump(day(24), text=text[: text.index("CREATE TABLE `page`")])))
    assert (kind, "ends in the middle" in words) == ("bad-backup", True), words
    nothing_left(maria)


def test_rows_that_are_missing_are_noticed(maria: MariaDB) -> None:
    kind, words = error(restored(maria, maria.dump(day(24), tables={"page": 501, "image": 2000, "gone": 1})))
    assert kind == "bad-backup"
    assert "page has 500 rows instead of 501" in words
    assert "gone has no rows instead of 1" in words
    nothing_left(maria)


def test_the_sites_own_question_has_the_last_word(maria: MariaDB) -> None:
    maria.write_policy(queries={"news": "SELECT COUNT(*) FROM page WHERE title = 'news of today'"})
    kind, words = error(restored(maria, maria.dump(day(24))))
    assert (kind, "the query news has the answer '0'" in words) == ("bad-backup", True), words
    nothing_left(maria)


def test_a_copy_of_another_version_is_refused_before_anything_is_made(maria: MariaDB) -> None:
    reply = restored(maria, maria.dump(day(24), "mariadb-backup", server_version="10.6.16-MariaDB"))
    assert (error(reply)[0], reply["error"]["began"]) == ("wrong-version", False)
    assert "a copy of MariaDB 10.6.16-MariaDB, and the programs here are of 1" in error(reply)[1]
    nothing_left(maria)


@pytest.mark.parametrize("damage", ["ibdata1", "ib_logfile0", "link", "other"])
def test_a_copy_that_can_not_be_opened_leaves_nothing(maria: MariaDB, damage: str) -> None:
    if damage == "other":
        maria.root("RENAME TABLE wcm.log TO mysql.log_of_ours; DROP DATABASE wcm")
    backup = maria.dump(day(24), "mariadb-backup")
    if damage == "other":
        maria.root("CREATE DATABASE wcm; RENAME TABLE mysql.log_of_ours TO wcm.log")
    elif damage == "link":
        (maria.top / f"backups/{backup}/wcm/page.ibd").unlink()
        (maria.top / f"backups/{backup}/wcm/page.ibd").symlink_to("/etc/shadow")
    else:
        os.truncate(maria.top / f"backups/{backup}/{damage}", 3000)
    kind, words = error(restored(maria, backup))
    assert kind == "bad-backup", words
    says = {"link": "neither a file nor a folder", "other": "no database wcm in it"}.get(damage, "mariadb-backup")
    assert says in words, words
    nothing_left(maria)


# --- the account that fills it ---------------------------------------------------------------------------------------


def test_an_account_that_is_missing_is_named_before(maria: MariaDB) -> None:
    backup = maria.dump(day(24))
    maria.root("RENAME USER failover_restore@localhost TO other@localhost")
    try:
        reply = restored(maria, backup)
    finally:
        maria.root("RENAME USER other@localhost TO failover_restore@localhost")
    assert (error(reply)[0], reply["error"]["began"]) == ("no-account", False)
    assert "the account failover_restore, with the password of failover and no rights" in error(reply)[1]


def test_one_that_could_reach_more_is_not_used(maria: MariaDB) -> None:
    backup = maria.dump(day(24))
    maria.root("GRANT INSERT ON wcm.* TO failover_restore@localhost")
    try:
        reply = restored(maria, backup)
    finally:
        maria.root("REVOKE INSERT ON wcm.* FROM failover_restore@localhost")
    assert (error(reply)[0], reply["error"]["began"]) == ("no-account", False)
    assert "GRANT INSERT ON `wcm`.*" in error(reply)[1]


@pytest.mark.parametrize("form", ["plain.gz", "mariadb-backup"])
def test_the_password_stands_in_no_argument_no_environment_and_no_log(maria: MariaDB, form: str) -> None:
    backup = maria.dump(day(24), form)
    syslog = Syslog(maria.home)
    seen: set[str] = set()
    try:
        with maria.speak() as speaker:
            args = {"name": "wcm", "want": "restored", "backup": backup, "set": "wcm-db", "into": INTO}
            number = speaker.send(speaker.stamped("database", args, 60))
            helper = psutil.Process(speaker.process.pid)
            until = time.monotonic() + 60
            while time.monotonic() < until and INTO not in str(speaker.lines[-1:]):
                for process in helper.children(recursive=True):
                    try:
                        seen |= {*process.cmdline(), *process.environ().values()}
                    except psutil.Error:
                        pass  # gone between
                try:
                    speaker.lines.append(speaker.next_line(0.001))
                except TimeoutError:
                    pass
            assert "result" in speaker.reply(number), speaker.lines
        logged = [*syslog.lines, (maria.top / "log").read_text() if (maria.top / "log").exists() else ""]
    finally:
        syslog.close()
        (maria.home.root / "dev/log").unlink()
        (maria.home.root / "dev").rmdir()
    assert any(word.startswith("--defaults-extra-file=") for word in seen), "its clients were seen"
    assert any("wcm" in line for line in logged), "changes are written to syslog"
    for form_of_it in (SECRET, SECRET.replace("\\", "\\\\").replace('"', '\\"')):
        assert not [text for text in [*seen, *logged, str(speaker.lines)] if form_of_it in text]


# --- cut off ---------------------------------------------------------------------------------------------------------


def slow_dump(server: MariaDB) -> str:
    """One whose restore takes long enough to be hit in the middle."""
    server.root(
        "CREATE TABLE big (id int PRIMARY KEY, text text, KEY (text(100)));"
        "INSERT INTO big SELECT seq, REPEAT(MD5(seq), 8) FROM seq_1_to_30000",
        "wcm",
    )
    backup = server.dump(day(24))
    server.sql("DROP TABLE big")
    return backup


def test_a_restore_that_is_killed_is_seen_as_half_made_and_cleared_away(maria: MariaDB) -> None:
    backup = slow_dump(maria)
    speaker = maria.speak()
    args = {"name": "wcm", "want": "restored", "backup": backup, "set": "wcm-db", "into": INTO}
    speaker.send(speaker.stamped("database", args, 60))
    inserting = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'INSERT INTO `big`%'"
    wait_until(lambda: maria.root(inserting) == "1")
    speaker.process.send_signal(signal.SIGKILL)
    speaker.hang_up()
    ours = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER LIKE 'failover%'"
    wait_until(lambda: maria.root(ours) == "0", 10)
    notes = {entry["name"]: entry["note"] for entry in maria.ask()["databases"]}
    assert notes == {"wcm": None, INTO: None}, "half made"
    assert error(maria.change("swapped", into=INTO, keep=KEEP))[0] == "half-made"
    other = "wcm__20261123t020000"
    assert restored(maria, maria.dump(day(23)), other)["result"]["rows"] == 2500
    assert maria.databases() == {"wcm", other}, "the next restore cleared it away"
    rights = maria.root("SELECT DISTINCT Db FROM mysql.db WHERE User = 'failover_restore'")
    assert rights.replace("\\", "") == other
    assert not list(maria.home.run.glob("database-*")), "passwords lay there"


def test_a_restore_past_its_deadline_is_ended(maria: MariaDB) -> None:
    backup = slow_dump(maria)
    assert error(restored(maria, backup, seconds=0.6))[0] == "past-deadline"
    ours = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER LIKE 'failover%'"
    wait_until(lambda: maria.root(ours) == "0", 10)


def test_a_session_that_is_ended_in_mid_restore_is_not_the_backups_fault(maria: MariaDB) -> None:
    args = {"name": "wcm", "want": "restored", "backup": slow_dump(maria), "set": "wcm-db", "into": INTO}
    inserting = "SELECT ID FROM information_schema.PROCESSLIST WHERE INFO LIKE 'INSERT INTO `big`%'"
    with maria.speak() as speaker:
        asked = speaker.send(speaker.stamped("database", args, 60))
        wait_until(lambda: maria.root(inserting) != "")
        maria.root(f"KILL CONNECTION {maria.root(inserting)}")
        reply = speaker.reply(asked)
    assert error(reply)[0] == "database-down", reply
    nothing_left(maria)


def test_a_backup_that_is_another_one_than_was_verified_is_refused(maria: MariaDB) -> None:
    backup = maria.dump(day(24), tables=ROWS, sha256="0" * 64, verified_at=None)
    kind, words = error(restored(maria, backup))
    assert (kind, "its SHA-256 was 000" in words) == ("bad-backup", True), words
    path = maria.top / f"backups/{backup}.sql.gz"
    assert gzip.decompress(path.read_bytes()).startswith(b"/*"), "the file itself is left alone"
    nothing_left(maria)
