"""Content copied between two helpers over a real sshd: complete, verified, switched at once, or left alone."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import socket
import stat
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.servers.helper_fixtures import pythons
from tests.servers.speak import HELPER, Home, Speaker
from tests.servers.two_servers import TwoServers, two_servers

pytestmark = pytest.mark.lab


def fill(folder: Path, build: str, files: int = 20) -> None:
    """A site whose every file says its build."""
    (folder / "page").mkdir(exist_ok=True)
    for number in range(files):
        (folder / f"page/{number}.html").write_text(f"{build} {number}\n" * 30)
    (folder / "build-id").write_text(build)
    (folder / "logo.png").write_bytes(bytes(range(256)) * 40)


def tree(folder: Path) -> dict[bytes, tuple[Any, ...]]:
    """What is really there: kind, mode, owner, content."""
    found: dict[bytes, tuple[Any, ...]] = {}
    top = os.fsencode(folder)
    for above, folders, files in os.walk(top):
        for name in folders + files:
            path = os.path.join(above, name)
            info = os.lstat(path)
            kind = stat.S_IFMT(info.st_mode)
            content = b""
            if kind == stat.S_IFREG:
                with open(path, "rb") as file:
                    content = file.read()
            elif kind == stat.S_IFLNK:
                content = os.readlink(path)
            found[os.path.relpath(path, top)] = (kind, info.st_mode & 0o7777 if kind != stat.S_IFLNK else 0, content)
    return found


def kind(reply: dict[str, Any]) -> Any:
    return reply["error"]["kind"], reply["error"]["began"]


def leftovers(two: TwoServers) -> list[str]:
    base = Path(f"{two.path}.releases")
    return sorted(path.name for path in base.iterdir() if path.name.startswith(".")) if base.exists() else []


@pytest.fixture
def helper(two: TwoServers) -> Any:
    """The destination's helper; the source has build-1."""
    fill(two.source, "build-1")
    with two.speaker() as speaker:
        yield speaker


# --- the whole way ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("python", pythons())
def test_a_first_copy_is_complete_verified_and_served(python: str) -> None:
    with two_servers(python=python) as two:
        fill(two.source, "build-1")
        manifest = two.manifest()
        assert (manifest["files"], manifest["stored"]) == (22, True)
        with two.speaker() as helper:
            assert helper.ask("content", path=str(two.path))["result"]["current"] is None
            result = two.sync(helper, manifest)["result"]
            assert (result["changed"], result["switched"], result["fetched_files"]) == (True, True, 22)
            assert tree(two.path) == tree(two.source)
            assert two.path.is_symlink()
            said = helper.ask("content", path=str(two.path), verify=True)["result"]
            assert said["current"]["digest"] == manifest["digest"]
            assert said["current"]["intact"]
            assert not said["staging"]
            # The destination's own manifest of what it serves is the same: a proof that needs no copy to be believed.
            assert helper.ask("manifest", path=str(two.path))["result"]["digest"] == manifest["digest"]
        assert not leftovers(two)
        assert not list(two.to_home.run.glob("pull-*"))


def test_nothing_changed_needs_no_connection(two: TwoServers, helper: Speaker) -> None:
    manifest = two.manifest()
    first = two.sync(helper, manifest)["result"]
    two.sshd.stop()
    again = two.sync(helper, manifest)["result"]
    assert (again["changed"], again["switched"], again["release"]) == (False, False, first["release"])
    assert again["verified_at"] > first["verified_at"]


