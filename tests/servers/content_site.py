"""A site whose every file says its build, and how two servers that have it are compared."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.speak import Speaker
from tests.servers.two_servers import TwoServers


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


def leftovers(two: TwoServers) -> list[str]:
    base = Path(f"{two.path}.releases")
    return sorted(path.name for path in base.iterdir() if path.name.startswith(".")) if base.exists() else []


@pytest.fixture
def puller(two: TwoServers) -> Iterator[Speaker]:
    """The destination's helper; the source has build-1."""
    fill(two.source, "build-1")
    with two.speaker() as speaker:
        yield speaker
