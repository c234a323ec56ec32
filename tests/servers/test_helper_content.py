"""Content copied between two helpers over a real sshd: complete, verified, switched at once."""

from __future__ import annotations

import os
import random
import shutil
import threading
import time
from pathlib import Path

import pytest

from tests.servers.content_site import fill, leftovers, tree
from tests.servers.helper_fixtures import pythons
from tests.servers.speak import Speaker
from tests.servers.two_servers import TwoServers, two_servers

pytestmark = pytest.mark.lab


@pytest.mark.parametrize("python", pythons())
def test_a_first_copy_is_complete_verified_and_served(python: str) -> None:
    with two_servers(python=python) as two:
        fill(two.source, "build-1")
        manifest = two.manifest()
        assert (manifest["files"], manifest["stored"]) == (22, True)
        with two.speaker() as puller:
            assert puller.ask("content", path=str(two.path))["result"]["current"] is None
            result = two.sync(puller, manifest)["result"]
            assert (result["changed"], result["switched"], result["fetched_files"]) == (True, True, 22)
            assert tree(two.path) == tree(two.source)
            assert two.path.is_symlink()
            said = puller.ask("content", path=str(two.path), verify=True)["result"]
            assert said["current"]["digest"] == manifest["digest"]
            assert said["current"]["intact"]
            assert not said["staging"]
            # The destination's own manifest of what it serves is the same: a proof that needs no copy to be believed.
            assert puller.ask("manifest", path=str(two.path))["result"]["digest"] == manifest["digest"]
        assert not leftovers(two)
        assert not list(two.to_home.run.glob("pull-*"))


def test_nothing_changed_needs_no_connection(two: TwoServers, puller: Speaker) -> None:
    manifest = two.manifest()
    first = two.sync(puller, manifest)["result"]
    two.sshd.stop()
    again = two.sync(puller, manifest)["result"]
    assert (again["changed"], again["switched"], again["release"]) == (False, False, first["release"])
    assert again["verified_at"] > first["verified_at"]


def test_only_what_differs_is_fetched_and_the_rest_is_linked(two: TwoServers, puller: Speaker) -> None:
    two.sync(puller)
    before = two.path.resolve()
    (two.source / "page/3.html").write_text("new")
    (two.source / "page/4.html").unlink()
    (two.source / "fresh").mkdir()
    (two.source / "fresh/er.html").write_text("fresher")
    result = two.sync(puller)["result"]
    assert result["fetched_files"] == 2
    assert tree(two.path) == tree(two.source)
    assert (two.path / "logo.png").stat().st_ino == (before / "logo.png").stat().st_ino
    assert (before / "page/4.html").exists(), "the release before is left as it was"
    assert "--files-from=-" in two.asked.read_text().splitlines()[-1]


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_many_copies_keep_the_last_releases_and_each_is_right(two: TwoServers, puller: Speaker, keep: int) -> None:
    rng = random.Random(keep)  # noqa: S311 - the same copies every time
    for build in range(2, 9):
        fill(two.source, f"build-{build}", files=rng.randint(15, 20))
        for path in list((two.source / "page").iterdir()):
            if rng.random() < 0.1:
                path.unlink()
        (two.source / "link").unlink(missing_ok=True)
        (two.source / "link").symlink_to(f"page/{build}.html")
        manifest = two.manifest()
        assert "result" in two.sync(puller, manifest, keep=keep, max_loss_percent=90)
        assert tree(two.path) == tree(two.source)
        said = puller.ask("content", path=str(two.path), verify=True)["result"]
        assert said["current"]["intact"]
        assert said["current"]["digest"] == manifest["digest"]
        assert len(said["releases"]) == min(keep, build - 1)
        asked = [line for line in two.asked.read_text().splitlines() if line.startswith("rsync")]
        assert all("--files-from" in line for line in asked[1:]), "a recycled release isn't fetched whole"
        for release in said["releases"][:-1]:
            folder = Path(f"{two.path}.releases") / release["release"]
            assert (folder / "build-id").read_text() != f"build-{build}"


def test_copied_ahead_switched_later(two: TwoServers, puller: Speaker) -> None:
    two.sync(puller)
    fill(two.source, "build-2")
    manifest = two.manifest()
    ahead = two.sync(puller, manifest, switch=False)["result"]
    assert not ahead["switched"]
    assert (two.path / "build-id").read_text() == "build-1"
    two.sshd.stop()
    later = two.sync(puller, manifest)["result"]
    assert (later["changed"], later["switched"], later["release"]) == (False, True, ahead["release"])
    assert (two.path / "build-id").read_text() == "build-2"


def test_a_real_folder_becomes_a_release_named_original(two: TwoServers, puller: Speaker) -> None:
    two.path.mkdir()
    fill(two.path, "build-0")
    for path in two.path.rglob("*"):
        shutil.chown(path, "daemon", "daemon")
    was = tree(two.path)
    result = two.sync(puller)["result"]
    assert two.path.is_symlink()
    assert tree(two.path) == tree(two.source)
    assert tree(Path(f"{two.path}.releases/original")) == was
    assert result["linked"] == 1, "logo.png was the same"
    oldest = puller.ask("content", path=str(two.path))["result"]["releases"][0]
    assert (oldest["release"], oldest["digest"]) == ("original", None)


def test_visitors_never_miss_the_site_nor_see_half_of_it(two: TwoServers, puller: Speaker) -> None:
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
        assert "result" in two.sync(puller, keep=5)
    end = time.monotonic() + 20
    while seen[-1][0] != "build-5" and time.monotonic() < end:
        time.sleep(0.01)
    stop.set()
    visitor.join()
    assert {one for one, _ in seen} >= {"build-0", "build-5"}
    assert all(one == other for one, other in seen)
