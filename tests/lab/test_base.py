"""The shared disks: from whose sources they come, and that half of one is never used."""

import os
import threading
import time
from pathlib import Path

import pytest

from tests.lab import base, layers, wcm
from tests.lab.errors import LabUnavailable

ONE_LINE = """\
# deb http://old.example/ubuntu noble main
deb [arch=amd64 signed-by=/usr/share/keyrings/ubuntu.gpg] http://archive.example/ubuntu noble main universe
deb http://archive.example/ubuntu noble-security main
deb-src http://archive.example/ubuntu noble main
deb http://third.example/repo stable main
"""
DEB822 = """\
Types: deb deb-src
# a comment
URIs: http://deb.example/debian
Suites: trixie trixie-updates
 trixie-backports
Components: main
Signed-By: /usr/share/keyrings/debian.gpg

Types: deb
URIs: http://off.example/debian
Suites: trixie
Components: main
Enabled: no

Types: deb
URIs: http://third.example/node
Suites: nodistro
Components: main
"""


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    (tmp_path / "sources.list.d").mkdir()
    return tmp_path


def test_the_machines_own_sources_are_used_and_third_parties_are_not(etc: Path) -> None:
    (etc / "sources.list").write_text(ONE_LINE)
    assert base.apt_sources("noble", etc).splitlines() == [
        "deb [arch=amd64 signed-by=/usr/share/keyrings/ubuntu.gpg] http://archive.example/ubuntu noble main universe",
        "deb http://archive.example/ubuntu noble-security main",
    ]


def test_sources_in_the_newer_format_are_understood(etc: Path) -> None:
    (etc / "sources.list.d/debian.sources").write_text(DEB822)
    key = "[signed-by=/usr/share/keyrings/debian.gpg]"
    assert base.apt_sources("trixie", etc).splitlines() == [
        f"deb {key} http://deb.example/debian trixie main",
        f"deb {key} http://deb.example/debian trixie-updates main",
    ]


def test_a_machine_without_sources_of_its_release_is_told_so(etc: Path) -> None:
    with pytest.raises(LabUnavailable, match="no apt source of trixie"):
        base.apt_sources("trixie", etc)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FAILOVER_CACHE", str(tmp_path))
    return tmp_path / "lab"


def test_a_build_that_fails_leaves_nothing_behind_and_is_tried_again(cache: Path) -> None:
    def fails(into: Path) -> None:
        (into / "half").write_text("")
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        layers.layer("root", ["recipe"], fails)
    assert [found.suffix for found in cache.iterdir()] == [".lock"]
    whole = layers.layer("root", ["recipe"], lambda into: (into / "whole").touch())
    assert [found.name for found in whole.iterdir()] == ["whole"]


def test_of_two_builders_one_builds_and_the_other_waits(cache: Path) -> None:
    builds = []

    def slowly(into: Path) -> None:
        builds.append(into)
        time.sleep(0.5)

    threads = [threading.Thread(target=layers.layer, args=("root", ["recipe"], slowly)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(builds) == 1


def test_another_recipe_is_another_layer(cache: Path) -> None:
    first = layers.layer("root", ["nginx"], lambda into: None)
    assert layers.layer("root", ["nginx", "monit"], lambda into: None) != first
    assert layers.layer("root", ["nginx"], lambda into: pytest.fail("built again")) == first


def test_layers_that_nobody_used_for_two_weeks_make_room_for_new_ones(cache: Path) -> None:
    long_ago = time.time() - layers.UNUSED_SECONDS - 60
    old, used, other = (layers.layer(*what, lambda into: None) for what in (("a", ["1"]), ("a", ["2"]), ("b", ["1"])))
    for layer in (old, used, other):
        os.utime(layer, (long_ago, long_ago))
    layers.layer("a", ["2"], lambda into: None)
    layers.layer("a", ["3"], lambda into: None)
    assert (old.exists(), used.exists(), other.exists()) == (False, True, True)


def test_another_file_or_mode_of_the_site_makes_another_wcm_and_what_python_leaves_there_does_not(
    tmp_path: Path,
) -> None:
    (tmp_path / "site").mkdir()
    page, seen = tmp_path / "site/page.py", set()
    for change in (
        lambda: page.write_text("one"),
        lambda: page.write_text("two"),
        lambda: page.chmod(0o755),
        lambda: page.rename(tmp_path / "site/other.py"),
    ):
        change()
        seen.add(wcm._digest(tmp_path))
    (tmp_path / "site/__pycache__").mkdir()
    (tmp_path / "site/__pycache__/page.pyc").touch()
    assert len(seen) == 4
    assert wcm._digest(tmp_path) in seen
