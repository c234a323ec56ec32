"""One lab for a file of incidents; after each test the site is brought home, as an operator would."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.bureau import WEB_HOSTS, Bureau
from tests.lab import Lab, Oracle, Visitor
from tests.lab.fixtures import _living, make_lab, needs_lab, pytest_runtest_makereport

__all__ = ["make_lab", "pytest_runtest_makereport"]


@pytest.fixture(scope="module")
def shared_bureau() -> Iterator[Bureau]:
    needs_lab()
    with Lab(WEB_HOSTS) as lab:
        _living.append(lab)
        try:
            bureau = Bureau(lab)
            bureau.up()
            yield bureau
        finally:
            _living.remove(lab)


@pytest.fixture
def bureau(shared_bureau: Bureau) -> Bureau:
    """The site as on an ordinary day: web serves, everything is ready, nothing is held against the plan."""
    shared_bureau.come_home()
    return shared_bureau


@pytest.fixture
def oracle(bureau: Bureau) -> Iterator[Oracle]:
    """Never two that hold or answer, whatever the test does: asserted at its end."""
    with Oracle(bureau.lab) as watching:
        yield watching
        watching.check()


@pytest.fixture
def visitor(bureau: Bureau) -> Iterator[Visitor]:
    """Behind the router, every 10 ms; never half of a copy, asserted at the end."""
    with Visitor(bureau.lab["client"]) as visiting:
        visiting.await_host("web", within=15)
        yield visiting
        visiting.check_whole()
