"""``database`` against a real PostgreSQL: restored beside what serves, exchanged by renaming, kept from writes."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.servers.databases import BIN, USER, VERSION, PostgreSQL, Writers, day, postgresql
from tests.servers.speak import error
from tests.waiting import wait_until

INTO = "wcm__20261124t020000"
KEEP = "wcm__old_20261124t091450"


@pytest.fixture(scope="module")
def made() -> Iterator[PostgreSQL]:
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
    assert server.databases() == {"postgres", "wcm"}
    assert not list(server.home.run.glob("database-*")), "passwords lay there"
    assert not (server.home.state / "scratch").exists() or not list((server.home.state / "scratch").iterdir())


# --- asking ----------------------------------------------------------------------------------------------------------


def test_it_says_how_the_database_stands(server: PostgreSQL) -> None:
    found = server.ask()
    assert found["version"].startswith("15.")
    assert (found["engine"], found["up"], found["exists"], found["read_only"]) == ("postgresql", True, True, False)
    assert found["bytes"] > 1_000_000
    assert [entry["name"] for entry in found["databases"]] == ["wcm"]
    assert server.ask(rows=True, of="wcm")["tables"] == {"public.image": 2000, "public.page": 500}


def test_a_server_that_is_down_is_told_as_that(server: PostgreSQL) -> None:
    server.write_policy(port=1)
    found = server.ask()
    assert (found["up"], found["exists"], found["databases"]) == (False, False, [])
    assert "refused" in found["problem"]


def test_only_the_queries_of_the_policy_are_asked_and_they_change_nothing(server: PostgreSQL) -> None:
    server.write_policy(queries={"pages": "SELECT count(*) FROM page", "bad": "DELETE FROM image RETURNING 1"})
    assert server.ask(query="pages")["value"] == "500"
    with server.speak() as speaker:
        assert error(speaker.ask("database", name="wcm", query="other"))[0] == "not-in-policy"
        kind, words = error(speaker.ask("database", name="wcm", query="bad"))
        assert kind == "database-refused"
        assert "read-only transaction" in words
        assert error(speaker.ask("database", name="wcm", rows=True, of="postgres"))[0] == "not-in-policy"


def test_a_password_that_others_can_read_is_not_used(server: PostgreSQL) -> None:
    path = server.home.root / "etc/failover-helper/db-password"
    path.chmod(0o644)
    try:
        with server.speak() as speaker:
            assert error(speaker.ask("database", name="wcm"))[0] == "no-password"
    finally:
        path.chmod(0o600)


# --- restoring -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["custom", "directory", "plain.gz", "base"])
def test_a_good_backup_is_restored_beside_what_serves(server: PostgreSQL, form: str) -> None:
    server.write_policy(queries={"pages": "SELECT count(*) FROM page WHERE title LIKE '统计%'"})
    backup = server.dump(day(24), form, tables={"public.page": 500, "public.image": 2000})
    reply = restored(server, backup)
    assert "result" in reply, reply
    result = reply["result"]
    assert (result["into"], result["tables"], result["rows"]) == (INTO, 2, 2500)
    assert result["bytes"] > 1_000_000
    assert server.sql("SELECT title FROM titles LIMIT 1", INTO) == "统计 1"
    assert server.sql("SELECT tableowner FROM pg_tables WHERE tablename = 'page'", INTO) == "wcm"
    assert server.sql("SELECT count(*) FROM pg_stats WHERE tablename = 'page'", INTO) != "0", "it was analyzed"
    notes = {entry["name"]: entry["note"] for entry in server.ask()["databases"]}
    assert notes == {"wcm": None, INTO: backup}
    assert server.sql("SELECT has_table_privilege('report', 'page', 'SELECT')", INTO) == "t"
    again = restored(server, backup)["result"]
    assert (again["rows"], again["seconds"] < 5) == (2500, True), "it is there already"


@pytest.mark.parametrize("form", ["custom", "directory"])
def test_a_backup_that_only_root_can_read_is_restored(server: PostgreSQL, form: str) -> None:
    backup = server.dump(day(24), form)
    for path in (server.top / "backups").rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    (server.top / "backups").chmod(0o700)
    try:
        assert restored(server, backup)["result"]["rows"] == 2500
    finally:
        (server.top / "backups").chmod(0o755)


def test_the_newest_good_one_of_four(server: PostgreSQL) -> None:
    """Truncated, empty, of a newer version, good: three are refused with their reason, and nothing is left of them."""
    backups = [
        server.dump(day(number), tables={"public.page": 500, "public.image": 2000}) for number in (24, 23, 22, 21)
    ]
    truncated, empty, newer, good = [server.top / f"backups/{backup}.dump" for backup in backups]
    os.truncate(truncated, truncated.stat().st_size // 2)
    os.truncate(empty, 0)
    # The archive's own version, three bytes after the magic: as a later pg_dump would write it.
    data = newer.read_bytes()
    newer.write_bytes(data[:6] + bytes([99]) + data[7:])
    for backup, path in zip(backups, (truncated, empty, newer, good), strict=True):
        entry = server.top / f"backups/{backup}.json"
        text = re.sub(r'"bytes": \d+', f'"bytes": {path.stat().st_size}', entry.read_text())
        entry.write_text(text)
    assert error(restored(server, backups[0]))[0] == "bad-backup"
    assert error(restored(server, backups[1]))[0] == "bad-backup"
    kind, words = error(restored(server, backups[2]))
    assert (kind, "unsupported version" in words) == ("wrong-version", True), words
    nothing_left(server)
    assert restored(server, backups[3])["result"]["rows"] == 2500


def test_a_dump_of_a_newer_server_is_refused_before_anything_is_made(server: PostgreSQL) -> None:
    backup = server.dump(day(24), "plain.gz", server_version="17.2")
    reply = restored(server, backup)
    kind, words = error(reply)
    assert (kind, reply["error"]["began"]) == ("wrong-version", False)
    assert "17.2" in words
    nothing_left(server)


@pytest.mark.parametrize("form", ["custom", "plain.gz", "directory"])
def test_a_truncated_dump_leaves_nothing(server: PostgreSQL, form: str) -> None:
    backup = server.dump(day(24), form)
    path = next(path for path in (server.top / "backups").iterdir() if path.suffix != ".json")
    victim = max(path.glob("*.dat.gz"), key=lambda file: file.stat().st_size) if path.is_dir() else path
    os.truncate(victim, victim.stat().st_size * 6 // 10)
    entry = server.top / f"backups/{backup}.json"
    entry.write_text(re.sub(r'"bytes": \d+', f'"bytes": {path.stat().st_size}', entry.read_text()))
    kind, words = error(restored(server, backup))
    assert kind == "bad-backup", words
    nothing_left(server)


def test_a_plain_dump_that_ends_at_a_line_is_noticed(server: PostgreSQL) -> None:
    """psql would take the end of its input for the end of the dump, and commit."""
    backup = server.dump(day(24), "plain.gz")
    path = server.top / f"backups/{backup}.sql.gz"
    lines = gzip.decompress(path.read_bytes()).split(b"\n")
    at = lines.index(b"\\.")
    path.write_bytes(gzip.compress(b"\n".join(lines[: at - 200])))
    entry = server.top / f"backups/{backup}.json"
    entry.write_text(re.sub(r'"bytes": \d+', f'"bytes": {path.stat().st_size}', entry.read_text()))
    kind, words = error(restored(server, backup))
    assert (kind, "ends in the middle" in words) == ("bad-backup", True), words
    nothing_left(server)


def test_rows_that_are_missing_are_noticed(server: PostgreSQL) -> None:
    backup = server.dump(day(24), tables={"public.page": 501, "public.image": 2000, "public.gone": 1})
    kind, words = error(restored(server, backup))
    assert kind == "bad-backup"
    assert "public.page has 500 rows instead of 501" in words
    assert "public.gone has no rows instead of 1" in words
    nothing_left(server)


def test_the_sites_own_question_has_the_last_word(server: PostgreSQL) -> None:
    server.write_policy(queries={"news": "SELECT count(*) FROM page WHERE title = 'news of today'"})
    kind, words = error(restored(server, server.dump(day(24))))
    assert (kind, "the query news has the answer '0'" in words) == ("bad-backup", True), words
    nothing_left(server)


def test_a_role_that_is_missing_here_costs_its_rights_and_not_the_database(server: PostgreSQL) -> None:
    server.sql("CREATE ROLE elsewhere", "postgres", "postgres")
    server.sql("GRANT SELECT ON page TO elsewhere; GRANT SELECT ON image TO report")
    backup = server.dump(day(24))
    server.sql("REVOKE ALL ON page FROM elsewhere; REVOKE ALL ON image FROM report")
    server.sql("DROP ROLE elsewhere", "postgres", "postgres")
    result = restored(server, backup)["result"]
    assert result["warnings"][0].startswith("what was granted to elsewhere is left out")
    assert server.sql("SELECT has_table_privilege('report', 'image', 'SELECT')", INTO) == "t"


def test_an_extension_that_is_missing_here_is_named_before(server: PostgreSQL) -> None:
    server.sql("CREATE EXTENSION hstore SCHEMA public", "wcm", "postgres")
    backup = server.dump(day(24))
    server.sql("DROP EXTENSION hstore", "wcm", "postgres")
    assert restored(server, backup)["result"]["rows"] == 2500, "a trusted one is made by the owner"
    server.change("dropped", into=INTO)
    control = Path(f"/usr/share/postgresql/{VERSION}/extension/hstore.control")
    hidden = server.top / "hstore.control"
    shutil.move(control, hidden)
    try:
        reply = restored(server, backup)
    finally:
        shutil.move(hidden, control)
    assert (error(reply)[0], reply["error"]["began"]) == ("no-extension", False)
    assert "hstore, which isn't installed" in error(reply)[1]


def test_a_dump_that_tries_to_run_a_program_gets_nowhere(server: PostgreSQL) -> None:
    backup = server.dump(day(24), "plain.gz")
    path = server.top / f"backups/{backup}.sql.gz"
    mark = server.top / "ran"
    text = gzip.decompress(path.read_bytes()).decode()
    place = text.index("CREATE VIEW")
    (server.top / "backups").chmod(0o755)
    server.top.chmod(0o777)
    hostile = text[:place] + f"SELECT 1 \\! touch {mark}\n;\n" + text[place:]
    path.write_bytes(gzip.compress(hostile.encode()))
    entry = server.top / f"backups/{backup}.json"
    entry.write_text(re.sub(r'"bytes": \d+', f'"bytes": {path.stat().st_size}', entry.read_text()))
    kind, words = error(restored(server, backup))
    server.top.chmod(0o755)
    assert kind == "hostile-backup", words
    assert not mark.exists()
    nothing_left(server)


def test_a_tool_that_is_made_to_start_a_program_can_not(server: PostgreSQL, tmp_path: Path) -> None:
    """What holds when psql's own restriction doesn't: no other process, no file. Without it, the same does both."""
    from failover.servers.helper.client import Client
    from failover.servers.helper.core import Places, Work, boottime

    server.top.chmod(0o777)
    orders = f"\\! touch {server.top}/by-shell\n\\o {server.top}/by-psql\nSELECT 1;\n".encode()
    argv = [str(BIN / "psql"), "-XqAt", "-h", str(server.data.parent), "-p", str(server.port), "-U", "wcm", "-d", "wcm"]
    with Client(Work(Places(str(server.home.root)), "test", boottime() + 20), USER) as client:
        client.run(argv, orders, alone=True)
        assert not list(server.top.glob("by-*")) or [path.stat().st_size for path in server.top.glob("by-*")] == [0]
        for path in server.top.glob("by-*"):
            path.unlink()
        client.run(argv, orders, writes=True)
    assert {path.name: path.stat().st_size for path in server.top.glob("by-*")} == {"by-shell": 0, "by-psql": 2}
    server.top.chmod(0o755)


def test_what_was_restored_is_tidied_after_the_answer_so_that_autovacuum_has_no_reason_to_come(
    server: PostgreSQL,
) -> None:
    with server.speak() as speaker:
        args = {"name": "wcm", "want": "restored", "backup": server.dump(day(24)), "set": "wcm-db", "into": INTO}
        assert "result" in speaker.change("database", args, 60)
        untidy = "SELECT string_agg(relname, ' ') FROM pg_stat_user_tables WHERE n_ins_since_vacuum > 0"
        wait_until(lambda: server.sql(untidy, INTO, "postgres") == "")


def test_it_is_put_in_place_while_it_is_still_being_tidied(server: PostgreSQL) -> None:
    with server.speak() as speaker:
        args = {"name": "wcm", "want": "restored", "backup": slow_dump(server), "set": "wcm-db", "into": INTO}
        assert "result" in speaker.change("database", args, 60)
        reply = speaker.change("database", {"name": "wcm", "want": "swapped", "into": INTO, "keep": KEEP}, 20)
        assert "result" in reply, reply
        assert server.sql("SELECT count(*) FROM big") == "120000"


# --- cut off ---------------------------------------------------------------------------------------------------------


def slow_dump(server: PostgreSQL) -> str:
    """One whose restore takes long enough to be hit in the middle."""
    server.sql("CREATE TABLE big AS SELECT g AS id, repeat(md5(g::text), 8) AS text FROM generate_series(1, 120000) g;"
               "CREATE INDEX ON big (text)")  # fmt: skip
    backup = server.dump(day(24))
    server.sql("DROP TABLE big")
    return backup


def test_a_restore_that_is_killed_is_seen_as_half_made_and_cleared_away(server: PostgreSQL) -> None:
    backup = slow_dump(server)
    speaker = server.speak()
    speaker.send(speaker.stamped("database", {"name": "wcm", "want": "restored", "backup": backup, "set": "wcm-db",
                                              "into": INTO}, 60))  # fmt: skip
    wait_until(lambda: INTO in server.databases())
    wait_until(
        lambda: "COPY" in server.sql("SELECT string_agg(query, ' ') FROM pg_stat_activity", "postgres", "postgres")
    )
    speaker.process.send_signal(signal.SIGKILL)
    speaker.hang_up()
    ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name IN ('failover', 'pg_restore')"
    wait_until(lambda: server.sql(ours, "postgres", "postgres") == "0", 10)
    notes = {entry["name"]: entry["note"] for entry in server.ask()["databases"]}
    assert notes == {"wcm": None, INTO: None}, "half made"
    assert error(server.change("swapped", into=INTO, keep=KEEP))[0] == "half-made"
    other = "wcm__20261123t020000"
    small = server.dump(day(23))
    assert restored(server, small, other)["result"]["rows"] == 2500
    assert server.databases() == {"postgres", "wcm", other}, "the next restore cleared it away"


def test_where_nothing_serves_a_restored_database_is_put_in_place_all_the_same(server: PostgreSQL) -> None:
    restored(server, server.dump(day(24)))
    server.sql(f"ALTER DATABASE wcm RENAME TO {KEEP}", "postgres", "postgres")  # by hand; put back by the fixture
    assert (server.ask()["exists"], server.ask()["read_only"]) == (False, False)
    reply = server.change("swapped", into=INTO, keep="wcm__old_20261124t100000")
    assert reply["result"]["changed"] is True, reply
    assert server.databases() == {"postgres", "wcm", KEEP}
    assert server.sql("SELECT count(*) FROM page") == "500"


def test_a_restore_past_its_deadline_is_ended(server: PostgreSQL) -> None:
    backup = slow_dump(server)
    reply = restored(server, backup, seconds=0.5)
    assert error(reply)[0] == "past-deadline"
    wait_until(lambda: server.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pg_restore'",
                                "postgres", "postgres") == "0", 10)  # fmt: skip


def test_a_server_that_crashes_in_mid_restore_is_not_the_backups_fault(server: PostgreSQL) -> None:
    backup = slow_dump(server)
    with server.speak() as speaker:
        asked = speaker.send(speaker.stamped("database", {"name": "wcm", "want": "restored", "backup": backup,
                                                          "set": "wcm-db", "into": INTO}, 60))  # fmt: skip
        copying = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'COPY%' AND pid <> pg_backend_pid()"
        wait_until(lambda: server.sql(copying, "postgres", "postgres") != "")
        os.kill(int(server.sql(copying, "postgres", "postgres").split()[0]), signal.SIGKILL)
        reply = speaker.reply(asked)
    assert error(reply)[0] == "database-down", reply
    wait_until(server.answers)
    nothing_left(server)


# --- exchanging ------------------------------------------------------------------------------------------------------


def test_it_is_put_in_place_and_back_by_renaming(server: PostgreSQL) -> None:
    server.sql("ALTER DATABASE wcm SET statement_timeout = '77s'; GRANT CONNECT ON DATABASE wcm TO report;"
               "REVOKE CONNECT ON DATABASE wcm FROM PUBLIC")  # fmt: skip
    backup = server.dump(day(24))
    restored(server, backup)
    server.sql("INSERT INTO page VALUES (1000, 'written since')")
    reply = server.change("swapped", into=INTO, keep=KEEP)
    assert "result" in reply, reply
    assert reply["result"]["seconds"] < 2
    assert server.databases() == {"postgres", "wcm", KEEP}
    assert server.sql("SELECT count(*) FROM page") == "500"
    assert server.sql("SELECT count(*) FROM page", KEEP) == "501"
    assert server.sql("SHOW statement_timeout") == "77s"
    may = "has_database_privilege('{}', 'wcm', 'CONNECT')"
    assert server.sql(f"SELECT {may.format('report')}, {may.format('public')}", "postgres", "postgres") == "t|f"
    assert server.change("swapped", into=INTO, keep=KEEP)["result"]["changed"] is False, "asked again"
    assert "result" in server.change("swapped-back", into="wcm__old_20261124t120000", keep=KEEP)
    assert server.sql("SELECT count(*) FROM page") == "501"
    assert server.databases() == {"postgres", "wcm", "wcm__old_20261124t120000"}
    again = server.change("swapped-back", into="wcm__old_20261124t120000", keep=KEEP)
    assert again["result"]["changed"] is False
    server.sql("DELETE FROM page WHERE id = 1000; ALTER DATABASE wcm RESET statement_timeout;"
               "GRANT CONNECT ON DATABASE wcm TO PUBLIC")  # fmt: skip


def test_open_connections_are_ended_and_new_ones_kept_out_meanwhile(server: PostgreSQL) -> None:
    restored(server, server.dump(day(24)))
    program = [BIN / "psql", "-XqAt", "-h", server.data.parent, "-p", server.port, "-U", "wcm", "-d", "wcm"]
    with Writers([*map(str, program), "-c", "SELECT pg_sleep(0.5)"]):
        wait_until(lambda: server.ask()["connections"] > 0)
        reply = server.change("swapped", into=INTO, keep=KEEP)
    assert "result" in reply, reply
    assert server.databases() == {"postgres", "wcm", KEEP}


def test_who_can_not_be_ended_is_named_and_nothing_is_renamed(server: PostgreSQL) -> None:
    restored(server, server.dump(day(24)))
    with session(server, "postgres"):
        kind, words = error(server.change("swapped", into=INTO, keep=KEEP, seconds=50))
    assert (kind, "a session of postgres (psql, process " in words) == ("in-use", True), words
    assert server.databases() == {"postgres", "wcm", INTO}
    assert server.sql("SELECT 1") == "1", "nobody is locked out afterwards"


@pytest.mark.parametrize("names", [
    {"into": "wcm", "keep": KEEP}, {"into": "postgres", "keep": KEEP}, {"into": INTO, "keep": "wcm"},
    {"into": "wcm__20261124t020000; DROP DATABASE wcm", "keep": KEEP}, {"into": INTO, "keep": "other"},
])  # fmt: skip
def test_only_our_own_names_are_renamed(server: PostgreSQL, names: dict[str, str]) -> None:
    assert error(server.change("swapped", into=names["into"], keep=names["keep"]))[0] == "not-in-policy"


@pytest.mark.parametrize(
    "into", ["wcm", "postgres", "template1", "wcm__backup", "wcm2__20261124t020000", "WCM__20261124T020000"]
)
def test_nothing_else_is_dropped(server: PostgreSQL, into: str) -> None:
    assert error(server.change("dropped", into=into))[0] == "not-in-policy"


def test_our_own_are_dropped_also_when_somebody_is_connected(server: PostgreSQL) -> None:
    restored(server, server.dump(day(24)))
    with session(server, of=INTO):
        assert "result" in server.change("dropped", into=INTO)
    assert server.databases() == {"postgres", "wcm"}
    assert "result" in server.change("dropped", into=INTO), "what isn't there needs no dropping"


# --- parked ----------------------------------------------------------------------------------------------------------


def test_a_parked_database_is_read_and_not_written(server: PostgreSQL) -> None:
    with session(server) as before:
        assert server.change("read-only")["result"]["read_only"] is True
        assert before.wait(10) != 0, "a session from before would go on writing"
    assert server.ask()["read_only"] is True
    with pytest.raises(AssertionError, match="read-only transaction"):
        server.sql("INSERT INTO page VALUES (1001, 'late')")
    assert server.sql("SELECT count(*) FROM page") == "500"
    assert server.ask(rows=True)["tables"]["public.page"] == 500
    assert server.change("read-write")["result"]["read_only"] is False
    assert server.ask()["read_only"] is False
    server.sql("INSERT INTO page VALUES (1001, 'again'); DELETE FROM page WHERE id = 1001")


def test_what_is_restored_beside_a_parked_one_can_be_written_to(server: PostgreSQL) -> None:
    server.change("read-only")
    try:
        restored(server, server.dump(day(24)))
        reply = server.change("swapped", into=INTO, keep=KEEP)
        assert "result" in reply, reply
        server.sql("INSERT INTO page VALUES (1001, 'new'); DELETE FROM page WHERE id = 1001")
        assert server.ask()["read_only"] is False
    finally:
        server.sql(f"ALTER DATABASE {KEEP} RESET default_transaction_read_only", "postgres", "postgres")
