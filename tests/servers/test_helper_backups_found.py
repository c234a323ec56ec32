"""Backups that other tools make, taken in as they are: told by their bytes, read to their end, never touched."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.database_servers import PASSWORD, MariaDB, PostgreSQL, Server, database_server, program
from tests.servers.helper_fixtures import need_root
from tests.servers.speak import Home, Speaker

HOUR = 3600
ENVIRONMENT = {"PATH": os.environ["PATH"], "PGPASSWORD": PASSWORD}


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, Server]]:
    """Both, with a small database each."""
    need_root()
    with database_server(PostgreSQL) as postgresql, database_server(MariaDB) as mariadb:
        for server in (postgresql, mariadb):
            server.sql("create database wcm")
            server.sql(
                "create table page (id int, title varchar(50)); insert into page values (1, '(一)'), (2, 'b''c')", "wcm"
            )
        postgresql.sql("create database empty")
        yield {"postgresql": postgresql, "mariadb": mariadb}


@pytest.fixture
def top() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="found", dir=os.environ.get("FAILOVER_TEST_DISK")))
    made.chmod(0o755)
    (made / "backup").mkdir()
    yield made
    shutil.rmtree(made)


@pytest.fixture
def home(top: Path) -> Home:
    paper = {"set": "paper", "kind": "found", "path": str(top / "backup"), "pattern": "wcm*"}
    return Home(top / "root", backups=[paper], content_user="nobody")


def pg_dump(server: Server, *options: str, database: str = "wcm") -> bytes:
    where = ["-h", "127.0.0.1", "-p", str(server.port), "-U", "failover", "-d", database]
    return subprocess.run(["pg_dump", *where, *options], env=ENVIRONMENT, capture_output=True, check=True).stdout


def mariadb_dump(server: Server) -> bytes:
    argv = [program("mariadb-dump"), "--no-defaults", f"--socket={server.top}/s", "-u", "root", "wcm"]
    return subprocess.run(argv, capture_output=True, check=True).stdout


def aged(path: Path, hours: float = 5) -> Path:
    """As if it had been written some hours ago; what its ctime tells is looked at where a test says so."""
    then = time.time() - hours * HOUR
    for each in [path, *path.rglob("*")] if path.is_dir() else [path]:
        os.utime(each, (then, then))
    return path


@pytest.fixture(autouse=True)
def _settled(home: Home, top: Path) -> None:
    """ctime can't be set back, so these files count at once."""
    paper = {"set": "paper", "kind": "found", "path": str(top / "backup"), "pattern": "wcm*", "settle_seconds": 0}
    home.write_policy(backups=[paper], content_user="nobody")


def listed(speaker: Speaker) -> list[dict[str, Any]]:
    reply = speaker.ask("backups", set="paper")
    assert "result" in reply, reply
    found: list[dict[str, Any]] = reply["result"]["backups"]
    return found


def verified(speaker: Speaker, backup: str) -> dict[str, Any]:
    reply = speaker.ask("backups", within=60, set="paper", id=backup, verify=True)
    assert "result" in reply, reply
    noted = {"set": "paper", "want": "noted", "id": backup, "verified_at": "2026-11-24T00:00:00Z"}
    assert "result" in speaker.change("backups", noted), noted
    result: dict[str, Any] = reply["result"]
    return result


FORMATS = ["custom", "directory", "plain.gz", "dump.gz", "tar.gz", "base", "mariadb-backup"]


def make(servers: dict[str, Server], form: str, path: Path) -> None:
    """One of each format, as the tools of these servers make them."""
    postgresql, mariadb = servers["postgresql"], servers["mariadb"]
    match form:
        case "custom":
            path.write_bytes(pg_dump(postgresql, "-Fc"))
        case "directory":
            pg_dump(postgresql, "-Fd", "-f", str(path))
            shutil.chown(path, "nobody")
            for each in path.iterdir():
                shutil.chown(each, "nobody")
        case "plain.gz":
            path.write_bytes(gzip.compress(pg_dump(postgresql)))
        case "dump.gz":
            path.write_bytes(gzip.compress(mariadb_dump(mariadb)))
        case "tar.gz":
            with tarfile.open(path, "w:gz") as archive:
                archive.add(__file__, "opt/wcm/app.py")
        case "base":
            postgresql.sql("alter role failover replication")
            argv = [f"{postgresql.bin}/pg_basebackup", "-h", "127.0.0.1", "-p", str(postgresql.port), "-U", "failover"]  # type: ignore[attr-defined]
            subprocess.run([*argv, "-D", str(path), "-c", "fast", "-X", "stream"], env=ENVIRONMENT, check=True)
            subprocess.run(["chown", "-R", "nobody", str(path)], check=True)
        case "mariadb-backup":
            argv = [program("mariadb-backup"), "--no-defaults", "--backup", f"--target-dir={path}", "--user=root"]
            done = subprocess.run(
                [*argv, f"--socket={mariadb.top}/s", f"--datadir={mariadb.top}/data"], capture_output=True, check=False
            )
            assert done.returncode == 0, done.stderr.decode()[-1000:]