def test_only_what_differs_is_fetched_and_the_rest_is_linked(two: TwoServers, helper: Speaker) -> None:
    two.sync(helper)
    before = two.path.resolve()
    (two.source / "page/3.html").write_text("new")
    (two.source / "page/4.html").unlink()
    (two.source / "fresh").mkdir()
    (two.source / "fresh/er.html").write_text("fresher")
    result = two.sync(helper)["result"]
    assert result["fetched_files"] == 2
    assert tree(two.path) == tree(two.source)
    assert (two.path / "logo.png").stat().st_ino == (before / "logo.png").stat().st_ino
    assert (before / "page/4.html").exists(), "the release before is left as it was"
    assert "--files-from=-" in two.asked.read_text().splitlines()[-1]


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_many_copies_keep_the_last_releases_and_each_is_right(two: TwoServers, helper: Speaker, keep: int) -> None:
    rng = random.Random(keep)  # noqa: S311 - the same copies every time
    for build in range(2, 9):
        fill(two.source, f"build-{build}", files=rng.randint(15, 20))
        for path in list((two.source / "page").iterdir()):
            if rng.random() < 0.1:
                path.unlink()
        (two.source / "link").unlink(missing_ok=True)
        (two.source / "link").symlink_to(f"page/{build}.html")
        manifest = two.manifest()
        assert "result" in two.sync(helper, manifest, keep=keep, max_loss_percent=90)
        assert tree(two.path) == tree(two.source)
        said = helper.ask("content", path=str(two.path), verify=True)["result"]
        assert said["current"]["intact"]
        assert said["current"]["digest"] == manifest["digest"]
        assert len(said["releases"]) == min(keep, build - 1)
        asked = [line for line in two.asked.read_text().splitlines() if line.startswith("rsync")]
        assert all("--files-from" in line for line in asked[1:]), "a recycled release isn't fetched whole"
        for release in said["releases"][:-1]:
            folder = Path(f"{two.path}.releases") / release["release"]
            assert (folder / "build-id").read_text() != f"build-{build}"


def test_copied_ahead_switched_later(two: TwoServers, helper: Speaker) -> None:
    two.sync(helper)
    fill(two.source, "build-2")
    manifest = two.manifest()
    ahead = two.sync(helper, manifest, switch=False)["result"]
    assert not ahead["switched"]
    assert (two.path / "build-id").read_text() == "build-1"
    two.sshd.stop()
    later = two.sync(helper, manifest)["result"]
    assert (later["changed"], later["switched"], later["release"]) == (False, True, ahead["release"])
    assert (two.path / "build-id").read_text() == "build-2"


def test_a_real_folder_becomes_a_release_named_original(two: TwoServers, helper: Speaker) -> None:
    two.path.mkdir()
    fill(two.path, "build-0")
    for path in two.path.rglob("*"):
        shutil.chown(path, "daemon", "daemon")
    was = tree(two.path)
    result = two.sync(helper)["result"]
    assert two.path.is_symlink()
    assert tree(two.path) == tree(two.source)
    assert tree(Path(f"{two.path}.releases/original")) == was
    assert result["linked"] == 1, "logo.png was the same"
    oldest = helper.ask("content", path=str(two.path))["result"]["releases"][0]
    assert (oldest["release"], oldest["digest"]) == ("original", None)


def test_visitors_never_miss_the_site_nor_see_half_of_it(two: TwoServers, helper: Speaker) -> None:
    """I6, from a real folder on: every read of two files gives one build."""
    two.path.mkdir()
    fill(two.path, "build-0")
    seen: list[tuple[str, str]] = []
    stop = threading.Event()

    def visit() -> None:
        while not stop.is_set():
            # one look at a name, as a web server with an open document root: then two files of what it names
            folder = os.open(two.path, os.O_RDONLY | os.O_DIRECTORY)
            pair = []
            for name in ("build-id", "page/1.html"):
                with open(os.open(name, os.O_RDONLY, dir_fd=folder)) as file:
                    pair.append(file.read().split()[0])
            os.close(folder)
            seen.append((pair[0], pair[1]))

    visitor = threading.Thread(target=visit)
    visitor.start()
    for build in range(1, 6):
        fill(two.source, f"build-{build}")
        assert "result" in two.sync(helper, keep=5)
    end = time.monotonic() + 20
    while seen[-1][0] != "build-5" and time.monotonic() < end:
        time.sleep(0.01)
    stop.set()
    visitor.join()
    assert {one for one, _ in seen} >= {"build-0", "build-5"}
    assert all(one == other for one, other in seen)


