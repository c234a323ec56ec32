from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.recover.bureau import Bureau

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
