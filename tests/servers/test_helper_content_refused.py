"""Reasons not to copy, or not to switch: a suspect source, a full disk, a source that changes, another host key."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.servers.content_site import fill, leftovers, tree
from tests.servers.helper_fixtures import small_disk
from tests.servers.speak import Speaker, kind
from tests.servers.two_servers import TwoServers

pytestmark = pytest.mark.lab


def test_a_source_that_lost_much_is_suspect(two: TwoServers, puller: Speaker) -> None:
    two.sync(puller)
    before = tree(two.path)
    for number in range(10):
        (two.source / f"page/{number}.html").unlink()
    reply = two.sync(puller)
    assert kind(reply) == ("source-suspect", False)
    assert "12 files" in reply["error"]["message"]
    assert tree(two.path) == before
    assert "result" in two.sync(puller, max_loss_percent=50)


def test_as_many_files_of_other_names_are_a_loss_too(two: TwoServers, puller: Speaker) -> None:
    two.sync(puller)
    shutil.move(two.source / "page", two.source / "owned")
    reply = two.sync(puller)
    assert kind(reply) == ("source-suspect", False)
    assert "20 of 22" in reply["error"]["message"]


def test_fewer_bytes_are_a_loss_too(two: TwoServers, puller: Speaker) -> None:
    two.sync(puller)
    for path in (two.source / "page").iterdir():
        path.write_text("")
    assert kind(two.sync(puller)) == ("source-suspect", False)


def test_an_empty_source_is_never_served(two: TwoServers, puller: Speaker) -> None:
    shutil.rmtree(two.source)
    two.source.mkdir()
    assert kind(two.sync(puller)) == ("source-suspect", False)
    assert not two.path.exists()


@pytest.mark.parametrize("small", ["size=3m", "nr_inodes=60"])
def test_a_disk_that_is_too_small_is_known_before(two: TwoServers, small: str) -> None:
    fill(two.source, "build-1")
    with small_disk(two.top / "live", small), two.speaker() as puller:
        assert "result" in two.sync(puller)
        before = tree(two.path)
        for number in range(40):
            (two.source / f"page/big-{number}").write_bytes(os.urandom(100_000))
        reply = two.sync(puller)
        assert kind(reply) == ("no-space", False)
        assert "free" in reply["error"]["message"]
        assert tree(two.path) == before
        assert not leftovers(two)


def test_a_disk_that_fills_up_meanwhile_leaves_the_site_and_no_rest(two: TwoServers) -> None:
    fill(two.source, "build-1")
    live = two.top / "live"
    with small_disk(live, "size=12m"), two.speaker() as puller:
        assert "result" in two.sync(puller)
        before = tree(two.path)
        for number in range(60):
            (two.source / f"page/big-{number}").write_bytes(os.urandom(130_000))
        number = puller.send(puller.stamped("content", two.wish(), 60))
        while not list(Path(f"{two.path}.releases").glob(".incoming/page/big*")):
            time.sleep(0.001)
        subprocess.run(["dd", "if=/dev/zero", f"of={live}/other", "bs=64k"], capture_output=True, check=False)
        reply = puller.reply(number)
        assert kind(reply) == ("no-space", True)
        assert tree(two.path) == before
        assert not leftovers(two)
        (live / "other").unlink()
        assert "result" in two.sync(puller)
        assert tree(two.path) == tree(two.source)


@pytest.mark.parametrize("change", ["content", "gone", "both"])
def test_a_source_that_changes_during_the_copy_is_said_and_nothing_switched(
    two: TwoServers, puller: Speaker, change: str
) -> None:
    two.sync(puller)
    fill(two.source, "build-2")
    manifest = two.manifest()
    if change != "gone":
        (two.source / "build-id").write_text("build-3")  # as long as before
    if change != "content":
        (two.source / "page/7.html").unlink()
    reply = two.sync(puller, manifest)
    assert kind(reply) == ("changed-during-copy", True)
    assert ("build-id" in reply["error"]["message"]) == (change != "gone")
    assert ("page/7.html" in reply["error"]["message"]) == (change != "content")
    assert (two.path / "build-id").read_text() == "build-1"
    assert "result" in two.sync(puller)
    assert tree(two.path) == tree(two.source)


def test_same_size_and_time_but_other_content_is_noticed(two: TwoServers, puller: Speaker) -> None:
    """C8: rsync's own comparison would not see it."""
    two.sync(puller)
    path = two.source / "page/3.html"
    times = path.stat()
    path.write_bytes(path.read_bytes().replace(b"build-1", b"defaced"))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert two.sync(puller)["result"]["fetched_files"] == 1
    assert tree(two.path) == tree(two.source)


@pytest.mark.parametrize("spoil", ["content", "mode", "extra", "missing", "owner"])
def test_a_release_that_was_tampered_with_is_noticed_and_made_anew(
    two: TwoServers, puller: Speaker, spoil: str
) -> None:
    manifest = two.manifest()
    first = two.sync(puller, manifest)["result"]
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
    assert not puller.ask("content", path=str(two.path), verify=True)["result"]["current"]["intact"]
    again = two.sync(puller, manifest)["result"]
    assert again["changed"]
    assert again["release"] != first["release"]
    assert tree(two.path) == tree(two.source)
    assert puller.ask("content", path=str(two.path), verify=True)["result"]["current"]["intact"]


def test_another_host_key_means_no_copy(two: TwoServers, puller: Speaker) -> None:
    two.sshd.stop()
    two.sshd.new_host_key()
    two.sshd.start()
    reply = two.sync(puller)
    assert kind(reply) == ("source-unreachable", False)
    assert "Host key verification failed" in reply["error"]["message"]
    assert not list(two.to_home.run.glob("pull-*"))


def test_a_source_that_is_down_or_refuses_is_said(two: TwoServers, puller: Speaker) -> None:
    manifest = two.manifest()
    two.sshd.allow(None)
    reply = two.sync(puller, manifest)
    assert kind(reply) == ("source-unreachable", False)
    assert "Permission denied" in reply["error"]["message"]
    two.sshd.stop()
    assert kind(two.sync(puller, manifest)) == ("source-unreachable", False)