# --- what may lie in content -----------------------------------------------------------------------------------------

ODD = [
    b"new\nline", b"-rf", b"--files-from=x", b" lead", b"trail ", b"tab\t", b"\xff\xfe latin", b"x" * 255,
    "统计.html".encode(), b"back\\slash", b"\\#012", b"quote'\"`$(id)", b"*", b"?", b"[a]", b"#", b"~", b"a:b",
    b"\x01\x1b[31m", b"rsync: x", b"%n",
]  # fmt: skip


def test_odd_names_are_the_same_on_both_sides(two: TwoServers, helper: Speaker) -> None:
    top = os.fsencode(two.source)
    os.mkdir(os.path.join(top, b"odd\nfolder \xff"))
    for folder in (top, os.path.join(top, b"odd\nfolder \xff")):
        for name in ODD:
            with open(os.path.join(folder, name), "wb") as file:
                file.write(name)
    result = two.sync(helper)["result"]
    assert result["fetched_files"] == 22 + 2 * len(ODD)
    assert tree(two.path) == tree(two.source)
    for name in ODD:
        with open(os.path.join(top, name), "wb") as file:
            file.write(name * 2)
    assert two.sync(helper)["result"]["fetched_files"] == len(ODD)
    assert tree(two.path) == tree(two.source)


def test_what_isnt_content_is_named_and_left_behind(two: TwoServers, helper: Speaker) -> None:
    fill(two.source, "build-1")
    want = tree(two.source)
    os.mkfifo(two.source / "fifo")
    os.mknod(two.source / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(two.source / "sock"))
    (two.source / "absolute").symlink_to("/etc/passwd")
    (two.source / "page/climbs").symlink_to("../../../etc/passwd")
    (two.source / "down-and-up").symlink_to("page/../../x")
    (two.source / "setuid").write_text("run me")
    (two.source / "setuid").chmod(0o6755)
    manifest = two.manifest()
    named = {entry["path"]: entry["why"] for entry in manifest["skipped"]}
    assert set(named) == {"fifo", "null", "sock", "absolute", "page/climbs", "down-and-up", "setuid"}
    assert "fifo" in named["fifo"]
    assert "/etc/passwd" in named["absolute"]
    assert "result" in two.sync(helper, manifest)
    want[b"setuid"] = (stat.S_IFREG, 0o755, b"run me")
    assert tree(two.path) == want


def test_symlinks_inside_the_tree_are_kept(two: TwoServers, helper: Speaker) -> None:
    (two.source / "page/home").symlink_to("../build-id")
    (two.source / "current").symlink_to("page")
    (two.source / "dangling").symlink_to("nowhere")
    assert two.manifest()["skipped"] == []
    assert "result" in two.sync(helper)
    assert tree(two.path) == tree(two.source)
    assert (two.path / "page/home").read_text() == "build-1"


def test_modes_and_empty_folders_are_content_too(two: TwoServers, helper: Speaker) -> None:
    (two.source / "empty/er").mkdir(parents=True)
    (two.source / "empty").chmod(0o750)
    (two.source / "build-id").chmod(0o600)
    (two.source / "page").chmod(0o555)
    two.source.chmod(0o751)
    assert "result" in two.sync(helper)
    assert tree(two.path) == tree(two.source)
    assert two.path.stat().st_mode & 0o7777 == 0o751
    (two.source / "empty").chmod(0o755)
    (two.source / "build-id").chmod(0o644)
    first = two.manifest()
    assert "result" in two.sync(helper, first)
    assert tree(two.path) == tree(two.source)


def test_a_kind_that_changed_is_changed(two: TwoServers, helper: Speaker) -> None:
    two.sync(helper, keep=2)
    for build in range(3):
        for name in ("build-id", "page"):
            path = two.source / name
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        if build % 2:
            fill(two.source, f"again-{build}")
        else:
            (two.source / "page").write_text("a file now")
            (two.source / "build-id").mkdir()
            (two.source / "build-id/in").write_text("x")
        assert "result" in two.sync(helper, keep=2, max_loss_percent=100)
        assert tree(two.path) == tree(two.source)
        if not build % 2:
            shutil.rmtree(two.source / "build-id")
            (two.source / "build-id").write_text("x")
            (two.source / "page").unlink()
            (two.source / "page").mkdir()


