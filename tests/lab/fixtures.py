"""pytest's door to the lab: ``from tests.lab.fixtures import make_lab, pytest_runtest_makereport`` in a conftest.

``make_lab(["web", "client"])`` gives a lab that is up, and takes it down after the test. `shared_lab` makes a fixture
of one lab for all tests of a module. Where the lab can't run, its tests fail if ``CI`` is set in the environment, and
are skipped with the reason elsewhere. When a test fails, the hosts' journals are saved, and the report says where.
"""

import os
import re
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .lab import EVERYONE, Lab
from .layers import REPOSITORY
from .needs import missing_requirements

MakeLab = Callable[..., Lab]
watched: set[Lab] = set()
"""Labs that are up; their journals are saved when a test fails."""


def needs_lab() -> None:
    """Fail in CI, skip elsewhere, if the lab can't run on this machine."""
    if missing := missing_requirements():
        sentence = "; ".join(missing)
        if os.environ.get("CI"):
            pytest.fail(f"the lab can't run: {sentence}", pytrace=False)
        pytest.skip(sentence)


@pytest.fixture
def make_lab() -> Iterator[MakeLab]:
    """Makes labs that live as long as the test: ``make_lab(hosts, **options of Lab)``."""
    made: list[Lab] = []

    def make(hosts: Iterable[str] = EVERYONE, **options: Any) -> Lab:
        needs_lab()
        lab = Lab(hosts, **options)
        lab.up()
        made.append(lab)
        watched.add(lab)
        return lab

    yield make
    for lab in made:
        watched.discard(lab)
        lab.down()


def shared_lab(*hosts: str, **options: Any) -> Any:
    """A fixture: one lab for all tests of a module. They leave it as they found it."""

    @pytest.fixture(scope="module")
    def lab() -> Iterator[Lab]:
        needs_lab()
        with Lab(hosts, **options) as lab:
            watched.add(lab)
            yield lab
            watched.discard(lab)

    return lab


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Save the hosts' journals at the moment a test fails, while the hosts still live."""
    report: Any = yield
    if report.failed and watched:
        name = re.sub(r"[^\w.-]+", "_", item.nodeid)
        folder = Path(os.environ.get("FAILOVER_LAB_LOGS") or REPOSITORY / ".cache" / "lab-logs") / name
        for number, lab in enumerate(watched):
            lab.save_logs(folder / str(number) if len(watched) > 1 else folder)
        report.sections.append(("lab", f"the hosts' journals are in {folder}"))
    return report
