"""kill -9 of the daemon in mid-run: systemd starts it again, and the run is ended, once, with one holder."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.bureau import CONFIG, Bureau
from tests.e2e.town import Town, all_well
from tests.lab import Oracle, Visitor

pytestmark = pytest.mark.lab

MORTAL = Path(__file__).with_name("programs") / "mortal.py"
PROGRAM, ARMED = "/usr/local/lib/mortal.py", "/var/lib/failover/armed"
DROP_IN = "/run/systemd/system/failover.service.d/mortal.conf"


@pytest.fixture
def mortal(bureau: Bureau) -> Bureau:
    """A bureau whose daemon can be told at which line of its journal to die; systemd starts it again, as ever."""
    monitor = bureau.monitor
    if not monitor.exists(DROP_IN):
        monitor.write(PROGRAM, MORTAL.read_text())
        start = f"/usr/bin/python3 {PROGRAM} {ARMED} daemon --config {CONFIG}"
        monitor.write(DROP_IN, f"[Service]\nExecStart=\nExecStart={start}\n")
        monitor.run("systemctl daemon-reload; systemctl restart failover", timeout=60)
        bureau.until(all_well, 30)
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
    bureau.monitor.run(f"echo {kind} {count} > {ARMED}; chown failover: {ARMED}")
    bureau.lab.web.kill_service("nginx")
    run = bureau.until_run("recover", ("done", "undone"), 40)
    assert not bureau.monitor.exists(ARMED), "it wasn't killed at all"
    assert int(bureau.monitor.run("systemctl show -P NRestarts failover").out) >= 1
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
