"""Backups on a server, by a real helper, of real PostgreSQL and MariaDB: made, read to their end, kept, found."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.servers.database_servers import PASSWORD, MariaDB, PostgreSQL, Server, database_server
from tests.servers.helper_fixtures import need_root, pythons, small_disk
from tests.servers.speak import Home, Speaker

ID = "wcm-db-20261124T020000Z"
ROWS = 2000
TABLES = {"postgresql": {"public.page": ROWS, 'site."Ordner.neu"': 3}, "mariadb": {"page": ROWS, "leer": 0}}


@pytest.fixture(scope="module", params=[PostgreSQL, MariaDB], ids=["postgresql", "mariadb"])
def database(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server with the WCM's database: text with all that a counter of rows could stumble over."""
    need_root()
    with database_server(request.param) as server:
        server.sql("create database wcm")
        if server.engine == "postgresql":
            server.sql(
                "create table page (id int primary key, title text, body text);"
                "insert into page select n, E'厦门\\n(1),(2);\\\\.', repeat('x', 200) "
                "from generate_series(1, 2000) n;"
                'create schema site; create table site."Ordner.neu" (a text); '
                "insert into site.\"Ordner.neu\" values ('\\.'), (null), (E'COPY a FROM stdin;\\n\\\\.\\n')",
                "wcm",
            )
        else:
            server.sql(
                "create table page (id int primary key, title text, body text);"
                "insert into page select seq, '厦门\\n(1),(2);\\\\\\';(', repeat('x', 200) from seq_1_to_2000;"
                "create table leer (a int, b varbinary(10));",
                "wcm",
            )
        yield server


@pytest.fixture
def top() -> Iterator[Path]:
    """A folder that others may pass through."""
    made = Path(tempfile.mkdtemp(prefix="backups", dir=os.environ.get("FAILOVER_TEST_DISK")))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def policy(database: Server, top: Path, **more: Any) -> dict[str, Any]:
    secret = top / "root/etc/db-password"
    secret.parent.mkdir(parents=True, exist_ok=True)
    secret.write_text(PASSWORD + "\n")
    secret.chmod(0o600)
    dump = {"engine": database.engine, "user": "failover", "password_file": "/etc/db-password"}
    kept = {
        "set": "wcm-db", "kind": "database", "path": str(top / "kept"), "database": "wcm", "dump": dump,
        "from": {"db": {"host": "127.0.0.1", "port": database.port}}, **more,
    }  # fmt: skip
    return {"backups": [kept], "content_user": "nobody"}


@pytest.fixture
def home(top: Path, database: Server) -> Home:
    return Home(top / "root", **policy(database, top))


def made(speaker: Speaker, backup: str = ID, **more: Any) -> dict[str, Any]:
    args = {"set": "wcm-db", "want": "made", "id": backup, "source": "db", **more}
    return speaker.change("backups", args, seconds=60)


def listed(speaker: Speaker, name: str = "wcm-db") -> list[dict[str, Any]]:
    reply = speaker.ask("backups", set=name)
    assert "result" in reply, reply
    found: list[dict[str, Any]] = reply["result"]["backups"]
    return found


def refusal(reply: dict[str, Any]) -> tuple[str, bool, str]:
    return reply["error"]["kind"], reply["error"]["began"], reply["error"]["message"]


