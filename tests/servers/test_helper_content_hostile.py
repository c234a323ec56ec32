"""A hostile source: what it lists, sends and asks for can't leave the tree or open anything else."""

from __future__ import annotations

import hashlib
import os
import subprocess
import threading
import time
from pathlib import Path

import pytest

from tests.servers.content_site import fill
from tests.servers.helper_fixtures import pythons
from tests.servers.speak import HELPER, Home, Speaker, kind
from tests.servers.two_servers import TwoServers

pytestmark = pytest.mark.lab


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
def test_a_hostile_manifest_is_refused(two: TwoServers, puller: Speaker, records: list[bytes]) -> None:
    text = HEAD + b"".join(record + b"\0" for record in sorted(records))
    digest = hashlib.sha256(text).hexdigest()
    manifest = two.manifest()
    (two.from_home.state / "manifests" / digest).write_bytes(text)
    files = sum(1 for record in records if record[:1] == b"f")
    reply = two.sync(puller, {"digest": digest, "files": files, "bytes": files}, max_loss_percent=100)
    assert kind(reply) == ("bad-manifest", False)
    assert not two.path.exists()
    assert "result" in two.sync(puller, manifest)


def test_a_manifest_that_isnt_the_one_promised_is_refused(two: TwoServers, puller: Speaker) -> None:
    manifest = two.manifest()
    file = two.from_home.state / "manifests" / manifest["digest"]
    file.write_bytes(file.read_bytes() + b"f 644 1 " + SHA + b" shell.php\0")
    assert kind(two.sync(puller, manifest)) == ("changed-during-copy", False)
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


def test_who_pulls_is_nobody_and_the_service_gets_the_files(two: TwoServers, puller: Speaker) -> None:
    """The process that speaks with the source can write nowhere but into its own folder."""
    users: set[tuple[str, int]] = set()
    for number in range(100):
        (two.source / f"page/big-{number}").write_bytes(os.urandom(200_000))
    number = puller.send(puller.stamped("content", two.wish(), 60))
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
    assert "result" in puller.reply(number)
    stop.set()
    looker.join()
    assert {name for name, _ in users} >= {"ssh", "rsync"}
    assert 0 not in {uid for _, uid in users}
    assert {path.lstat().st_uid for path in two.path.rglob("*")} == {two.path.stat().st_uid} != {0}


def test_a_manifest_is_read_again_only_where_something_changed(two: TwoServers, puller: Speaker) -> None:
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