@pytest.mark.parametrize("form", FORMATS)
def test_each_format_is_known_by_its_bytes_and_read_to_its_end(
    home: Home, top: Path, servers: dict[str, Server], form: str
) -> None:
    path = top / "backup/wcm-monday.bak"  # a name that tells nothing
    make(servers, form, path)
    aged(path)
    before = {each: each.lstat().st_mtime_ns for each in [path.parent, path]}
    with Speaker(home) as speaker:
        (entry,) = listed(speaker)
        assert (entry["format"], entry["problem"], entry["verified_at"]) == (form, None, None)
        assert entry["made_by"] == "found"
        found = verified(speaker, entry["id"])
        assert found["sound"], found["why"]
        (after,) = listed(speaker)
    assert after["verified_at"]
    assert after["sha256"] == found["sha256"]
    if form in ("custom", "directory", "plain.gz"):
        assert after["tables"] == {"public.page": 2}
        assert after["server_version"].startswith("15")
    if form == "dump.gz":
        assert after["tables"] == {"page": 2}
        assert after["server_version"].startswith("10.11")
    assert {each: each.lstat().st_mtime_ns for each in before} == before, "nothing is written beside it"


def broken(servers: dict[str, Server], how: str) -> bytes:
    whole = pg_dump(servers["postgresql"], "-Fc")
    text = pg_dump(servers["postgresql"])
    maria = mariadb_dump(servers["mariadb"])
    return {
        "a truncated custom dump": whole[:-300],
        "a custom dump of another version": whole[:6] + b"\x63" + whole[7:],
        "a truncated gzip": gzip.compress(text)[:-100],
        "a pipe that broke": gzip.compress(text[: len(text) // 2]),
        "a pipe of mysqldump that broke": gzip.compress(maria[: maria.index(b"INSERT") + 20]),
        "an empty gzip": gzip.compress(b""),
        "an empty file": b"",
        "a page of a web server": b"<!DOCTYPE html>\n<title>404 Not Found</title>\n" * 20,
        "a dump of an empty database": pg_dump(servers["postgresql"], "-Fc", database="empty"),
        "a dump in plain text": text,
        "a tar of nothing": gzip.compress(b"\0" * 10240),
    }[how]


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("a truncated custom dump", "pg_restore can't read it to its end: pg_restore: error: could not read"),
        ("a custom dump of another version", "unsupported version"),
        ("a truncated gzip", "gzip can't read it to its end: gzip: stdin: unexpected end of file"),
        ("a pipe that broke", "it ends in the middle: 'PostgreSQL database dump complete' is missing"),
        ("a pipe of mysqldump that broke", "it ends in the middle: 'Dump completed' is missing"),
        ("an empty gzip", "it begins with nothing"),
        ("an empty file", "it is empty"),
        ("a page of a web server", "it is no backup that is known here: it begins with b'<!DOCTYP'"),
        ("a dump of an empty database", "its list names no table"),
        ("a dump in plain text", "it is a dump in plain text; compress it with gzip"),
        ("a tar of nothing", "it is gzip, and what is in it is no backup"),
    ],
)
def test_each_way_to_be_no_good_is_said(home: Home, top: Path, servers: dict[str, Server], how: str, why: str) -> None:
    path = top / "backup/wcm.dump"
    path.write_bytes(broken(servers, how))
    aged(path)
    with Speaker(home) as speaker:
        backup = listed(speaker)[0]["id"]
        found = verified(speaker, backup)
        assert not found["sound"]
        assert why in found["why"]
        assert why in listed(speaker)[0]["problem"]


