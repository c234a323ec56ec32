"""The fixtures of incidents: a bureau in which all is well, an oracle, a visitor, and the phone of the one on duty.

One lab stands at a time, and none once its last incident is over: on two cores each takes its share of the time in
which the other's visitors are to be answered.
"""

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.bureau import Bureau
from tests.e2e.phone import Phone
from tests.e2e.town import Town, whole_town
from tests.lab import LabError, Oracle, Visitor
from tests.lab.fixtures import make_lab, needs_lab
from tests.lab.fixtures import pytest_runtest_makereport as save_journals

__all__ = ["make_lab"]


LABS = ("town", "make_lab", "city", "town_on_mariadb")
"""In the order in which they are built."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the incidents of one lab side by side, wherever their files stand."""
    ours = [number for number, item in enumerate(items) if Path(__file__).parent in item.path.parents]
    for number, item in zip(ours, sorted((items[number] for number in ours), key=_lab), strict=True):
        items[number] = item


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Print what the daemon thought and did when a test failed: a race on another machine leaves nothing else."""
    report: Any = yield from save_journals(item, call)
    for given in getattr(item, "funcargs", {}).values() if report.failed else ():
        if isinstance(given, Bureau):
            try:
                report.sections.append(("what the daemon says", given.account()))
            except (LabError, OSError) as error:
                report.sections.append(("the daemon can't say anything", str(error)))
            break
    return report


def _lab(item: pytest.Item) -> int:
    names = set(getattr(item, "fixturenames", ()))
    return max((number for number, lab in enumerate(LABS) if lab in names), default=0)


@pytest.fixture(scope="package")
def town() -> Iterator[Town]:
    """What the web server's incidents happen in."""
    needs_lab()
    town = Town()
    yield town
    town.leave()


@pytest.fixture(scope="package")
def city(town: Town) -> Iterator[Town]:
    """All three roles and their backups, on a real WCM, for the incidents that need them."""
    needs_lab()
    town.leave()
    city = whole_town()
    yield city
    city.leave()


@pytest.fixture
def whole(city: Town, request: pytest.FixtureRequest) -> Iterator[Bureau]:
    """A whole site that is well, every role at home. Broken again at the end."""
    failed = request.session.testsfailed
    yield city.lend()
    if request.session.testsfailed > failed:
        city.leave()
    else:
        city.put_back()


@pytest.fixture
def bureau(town: Town, request: pytest.FixtureRequest) -> Iterator[Bureau]:
    """A site that is well: web serves, web-backup is ready, nobody is at work. Broken again at the end."""
    failed = request.session.testsfailed
    yield town.lend()
    if request.session.testsfailed > failed:
        town.leave()  # who knows what is left of it
    else:
        town.put_back()


@pytest.fixture
def phone(town: Town, bureau: Bureau) -> Phone:
    """What the person on duty was told since this incident began."""
    return town.phone


@pytest.fixture
def oracle(bureau: Bureau) -> Iterator[Oracle]:
    """Watches who holds and who answers for the site's addresses, from before the incident to its end."""
    with Oracle(bureau.lab) as oracle:
        yield oracle


@pytest.fixture
def visitor(bureau: Bureau) -> Iterator[Visitor]:
    """Has seen the site served by web, and goes on asking."""
    with Visitor(bureau.lab["client"]) as visitor:
        visitor.await_host("web", within=15)
        yield visitor


@pytest.fixture
def oracle_of_whole(whole: Bureau) -> Iterator[Oracle]:
    """As ``oracle``, of the whole site; in the end no address was ever twice."""
    with Oracle(whole.lab) as oracle:
        yield oracle
    oracle.check()


@pytest.fixture
def visitor_of_whole(whole: Bureau) -> Iterator[Visitor]:
    """As ``visitor``, of the whole site; in the end no page was ever half a one."""
    with Visitor(whole.lab["client"]) as visitor:
        visitor.await_host("web", within=15)
        yield visitor
    visitor.check_whole()
