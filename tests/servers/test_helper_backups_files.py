"""Archives of another server's folders, backups copied to a second place, and restic as a store: all for real."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.database_servers import program
from tests.servers.helper_fixtures import pythons
from tests.servers.speak import Speaker
from tests.servers.two_servers import TwoServers, two_servers

ID = "wcm-files-20261124T023000Z"


def fill(folder: Path) -> None:
    """Software, configuration and uploads, with all kinds of names."""
    (folder / "app").mkdir()
    (folder / "app/run.sh").write_text("#!/bin/sh\necho 运行\n")
    (folder / "app/run.sh").chmod(0o755)
    (folder / "app/current").symlink_to("run.sh")
    (folder / "media").mkdir(mode=0o750)
    (folder / "media/统计 年鉴.pdf").write_bytes(os.urandom(300_000))
    (folder / os.fsdecode(b"media/\xff\n.bin")).write_bytes(b"\0" * 5000)
    (folder / ("media/" + "n" * 200)).write_text("long")
    (folder / "empty").mkdir()


def sets(two: TwoServers, **more: Any) -> list[dict[str, Any]]:
    return [{"set": "wcm-files", "kind": "files", "path": str(two.top / "kept"), "paths": [str(two.path)], **more}]


@pytest.fixture
def helper(two: TwoServers) -> Iterator[Speaker]:
    fill(two.source)
    two.policy(backups=sets(two))
    with two.speaker() as speaker:
        yield speaker


def trees(two: TwoServers) -> list[dict[str, Any]]:
    manifest = two.manifest()
    return [{"path": str(two.path), **{key: manifest[key] for key in ("digest", "files", "bytes")}}]


def made(speaker: Speaker, two: TwoServers, **more: Any) -> dict[str, Any]:
    args = {"set": "wcm-files", "want": "made", "id": ID, "source": "wcm", "trees": trees(two), **more}
    return speaker.change("backups", args, seconds=60)


def change(speaker: Speaker, want: str, **args: Any) -> dict[str, Any]:
    return speaker.change("backups", {"set": "wcm-files", "want": want, "id": ID, **args}, seconds=60)


@pytest.mark.parametrize("python", pythons())
def test_folders_are_pulled_proven_packed_and_unpack_to_the_same(python: str) -> None:
    with two_servers(python=python) as two:
        fill(two.source)
        two.policy(backups=sets(two))
        with two.speaker() as speaker:
            reply = made(speaker, two)
            assert "result" in reply, reply
            entry = reply["result"]
            assert entry["format"] == "tar.gz"
            assert entry["verified_at"]
            found = change(speaker, "unpacked", into="look")["result"]
            assert found["compared"] == 1
            assert found["files"] == 4
            folder = Path(found["folder"] + str(two.path))
            assert not subprocess.run(
                ["diff", "-r", "--no-dereference", str(two.source), str(folder)], check=False
            ).returncode
            assert (folder / "app/run.sh").stat().st_mode & 0o777 == 0o755
            assert os.readlink(folder / "app/current") == "run.sh"
            assert Path(found["folder"]).stat().st_uid == 0
            again = change(speaker, "unpacked", into="look")
            assert again["result"]["compared"] == 1, "a scratch folder of ours is made anew"
        assert sorted(path.name for path in (two.top / "kept").iterdir()) == [".scratch", f"{ID}.json", f"{ID}.tar.gz"]


def test_what_changes_at_the_source_meanwhile_makes_no_archive(two: TwoServers, helper: Speaker) -> None:
    before = trees(two)
    (two.source / "app/run.sh").write_text("#!/bin/sh\nrm -rf\n.")
    args = {"set": "wcm-files", "want": "made", "id": ID, "source": "wcm", "trees": before}
    reply = helper.change("backups", args, seconds=60)
    assert reply["error"]["kind"] == "changed-during-copy"
    assert "app/run.sh" in reply["error"]["message"]
    assert not list((two.top / "kept").iterdir())


def test_paths_that_are_not_the_sets_are_refused(two: TwoServers, helper: Speaker) -> None:
    wrong = [{**trees(two)[0], "path": "/etc"}]
    reply = made(helper, two, trees=wrong)
    assert (reply["error"]["kind"], reply["error"]["began"]) == ("not-in-policy", False)


def test_an_archive_that_lost_an_entry_is_found_out(two: TwoServers, helper: Speaker) -> None:
    file = Path(made(helper, two)["result"]["path"])
    unpacked = two.top / "unpacked"
    with tarfile.open(file) as archive:
        archive.extractall(unpacked, filter="fully_trusted")  # noqa: S202 - made by us
        names = [name for name in archive.getnames() if not name.endswith(".pdf")]
    with tarfile.open(file, "w:gz") as archive:
        for name in names:
            archive.add(unpacked / name, name, recursive=False)
    reply = helper.ask("backups", within=60, set="wcm-files", id=ID, verify=True)["result"]
    assert not reply["sound"]
    assert "entries" in reply["why"]


def test_a_scratch_folder_has_a_plain_name(two: TwoServers, helper: Speaker) -> None:
    made(helper, two)
    for wrong in ("../../etc", "a/b", ".x", "-rf"):
        reply = change(helper, "unpacked", into=wrong)
        assert (reply["error"]["kind"], reply["error"]["began"]) == ("bad-request", False), wrong


# --- copied ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def second(two: TwoServers, helper: Speaker) -> Speaker:
    """The same machine again as the second place: what was made lies at the source now, where it is served."""
    made(helper, two)
    for path in two.source.iterdir():
        shutil.rmtree(path)
    for path in (two.top / "kept").glob("wcm-files*"):
        shutil.move(path, two.source)
    two.policy(backups=sets(two, path=str(two.path)))
    return helper


def test_a_backup_is_copied_and_proven_by_its_checksum(two: TwoServers, second: Speaker) -> None:
    reply = change(second, "copied", source="wcm")
    assert "result" in reply, reply
    (entry,) = second.ask("backups", set="wcm-files")["result"]["backups"]
    first = json.loads((two.source / f"{ID}.json").read_text())
    assert entry["path"] == f"{two.path}/{ID}.tar.gz"
    assert entry["sha256"] == first["sha256"]
    assert entry["taken_at"] == first["taken_at"]
    assert entry["verified_at"] > first["verified_at"]
    assert Path(entry["path"]).read_bytes() == (two.source / f"{ID}.tar.gz").read_bytes()
    assert change(second, "copied", source="wcm")["result"]["changed"] is False
    asked = two.asked.read_text()
    assert "wcm-files" not in asked, "what is asked for is named by digest, never by path"


def test_a_copy_that_is_not_what_the_first_place_says_is_none(two: TwoServers, second: Speaker) -> None:
    file = two.source / f"{ID}.tar.gz"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    reply = change(second, "copied", source="wcm")
    assert reply["error"]["kind"] == "bad-copy"
    assert second.ask("backups", set="wcm-files")["result"]["backups"] == []
    assert not [path for path in Path(two.path).iterdir() if path.name.startswith("wcm-files")]


@pytest.mark.parametrize(
    "lie",
    [
        {"id": "wcm-files-20261125T023000Z"},
        {"set": "other"},
        {"path": 7},
        {"format": "directory"},
        {"evil": 1},
        {"bytes": -1},
    ],
)
def test_a_catalogue_from_another_server_is_checked_before_it_is_believed(
    two: TwoServers, second: Speaker, lie: dict[str, Any]
) -> None:
    entry = two.source / f"{ID}.json"
    entry.write_text(json.dumps({**json.loads(entry.read_text()), **lie}))
    reply = change(second, "copied", source="wcm")
    assert reply["error"]["kind"] == "bad-catalogue"
    assert second.ask("backups", set="wcm-files")["result"]["backups"] == []


def test_a_backup_that_the_first_place_has_not_is_not_copied(two: TwoServers, second: Speaker) -> None:
    reply = second.change(
        "backups", {"set": "wcm-files", "want": "copied", "id": "wcm-files-20270101T000000Z", "source": "wcm"}
    )
    assert reply["error"]["kind"] == "copy-broken"


# --- restic ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def stored(two: TwoServers) -> Iterator[Speaker]:
    """A set with a repository of its own."""
    program("restic")
    fill(two.source)
    (two.top / "password").write_text("correct horse\n")
    store = {"kind": "restic", "repository": str(two.top / "repository"), "password_file": str(two.top / "password")}
    two.policy(backups=sets(two, store=store))
    with two.speaker() as speaker:
        yield speaker


def restic(two: TwoServers, *argv: str) -> str:
    place = ["--repo", str(two.top / "repository"), "--password-file", str(two.top / "password"), "--no-cache"]
    return subprocess.run(["restic", *place, *argv], capture_output=True, text=True, check=True).stdout


def test_every_backup_goes_to_the_store_and_comes_back_from_it(two: TwoServers, stored: Speaker) -> None:
    restic(two, "init")
    entry = made(stored, two)["result"]
    assert entry["store_problem"] is None
    (snapshot,) = json.loads(restic(two, "snapshots", "--json"))
    assert snapshot["tags"] == ["wcm-files", ID]
    assert snapshot["id"].startswith(entry["store"]["snapshot"])
    file = Path(entry["path"])
    content = file.read_bytes()
    assert content[:1000] not in b"".join(
        path.read_bytes() for path in (two.top / "repository/data").rglob("*") if path.is_file()
    )
    file.unlink()
    assert stored.ask("backups", set="wcm-files")["result"]["backups"][0]["problem"] == "its file is gone"
    assert change(stored, "fetched")["result"]["changed"]
    assert file.read_bytes() == content
    assert stored.ask("backups", within=60, set="wcm-files", id=ID, verify=True)["result"]["sound"]


def test_a_store_that_is_not_there_is_said_and_never_begun_anew(two: TwoServers, stored: Speaker) -> None:
    entry = made(stored, two)["result"]
    assert "restic backup" in entry["store_problem"]
    assert not (two.top / "repository").exists()
    assert stored.ask("backups", set="wcm-files")["result"]["backups"][0]["problem"] is None, (
        "the backup itself is good"
    )


def test_what_is_let_go_stays_in_the_store(two: TwoServers, stored: Speaker) -> None:
    restic(two, "init")
    made(stored, two)
    made(stored, two, id="wcm-files-20261125T023000Z")
    stored.change("backups", {"set": "wcm-files", "want": "pruned", "ids": [ID]})
    assert len(json.loads(restic(two, "snapshots", "--json"))) == 2