# --- made ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("python", pythons())
def test_a_backup_is_whole_counted_and_named_only_then(home: Home, database: Server, python: str, top: Path) -> None:
    with Speaker(home, python=python) as speaker:
        reply = made(speaker)
        assert "result" in reply, reply
        told = reply["result"]
        entry = listed(speaker)[0]
    file = Path(entry["path"])
    assert {key: told[key] for key in entry if key != "store"} == {k: v for k, v in entry.items() if k != "store"}
    assert entry["id"] == ID
    assert entry["tables"] == {name.replace('"', ""): rows for name, rows in TABLES[database.engine].items()}
    assert entry["engine"] == database.engine
    assert entry["server_version"].split(".")[0] in ("15", "16", "17", "10", "11")
    assert entry["bytes"] == file.stat().st_size > 1000
    assert entry["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert entry["verified_at"]
    assert entry["problem"] is None
    assert sorted(path.name for path in (top / "kept").iterdir()) == sorted([file.name, f"{ID}.json"])
    assert (file.stat().st_uid, file.stat().st_mode & 0o777) == (0, 0o640)


def test_asked_for_once_more_it_is_not_made_twice(home: Home) -> None:
    with Speaker(home) as speaker:
        first, second = made(speaker)["result"], made(speaker)["result"]
    assert (first["changed"], second["changed"]) == (True, False)
    assert first["sha256"] == second["sha256"]


def seen_while_made(home: Home, backup: str) -> str:
    """Arguments and environment of everything that the helper starts to make a backup."""
    seen = ""
    with Speaker(home) as speaker:
        number = speaker.send(
            speaker.stamped("backups", {"set": "wcm-db", "want": "made", "id": backup, "source": "db"}, 60)
        )
        end = time.monotonic() + 30
        helper = psutil.Process(speaker.process.pid)
        while time.monotonic() < end and all("progress" in line for line in speaker.lines):
            for process in helper.children(recursive=True):
                try:
                    seen += " ".join([*process.cmdline(), *process.environ().values()])
                except psutil.Error:
                    continue
            try:
                speaker.lines.append(speaker.next_line(0.002))
            except TimeoutError:
                continue
        assert speaker.reply(number, 60)["result"]["id"] == backup
    return seen


def test_the_password_stands_in_no_argument_and_no_file_that_is_left(home: Home, top: Path) -> None:
    seen = ""
    for again in range(10):  # a small dump may be over between two looks
        seen += seen_while_made(home, f"{ID[:-3]}{again:02d}Z")
        if "dump" in seen:
            break
    assert "dump" in seen
    assert PASSWORD not in seen
    left = [path for path in (top / "kept").rglob("*") if path.is_file() and PASSWORD.encode() in path.read_bytes()]
    assert not left


def test_a_dump_that_fails_leaves_nothing_and_says_the_tools_words(home: Home, database: Server, top: Path) -> None:
    home.write_policy(**policy(database, top, **{"from": {"db": {"host": "127.0.0.1", "port": 1}}}))
    with Speaker(home) as speaker:
        kind, began, sentence = refusal(made(speaker))
        assert listed(speaker) == []
    assert (kind, began) == ("dump-failed", True)
    assert "127.0.0.1" in sentence
    assert not list((top / "kept").iterdir())


def test_what_the_policy_does_not_name_is_refused_before_anything(home: Home, top: Path) -> None:
    with Speaker(home) as speaker:
        wrong = [
            {"set": "other", "want": "made", "id": "other-20261124T020000Z", "source": "db"},
            {"set": "wcm-db", "want": "made", "id": ID, "source": "web"},
            {"set": "wcm-db", "want": "made", "id": "wcm-db-../../etc/x", "source": "db"},
            {"set": "wcm-db", "want": "made", "id": "wcm-20261124T020000Z", "source": "db"},
            {"set": "wcm-db", "want": "made", "id": ID},
        ]
        found = [refusal(speaker.change("backups", args)) for args in wrong]
    assert [kind for kind, _, _ in found] == ["not-in-policy", "not-in-policy", *["bad-request"] * 3]
    assert not any(began for _, began, _ in found)
    assert not list((top / "kept").glob("*.*"))


def test_a_killed_helper_leaves_no_backup_and_the_next_one_is_made(home: Home, top: Path) -> None:
    speaker = Speaker(home)
    speaker.send(speaker.stamped("backups", {"set": "wcm-db", "want": "made", "id": ID, "source": "db"}, 60))
    end = time.monotonic() + 20
    while not list((top / "kept").glob(".making/*")) and time.monotonic() < end:
        time.sleep(0.005)
    speaker.process.kill()
    speaker.hang_up()
    with Speaker(home) as again:
        again.token = (1, 2)
        assert [entry for entry in listed(again) if entry["problem"] is None and entry["bytes"] == 0] == []
        assert made(again, "wcm-db-20261124T020100Z")["result"]["changed"]
    assert not (top / "kept/.making").exists()


# --- verified --------------------------------------------------------------------------------------------------------


def verify(speaker: Speaker, backup: str = ID, name: str = "wcm-db") -> dict[str, Any]:
    reply = speaker.ask("backups", within=60, set=name, id=backup, verify=True)
    assert "result" in reply, reply
    result: dict[str, Any] = reply["result"]
    return result


def test_a_sound_backup_is_read_to_its_end_and_may_then_be_called_verified(home: Home) -> None:
    with Speaker(home) as speaker:
        before = made(speaker)["result"]
        noted = {"set": "wcm-db", "want": "noted", "id": ID, "verified_at": "2030-01-01T00:00:00+00:00"}
        assert refusal(speaker.change("backups", noted))[0] == "not-verified"
        assert verify(speaker)["sound"]
        after = speaker.change("backups", noted)["result"]
    assert before["verified_at"] < after["verified_at"] < "2030"  # the helper's own time, not what it was told


@pytest.mark.parametrize("harm", ["flipped", "truncated", "emptied", "gone", "other"])
def test_a_harmed_backup_is_found_out_noted_and_no_good(home: Home, harm: str) -> None:
    with Speaker(home) as speaker:
        file = Path(made(speaker)["result"]["path"])
        data = file.read_bytes()
        match harm:
            case "flipped":
                file.write_bytes(data[:-200] + bytes([data[-200] ^ 1]) + data[-199:])
            case "truncated":
                file.write_bytes(data[: len(data) // 2])
            case "emptied":
                file.write_bytes(b"")
            case "gone":
                file.unlink()
            case "other":
                file.write_bytes(gzip.compress(b"-- PostgreSQL database dump\n"))
        found = verify(speaker)
        assert not found["sound"]
        assert found["why"]
        if harm != "gone":
            speaker.change(
                "backups", {"set": "wcm-db", "want": "noted", "id": ID, "verified_at": "2030-01-01T00:00:00Z"}
            )
        assert listed(speaker)[0]["problem"]


def test_a_restore_is_written_down(home: Home) -> None:
    with Speaker(home) as speaker:
        made(speaker)
        at = "2026-11-24T03:00:00+00:00"
        speaker.change("backups", {"set": "wcm-db", "want": "noted", "id": ID, "restored_at": at})
        assert listed(speaker)[0]["restored_at"] == at


# --- pruned ----------------------------------------------------------------------------------------------------------


def test_old_ones_go_and_the_newest_verified_one_never(home: Home, top: Path) -> None:
    ids = [f"wcm-db-2026112{day}T020000Z" for day in (1, 2, 3)]
    with Speaker(home) as speaker:
        for backup in ids:
            made(speaker, backup)
        newest = refusal(speaker.change("backups", {"set": "wcm-db", "want": "pruned", "ids": [ids[0], ids[2]]}))
        assert newest[:2] == ("newest-verified", False)
        assert len(listed(speaker)) == 3
        reply = speaker.change("backups", {"set": "wcm-db", "want": "pruned", "ids": ids[:2]})
        assert reply["result"]["pruned"] == ids[:2]
        assert [entry["id"] for entry in listed(speaker)] == [ids[2]]
    assert {path.name.partition(".")[0] for path in (top / "kept").iterdir()} == {ids[2]}


def test_without_a_verified_one_nothing_goes(home: Home, top: Path) -> None:
    ids = [f"wcm-db-2026112{day}T020000Z" for day in (1, 2)]
    with Speaker(home) as speaker:
        for backup in ids:
            made(speaker, backup)
            speaker.change("backups", {"set": "wcm-db", "want": "noted", "id": backup, "problem": "it is poisoned"})
        assert (
            refusal(speaker.change("backups", {"set": "wcm-db", "want": "pruned", "ids": ids[:1]}))[0]
            == "newest-verified"
        )
        assert len(listed(speaker)) == 2


def test_a_catalogue_that_somebody_wrote_into_names_no_other_file(home: Home, top: Path) -> None:
    with Speaker(home) as speaker:
        made(speaker)
        made(speaker, "wcm-db-20261124T030000Z")
        entry = top / "kept" / f"{ID}.json"
        entry.write_text(json.dumps(dict(json.loads(entry.read_text()), path=str(top / "root/etc/db-password"))))
        reply = speaker.change("backups", {"set": "wcm-db", "want": "pruned", "ids": [ID]})
        assert refusal(reply)[0] == "bad-catalogue"
        assert (top / "root/etc/db-password").exists()
        entry.write_text("{")
        assert "can't be read" in next(one for one in listed(speaker) if one["id"] == ID)["problem"]


# --- room ------------------------------------------------------------------------------------------------------------


def test_without_room_for_another_one_nothing_is_begun(database: Server, top: Path) -> None:
    (top / "kept").mkdir()
    with small_disk(top / "kept", "size=300k"):
        home = Home(top / "root", **policy(database, top))
        with Speaker(home) as speaker:
            made(speaker)
            (top / "kept/filler").write_bytes(b"x" * (os.statvfs(top / "kept").f_bavail * 4096 - 8192))
            kind, began, sentence = refusal(made(speaker, "wcm-db-20261124T030000Z"))
            assert (kind, began) == ("no-space", False)
            assert "free" in sentence
            assert len(listed(speaker)) == 1