# --- reasons not to --------------------------------------------------------------------------------------------------


def test_a_source_that_lost_much_is_suspect(two: TwoServers, helper: Speaker) -> None:
    two.sync(helper)
    before = tree(two.path)
    for number in range(10):
        (two.source / f"page/{number}.html").unlink()
    reply = two.sync(helper)
    assert kind(reply) == ("source-suspect", False)
    assert "12 files" in reply["error"]["message"]
    assert tree(two.path) == before
    assert "result" in two.sync(helper, max_loss_percent=50)


def test_as_many_files_of_other_names_are_a_loss_too(two: TwoServers, helper: Speaker) -> None:
    two.sync(helper)
    shutil.move(two.source / "page", two.source / "owned")
    reply = two.sync(helper)
    assert kind(reply) == ("source-suspect", False)
    assert "20 of 22" in reply["error"]["message"]


def test_fewer_bytes_are_a_loss_too(two: TwoServers, helper: Speaker) -> None:
    two.sync(helper)
    for path in (two.source / "page").iterdir():
        path.write_text("")
    assert kind(two.sync(helper)) == ("source-suspect", False)


def test_an_empty_source_is_never_served(two: TwoServers, helper: Speaker) -> None:
    shutil.rmtree(two.source)
    two.source.mkdir()
    assert kind(two.sync(helper)) == ("source-suspect", False)
    assert not two.path.exists()


@pytest.mark.parametrize("small", ["size=3m", "nr_inodes=60"])
def test_a_disk_that_is_too_small_is_known_before(two: TwoServers, small: str) -> None:
    fill(two.source, "build-1")
    subprocess.run(["mount", "-t", "tmpfs", "-o", small, "none", str(two.top / "live")], check=True)
    try:
        with two.speaker() as helper:
            assert "result" in two.sync(helper)
            before = tree(two.path)
            for number in range(40):
                (two.source / f"page/big-{number}").write_bytes(os.urandom(100_000))
            reply = two.sync(helper)
            assert kind(reply) == ("no-space", False)
            assert "free" in reply["error"]["message"]
            assert tree(two.path) == before
            assert not leftovers(two)
    finally:
        subprocess.run(["umount", str(two.top / "live")], check=True)


def test_a_disk_that_fills_up_meanwhile_leaves_the_site_and_no_rest(two: TwoServers) -> None:
    fill(two.source, "build-1")
    live = two.top / "live"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "none", str(live)], check=True)
    try:
        with two.speaker() as helper:
            assert "result" in two.sync(helper)
            before = tree(two.path)
            for number in range(60):
                (two.source / f"page/big-{number}").write_bytes(os.urandom(130_000))
            number = helper.send(helper.stamped("content", two.wish(), 60))
            while not list(Path(f"{two.path}.releases").glob(".incoming/page/big*")):
                time.sleep(0.001)
            subprocess.run(["dd", "if=/dev/zero", f"of={live}/other", "bs=64k"], capture_output=True, check=False)
            reply = helper.reply(number)
            assert kind(reply) == ("no-space", True)
            assert tree(two.path) == before
            assert not leftovers(two)
            (live / "other").unlink()
            assert "result" in two.sync(helper)
            assert tree(two.path) == tree(two.source)
    finally:
        subprocess.run(["umount", str(live)], check=True)


@pytest.mark.parametrize("change", ["content", "gone", "both"])
def test_a_source_that_changes_during_the_copy_is_said_and_nothing_switched(
    two: TwoServers, helper: Speaker, change: str
) -> None:
    two.sync(helper)
    fill(two.source, "build-2")
    manifest = two.manifest()
    if change != "gone":
        (two.source / "build-id").write_text("build-3")  # as long as before
    if change != "content":
        (two.source / "page/7.html").unlink()
    reply = two.sync(helper, manifest)
    assert kind(reply) == ("changed-during-copy", True)
    assert ("build-id" in reply["error"]["message"]) == (change != "gone")
    assert ("page/7.html" in reply["error"]["message"]) == (change != "content")
    assert (two.path / "build-id").read_text() == "build-1"
    assert "result" in two.sync(helper)
    assert tree(two.path) == tree(two.source)


