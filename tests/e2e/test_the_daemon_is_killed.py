"""kill -9 of the daemon in mid-run: systemd starts it again, and the run is ended, once, with one holder."""

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.e2e.bureau import Bureau
from tests.e2e.mortal import DROP_IN, arm, has_died, make_mortal
from tests.e2e.town import Town
from tests.lab import Oracle, Visitor

pytestmark = pytest.mark.lab


@pytest.fixture
def mortal(bureau: Bureau) -> Bureau:
    """A bureau whose daemon can be told at which line of its journal to die; systemd starts it again, as ever."""
    make_mortal(bureau)
    return bureau


@pytest.fixture(scope="module", autouse=True)
def everyday_daemon(town: Town) -> Iterator[None]:
    """The tests after these get the daemon as its unit starts it."""
    yield
    town.forget(DROP_IN)


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        ("run.opened", 1),
        ("change.intended", 1),  # before the address is taken from web
        ("change.outcome", 1),  # after
        ("step.done", 1),  # content
        ("step.done", 3),  # both addresses released
        ("change.intended", 3),  # before web-backup is given the address
        ("change.outcome", 3),  # after
        ("step.done", 6),  # answers: nothing left but to say that the role moved
        ("role.moved", 1),  # and that the run ended
    ],
)
def test_the_daemon_is_killed_in_mid_run_and_ends_the_run_when_it_is_back(
    mortal: Bureau, oracle: Oracle, visitor: Visitor, kind: str, count: int
) -> None:
    bureau = mortal
    arm(bureau, kind, count)
    bureau.lab.web.kill_service("nginx")
    run = bureau.until_run("recover", ("done", "undone"), 40)
    assert has_died(bureau), "it wasn't killed at all"
    visitor.await_host("web-backup", within=20)

    shown = bureau.run_of(run["number"])
    assert [one["number"] for one in bureau.moves()] == [run["number"]], "one failure is one run"
    assert "failover was started again" in bureau.told(run)
    done = Counter(
        (change["server"], change["says"])
        for step in shown["steps"]
        for change in step["changes"]
        if change["result"] == "ok"
    )
    assert max(done.values()) == 1, f"done twice: {done}"
    assert all(step["state"] == "done" for step in shown["steps"])
    assert bureau.holder() == "web-backup"
    assert oracle.holders("10.77.0.100") == oracle.holders("fd77::100") == ["web-backup"]
    oracle.check()
    visitor.check_whole()
    assert bureau.cli("audit", "verify", "/var/lib/failover/journal.db").code == 0
