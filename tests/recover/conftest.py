from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.recover.bureau import Bureau
from tests.recover.database_bureau import BuildDatabases, DatabaseBureau

Build = Callable[..., Bureau]


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Build]:
    """Builds bureaus, each with a journal of its own, and closes them."""
    built: list[Bureau] = []

    def one(**settings: Any) -> Bureau:
        folder = tmp_path / str(len(built))
        folder.mkdir()
        built.append(Bureau(folder, **settings))
        return built[-1]

    yield one
    for bureau in built:
        bureau.kill_daemon()


@pytest.fixture
def bureau(build: Build) -> Iterator[Bureau]:
    """One bureau whose fence-less web server works; at its end nobody ever shared the address."""
    one = build()
    yield one
    assert not one.world.oracle.overlaps


@pytest.fixture
def build_databases(tmp_path: Path) -> Iterator[BuildDatabases]:
    """Builds bureaus with a database; at their end nothing was lost, unsound or left behind."""
    built: list[DatabaseBureau] = []

    def one(**settings: Any) -> DatabaseBureau:
        folder = tmp_path / str(len(built))
        folder.mkdir()
        built.append(DatabaseBureau(folder, **settings))
        return built[-1]

    yield one
    for bureau in built:
        bureau.look_for_losses("at the end")
        assert not bureau.lost
        assert not bureau.world.unsound
        assert not bureau.strays
        bureau.kill_daemon()


@pytest.fixture
def databases(build_databases: BuildDatabases) -> DatabaseBureau:
    """A bureau whose database serves, with a backup of the night."""
    return build_databases()


@pytest.fixture
def folders() -> Iterator[Iterator[Path]]:
    """Folders without end, in memory where there is room: thousands of lines are written, and synced, here."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as root:

        def one() -> Iterator[Path]:
            for number in count():
                folder = Path(root) / str(number)
                folder.mkdir()
                yield folder
                shutil.rmtree(folder)

        yield one()