def test_same_size_and_time_but_other_content_is_noticed(two: TwoServers, helper: Speaker) -> None:
    """C8: rsync's own comparison would not see it."""
    two.sync(helper)
    path = two.source / "page/3.html"
    times = path.stat()
    path.write_bytes(path.read_bytes().replace(b"build-1", b"defaced"))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert two.sync(helper)["result"]["fetched_files"] == 1
    assert tree(two.path) == tree(two.source)


@pytest.mark.parametrize("spoil", ["content", "mode", "extra", "missing", "owner"])
def test_a_release_that_was_tampered_with_is_noticed_and_made_anew(
    two: TwoServers, helper: Speaker, spoil: str
) -> None:
    manifest = two.manifest()
    first = two.sync(helper, manifest)["result"]
    victim = two.path / "page/3.html"
    times = victim.stat()
    if spoil == "content":
        victim.write_bytes(victim.read_bytes().replace(b"build-1", b"defaced"))
        os.utime(victim, ns=(times.st_atime_ns, times.st_mtime_ns))
    elif spoil == "mode":
        victim.chmod(0o666)
    elif spoil == "extra":
        (two.path / "shell.php").write_text("<?php")
    elif spoil == "missing":
        victim.unlink()
    else:
        os.chown(victim, 12345, 12345)
    assert not helper.ask("content", path=str(two.path), verify=True)["result"]["current"]["intact"]
    again = two.sync(helper, manifest)["result"]
    assert again["changed"]
    assert again["release"] != first["release"]
    assert tree(two.path) == tree(two.source)
    assert helper.ask("content", path=str(two.path), verify=True)["result"]["current"]["intact"]


def test_another_host_key_means_no_copy(two: TwoServers, helper: Speaker) -> None:
    two.sshd.stop()
    two.sshd.new_host_key()
    two.sshd.start()
    reply = two.sync(helper)
    assert kind(reply) == ("source-unreachable", False)
    assert "Host key verification failed" in reply["error"]["message"]
    assert not list(two.to_home.run.glob("pull-*"))


def test_a_source_that_is_down_or_refuses_is_said(two: TwoServers, helper: Speaker) -> None:
    manifest = two.manifest()
    two.sshd.allow(None)
    reply = two.sync(helper, manifest)
    assert kind(reply) == ("source-unreachable", False)
    assert "Permission denied" in reply["error"]["message"]
    two.sshd.stop()
    assert kind(two.sync(helper, manifest)) == ("source-unreachable", False)


# --- interrupted -----------------------------------------------------------------------------------------------------


def test_killed_at_any_moment_the_site_is_whole_and_the_next_call_finishes(two: TwoServers) -> None:
    """C2, I6: kill -9 of the helper and of all its work at random moments."""
    fill(two.source, "build-1", files=300)
    with two.speaker() as helper:
        began = time.monotonic()
        assert "result" in two.sync(helper)
        whole = time.monotonic() - began
    rng = random.Random(7)  # noqa: S311 - the same moments every time
    for build in range(2, 9):
        old = tree(two.path)
        fill(two.source, f"build-{build}", files=300 + build)
        new = tree(two.source)
        manifest = two.manifest()
        for _ in range(3):
            helper = two.speaker()
            helper.send(helper.stamped("content", two.wish(manifest, keep=3), 60))
            time.sleep(rng.uniform(0.0, whole))
            helper.process.send_signal(signal.SIGKILL)
            helper.hang_up()
            seen = tree(two.path)
            assert seen in (old, new)
        with two.speaker() as helper:
            assert "result" in two.sync(helper, manifest, keep=3)
            assert tree(two.path) == new
            assert helper.ask("content", path=str(two.path), verify=True)["result"]["current"]["intact"]
        assert not leftovers(two)