def test_what_was_written_to_just_now_is_not_taken_for_complete(
    home: Home, top: Path, servers: dict[str, Server]
) -> None:
    home.write_policy(backups=[{"set": "paper", "kind": "found", "path": str(top / "backup"), "pattern": "wcm*"}])
    path = top / "backup/wcm.dump"
    make(servers, "custom", path)
    aged(path)  # its mtime was set back, as scp -p does; its ctime tells the truth
    with Speaker(home) as speaker:
        assert "and may not be complete" in listed(speaker)[0]["problem"]


def test_only_names_of_the_pattern_count_and_no_symlink(home: Home, top: Path, servers: dict[str, Server]) -> None:
    make(servers, "custom", top / "backup/wcm-1.dump")
    shutil.copy(top / "backup/wcm-1.dump", top / "backup/other.dump")
    (top / "backup/.wcm-2.dump.part").write_bytes(b"PGDMP")
    (top / "backup/wcm-latest").symlink_to("wcm-1.dump")
    with Speaker(home) as speaker:
        assert [Path(entry["path"]).name for entry in listed(speaker)] == ["wcm-1.dump"]


def test_yesterdays_backup_under_another_name_is_the_same_backup(
    home: Home, top: Path, servers: dict[str, Server]
) -> None:
    path = top / "backup/wcm.dump"
    make(servers, "custom", path)
    aged(path)
    with Speaker(home) as speaker:
        before = listed(speaker)[0]["id"]
        verified(speaker, before)
        path.rename(top / "backup/wcm.dump.1")
        make(servers, "custom", path)
        aged(path, hours=1)
        newer, older = listed(speaker)
    assert older["id"] == before
    assert older["verified_at"]
    assert older["path"].endswith("wcm.dump.1")
    assert not newer["verified_at"]


def test_one_that_is_written_over_has_to_be_verified_anew(home: Home, top: Path, servers: dict[str, Server]) -> None:
    path = top / "backup/wcm.dump"
    make(servers, "custom", path)
    aged(path)
    with Speaker(home) as speaker:
        verified(speaker, listed(speaker)[0]["id"])
        path.write_bytes(path.read_bytes()[:-10])
        aged(path)
        (entry,) = listed(speaker)
        assert not entry["verified_at"]


def test_none_of_it_is_ever_made_copied_or_removed_by_us(home: Home, top: Path, servers: dict[str, Server]) -> None:
    make(servers, "custom", aged_path := top / "backup/wcm.dump")
    with Speaker(home) as speaker:
        backup = listed(speaker)[0]["id"]
        for args in (
            {"want": "made", "id": backup, "source": "db"},
            {"want": "copied", "id": backup, "source": "db"},
            {"want": "pruned", "ids": [backup]},
        ):
            reply = speaker.change("backups", {"set": "paper", **args})
            assert (reply["error"]["kind"], reply["error"]["began"]) == ("not-ours", False)
    assert aged_path.exists()


def test_the_tools_that_read_it_are_not_root_and_can_write_nothing(
    home: Home, top: Path, servers: dict[str, Server]
) -> None:
    """A dump that tries to use its reader: the programs are given to it as scripts that tell who runs them."""
    fake = top / "bin"
    fake.mkdir()
    (fake / "pg_restore").write_text(
        f"#!/bin/sh\nid -u >&2; grep -E 'NoNewPrivs|CapEff' /proc/self/status >&2; ulimit -f >&2\n"
        f"echo x > {top}/written; exit 1\n"
    )
    (fake / "pg_restore").chmod(0o755)
    (top / "written").touch(0o666)
    (top / "written").chmod(0o666)
    make(servers, "custom", aged_path := top / "backup/wcm.dump")
    aged(aged_path)
    within = [
        "unshare",
        "-m",
        "sh",
        "-c",
        f'mount --bind {fake}/pg_restore $(readlink -f /usr/bin/pg_restore) && exec "$@"',
        "sh",
    ]
    with Speaker(home, within) as speaker:
        found = speaker.ask("backups", within=60, set="paper", id=listed(speaker)[0]["id"], verify=True)["result"]
    said = found["why"]
    assert "NoNewPrivs: 1" in said
    assert "CapEff: 0000000000000000" in said
    assert "error: 0 " not in said
    assert (top / "written").read_bytes() == b""
