"""``database`` against a real PostgreSQL: asked, and restored beside what serves."""

from __future__ import annotations

import gzip
import os
import re
import shutil
from pathlib import Path

import pytest

from tests.servers.databases import BIN, USER, VERSION, PostgreSQL, day
from tests.servers.databases_postgresql import INTO, KEEP, nothing_left, restored, slow_dump
from tests.servers.speak import error
from tests.waiting import wait_until


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