def test_what_a_killed_copy_was_fetching_goes_also_when_nothing_is_missing_any_more(
    two: TwoServers, helper: Speaker
) -> None:
    assert "result" in two.sync(helper)
    incoming = Path(f"{two.path}.releases/.incoming")
    incoming.mkdir(mode=0o700)
    (incoming / "page").mkdir()
    (incoming / "page/0.html").write_text("half")
    assert two.sync(helper)["result"]["fetched_files"] == 0
    assert not leftovers(two)


def test_past_its_deadline_nothing_is_switched(two: TwoServers, helper: Speaker) -> None:
    two.sync(helper)
    for number in range(200):
        (two.source / f"page/big-{number}").write_bytes(os.urandom(200_000))
    reply = helper.change("content", two.wish(), seconds=0.7)
    assert kind(reply)[0] == "past-deadline"
    assert (two.path / "build-id").read_text() == "build-1"
    assert not (two.path / "page/big-1").exists()
    assert "result" in two.sync(helper)
    assert tree(two.path) == tree(two.source)


def test_progress_is_told(two: TwoServers, helper: Speaker) -> None:
    for number in range(300):
        (two.source / f"page/big-{number}").write_bytes(os.urandom(100_000))
    number = helper.send(helper.stamped("content", two.wish(), 60))
    assert "result" in helper.reply(number)
    told = [line["progress"] for line in helper.lines if line["id"] == number]
    assert any(line["phase"] == "copying" and line["bytes"] > 0 for line in told)


