"""What may lie in content: odd names, symlinks, modes; and what is named and left behind."""

from __future__ import annotations

import os
import shutil
import socket
import stat

import pytest

from tests.servers.content_site import fill, tree
from tests.servers.speak import Speaker
from tests.servers.two_servers import TwoServers

pytestmark = pytest.mark.lab


ODD = [
    b"new\nline", b"-rf", b"--files-from=x", b" lead", b"trail ", b"tab\t", b"\xff\xfe latin", b"x" * 255,
    "统计.html".encode(), b"back\\slash", b"\\#012", b"quote'\"`$(id)", b"*", b"?", b"[a]", b"#", b"~", b"a:b",
    b"\x01\x1b[31m", b"rsync: x", b"%n",
]  # fmt: skip


def test_odd_names_are_the_same_on_both_sides(two: TwoServers, puller: Speaker) -> None:
    top = os.fsencode(two.source)
    os.mkdir(os.path.join(top, b"odd\nfolder \xff"))
    for folder in (top, os.path.join(top, b"odd\nfolder \xff")):
        for name in ODD:
            with open(os.path.join(folder, name), "wb") as file:
                file.write(name)
    result = two.sync(puller)["result"]
    assert result["fetched_files"] == 22 + 2 * len(ODD)
    assert tree(two.path) == tree(two.source)
    for name in ODD:
        with open(os.path.join(top, name), "wb") as file:
            file.write(name * 2)
    assert two.sync(puller)["result"]["fetched_files"] == len(ODD)
    assert tree(two.path) == tree(two.source)


def test_what_isnt_content_is_named_and_left_behind(two: TwoServers, puller: Speaker) -> None:
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
    assert "result" in two.sync(puller, manifest)
    want[b"setuid"] = (stat.S_IFREG, 0o755, b"run me")
    assert tree(two.path) == want


def test_symlinks_inside_the_tree_are_kept(two: TwoServers, puller: Speaker) -> None:
    (two.source / "page/home").symlink_to("../build-id")
    (two.source / "current").symlink_to("page")
    (two.source / "dangling").symlink_to("nowhere")
    assert two.manifest()["skipped"] == []
    assert "result" in two.sync(puller)
    assert tree(two.path) == tree(two.source)
    assert (two.path / "page/home").read_text() == "build-1"


def test_modes_and_empty_folders_are_content_too(two: TwoServers, puller: Speaker) -> None:
    (two.source / "empty/er").mkdir(parents=True)
    (two.source / "empty").chmod(0o750)
    (two.source / "build-id").chmod(0o600)
    (two.source / "page").chmod(0o555)
    two.source.chmod(0o751)
    assert "result" in two.sync(puller)
    assert tree(two.path) == tree(two.source)
    assert two.path.stat().st_mode & 0o7777 == 0o751
    (two.source / "empty").chmod(0o755)
    (two.source / "build-id").chmod(0o644)
    first = two.manifest()
    assert "result" in two.sync(puller, first)
    assert tree(two.path) == tree(two.source)


def test_a_kind_that_changed_is_changed(two: TwoServers, puller: Speaker) -> None:
    two.sync(puller, keep=2)
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
        assert "result" in two.sync(puller, keep=2, max_loss_percent=100)
        assert tree(two.path) == tree(two.source)
        if not build % 2:
            shutil.rmtree(two.source / "build-id")
            (two.source / "build-id").write_text("x")
            (two.source / "page").unlink()
            (two.source / "page").mkdir()