def test_a_copy_that_a_power_cut_may_have_torn_isnt_called_verified(two: TwoServers, helper: Speaker) -> None:
    two.sync(helper)
    (record,) = two.to_home.state.glob("releases/*/*.json")
    deadline = time.monotonic() + 60
    while not json.loads(record.read_text())["on_disk"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert helper.ask("content", path=str(two.path))["result"]["current"]["digest"]
    torn = {**json.loads(record.read_text()), "on_disk": False, "boot_id": "another"}
    record.write_text(json.dumps(torn))
    assert helper.ask("content", path=str(two.path))["result"]["current"]["digest"] is None


# --- a hostile source ------------------------------------------------------------------------------------------------

HEAD = b"failover manifest 1\0"
SHA = hashlib.sha256(b"x").hexdigest().encode()
HOSTILE = {
    "climbs": [b"d 755 0 - .", b"f 644 1 " + SHA + b" ../x"],
    "absolute": [b"d 755 0 - .", b"f 644 1 " + SHA + b" /etc/x"],
    "climbs inside": [b"d 755 0 - .", b"d 755 0 - a", b"f 644 1 " + SHA + b" a/../../x"],
    "through a symlink": [b"d 755 0 - .", b"l 777 0 - a//page", b"f 644 1 " + SHA + b" a/x"],
    "symlink out": [b"d 755 0 - .", b"l 777 0 - a//../../etc"],
    "symlink absolute": [b"d 755 0 - .", b"l 777 0 - a///etc/passwd"],
    "setuid": [b"d 755 0 - .", b"f 4755 1 " + SHA + b" x"],
    "twice": [b"d 755 0 - .", b"f 644 1 " + SHA + b" x", b"f 600 1 " + SHA + b" x"],
    "device": [b"d 755 0 - .", b"c 644 1 " + SHA + b" x"],
    "no top": [b"f 644 1 " + SHA + b" x"],
    "no folder": [b"d 755 0 - .", b"f 644 1 " + SHA + b" a/x"],
    "empty name": [b"d 755 0 - .", b"f 644 1 " + SHA + b" "],
    "dot": [b"d 755 0 - .", b"d 755 0 - ./a"],
    "negative": [b"d 755 0 - .", b"f 644 -1 " + SHA + b" x"],
    "garbage": [b"\xff\xfe"],
}


@pytest.mark.parametrize("records", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_manifest_is_refused(two: TwoServers, helper: Speaker, records: list[bytes]) -> None:
    text = HEAD + b"".join(record + b"\0" for record in sorted(records))
    digest = hashlib.sha256(text).hexdigest()
    manifest = two.manifest()
    (two.from_home.state / "manifests" / digest).write_bytes(text)
    files = sum(1 for record in records if record[:1] == b"f")
    reply = two.sync(helper, {"digest": digest, "files": files, "bytes": files}, max_loss_percent=100)
    assert kind(reply) == ("bad-manifest", False)
    assert not two.path.exists()
    assert "result" in two.sync(helper, manifest)


def test_a_manifest_that_isnt_the_one_promised_is_refused(two: TwoServers, helper: Speaker) -> None:
    manifest = two.manifest()
    file = two.from_home.state / "manifests" / manifest["digest"]
    file.write_bytes(file.read_bytes() + b"f 644 1 " + SHA + b" shell.php\0")
    assert kind(two.sync(helper, manifest)) == ("changed-during-copy", False)
    assert not two.path.exists()


SEND = "rsync --server --sender"
FORGED = [
    "", "id", "sh -c id", "scp -f /etc/passwd", "internal-sftp", "rsync --server --daemon .",
    f"{SEND} -te.LsfxCIvu . /etc/passwd",
    "rsync --server -te.LsfxCIvu . content/{content}/",
    f"{SEND} -te.LsfxCIvu . content/{{content}}/../../etc/",
    f"{SEND} -tLe.LsfxCIvu . content/{{content}}/",
    f"{SEND} -te.L . content/{{content}}/ /etc/",
    f"{SEND} -te.L --rsh=id . content/{{content}}/",
    f"{SEND} -te.L --files-from=/etc/passwd . content/{{content}}/",
    f"{SEND} -te.L --remove-source-files . content/{{content}}/",
    f"{SEND} -te.L . content/0000000000000000/",
    f"{SEND} -te.L . content/{{content}}/\n",
    f"{SEND} -te.L . content/{{content}}/;id",
    "manifest ../../../etc/passwd", "manifest {digest}; id", "manifest {digest}\nid",
]  # fmt: skip


@pytest.mark.parametrize("command", FORGED)
def test_the_content_key_opens_nothing_else(two: TwoServers, command: str) -> None:
    fill(two.source, "build-1")
    digest = two.manifest()["digest"]
    name = hashlib.sha256(str(two.path).encode()).hexdigest()[:16]
    words = [*two.within, pythons()[0], "-IS", str(HELPER), "--root", str(two.from_home.root), "serve-content"]
    asked = command.replace("{content}", name).replace("{digest}", digest)
    env = {**os.environ, "SSH_ORIGINAL_COMMAND": asked}
    done = subprocess.run(words, env=env, capture_output=True, timeout=20, check=False)
    assert done.returncode == 1
    assert not done.stdout
    assert b"not-in-policy" in done.stderr


def test_who_pulls_is_nobody_and_the_service_gets_the_files(two: TwoServers, helper: Speaker) -> None:
    """The process that speaks with the source can write nowhere but into its own folder."""
    users: set[tuple[str, int]] = set()
    for number in range(100):
        (two.source / f"page/big-{number}").write_bytes(os.urandom(200_000))
    number = helper.send(helper.stamped("content", two.wish(), 60))
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            for folder in Path("/proc").glob("[0-9]*"):
                try:
                    words = (folder / "cmdline").read_bytes()
                    if b"known_hosts" in words or words.startswith(b"rsync\0-t\0"):
                        users.add((words.split(b"\0")[0].decode(), folder.stat().st_uid))
                except OSError:
                    continue

    looker = threading.Thread(target=look)
    looker.start()
    assert "result" in helper.reply(number)
    stop.set()
    looker.join()
    assert {name for name, _ in users} >= {"ssh", "rsync"}
    assert 0 not in {uid for _, uid in users}
    assert {path.lstat().st_uid for path in two.path.rglob("*")} == {two.path.stat().st_uid} != {0}


def test_a_manifest_is_read_again_only_where_something_changed(two: TwoServers, helper: Speaker) -> None:
    for number in range(400):
        (two.source / f"page/big-{number}").write_bytes(os.urandom(100_000))
    old = time.time() - 100
    for path in two.source.rglob("*"):
        os.utime(path, (old, old))
    time.sleep(2.1)  # what changed in the last two seconds is read again, to be sure
    cold = min(two.manifest()["seconds"] for _ in range(1))
    warm = min(two.manifest()["seconds"] for _ in range(3))
    assert warm < cold / 2, (cold, warm)
    (two.source / "build-id").write_text("build-2")
    assert two.manifest()["digest"] != ""


def test_content_in_the_wrong_home_is_refused(tmp_path: Path) -> None:
    """C14: a server that serves content isn't one that gets it, unless its policy says so."""
    home = Home(tmp_path / "root", serve=[{"path": str(tmp_path / "site")}])
    with Speaker(home) as speaker:
        args = {
            "path": str(tmp_path / "site"),
            "want": "synced",
            "source": "wcm",
            "digest": "0" * 64,
            "files": 1,
            "bytes": 1,
        }
        assert kind(speaker.change("content", args)) == ("not-in-policy", False)


# --- what changed since ----------------------------------------------------------------------------------------------


def compared(two: TwoServers, helper: Speaker, **more: Any) -> dict[str, Any]:
    has = two.manifest()
    wanted = {key: has[key] for key in ("digest", "files")}
    reply = helper.ask("content", path=str(two.path), source="wcm", **wanted, **more)
    assert "result" in reply, reply
    result: dict[str, Any] = reply["result"]
    return result


def counts(told: dict[str, Any]) -> tuple[int, ...]:
    return tuple(told[key] for key in ("added", "changed", "removed", "bytes"))


def test_what_differs_from_the_source_is_counted_and_nothing_is_copied(two: TwoServers, helper: Speaker) -> None:
    two.sync(helper)
    assert counts(compared(two, helper)) == (0, 0, 0, 0)
    (two.source / "page/new.html").write_text("brand new")
    (two.source / "page/0.html").write_text("another")
    (two.source / "page/1.html").unlink()
    os.chmod(two.source / "page/2.html", 0o600)
    before = tree(two.path)
    assert counts(compared(two, helper)) == (1, 1, 1, len("brand new") + len("another"))
    assert tree(two.path) == before


def test_what_was_copied_ahead_meanwhile_still_counts_as_changed_since(two: TwoServers, helper: Speaker) -> None:
    two.sync(helper)
    time.sleep(0.01)
    left = time.time()
    (two.source / "page/new.html").write_text("brand new")
    two.sync(helper)
    assert counts(compared(two, helper)) == (0, 0, 0, 0)
    assert counts(compared(two, helper, since=left)) == (1, 0, 0, len("brand new"))


def test_what_its_own_server_wrote_into_it_is_seen_too(two: TwoServers, helper: Speaker) -> None:
    two.sync(helper)
    (two.path / "upload.jpg").write_bytes(b"x" * 100)
    assert counts(compared(two, helper)) == (0, 0, 1, 0)


def test_a_plain_folder_and_none_at_all_are_compared(two: TwoServers, helper: Speaker) -> None:
    assert counts(compared(two, helper))[:3] == (22, 0, 0)
    two.path.mkdir()
    (two.path / "build-id").write_text("older")
    assert counts(compared(two, helper, since=time.time()))[:3] == (21, 1, 0)


def test_what_cannot_be_compared_is_refused(two: TwoServers, helper: Speaker) -> None:
    ask: dict[str, Any] = {"path": str(two.path), "digest": "0" * 64, "files": 3}
    assert kind(helper.ask("content", **ask)) == ("bad-request", False)
    assert kind(helper.ask("content", source="moon", **ask)) == ("not-in-policy", False)
    assert kind(helper.ask("content", source="wcm", **ask)) == ("changed-during-copy", False)
