"""kill -9 of the daemon while the database moves, in the middle of a restore too: one run, ended once, nothing lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.e2e.bureau import Bureau, Run, Status
from tests.e2e.mortal import DROP_IN, arm, has_died, make_mortal
from tests.e2e.town import Town
from tests.lab import Writer
from tests.lab.databases import AS_POSTGRES, ask, databases, markers

pytestmark = pytest.mark.lab

UNIT = "postgresql@15-main"
COPYING = f'{AS_POSTGRES} psql -XAtc "{{}}" | grep -q 1'.format(
    "select 1 from pg_stat_activity where query like 'COPY%'"
)

SLOW = """
create function dawdle(int) returns boolean language sql as 'select true';
alter function dawdle owner to wcm;
create table slow (id int check (dawdle(id)));
alter table slow owner to wcm;
insert into slow select * from generate_series(1, 400);
create or replace function dawdle(int) returns boolean language plpgsql
    as 'begin perform pg_sleep(0.02); return true; end'
"""
"""A small table that takes eight seconds to fill again."""


@pytest.fixture
def mortal(whole: Bureau) -> Bureau:
    """The whole site, with a daemon that can be told where to die."""
    make_mortal(whole)
    return whole


@pytest.fixture(scope="module", autouse=True)
def everyday_daemon(city: Town) -> Iterator[None]:
    """The tests after these get the daemon as its unit starts it."""
    yield
    city.forget(DROP_IN)


def ended_once(bureau: Bureau, writer: Writer, held: list[str]) -> Run:
    """The one run there was, done; the WCM writes to db-backup, which has what the backup held."""
    writer.await_accepted(2, within=120, into="db-backup")
    run = bureau.until_run("recover", ("done",), 60)
    assert [one["number"] for one in bureau.moves()] == [run["number"]], "one failure is one run"
    assert "failover was started again" in bureau.told(run)
    done = Counter(
        (change["server"], change["says"])
        for step in bureau.run_of(run["number"])["steps"]
        for change in step["changes"]
        if change["result"] == "ok" and change["verb"] == "database" and "half-made" not in change["says"]
    )
    assert not done or max(done.values()) == 1, f"done twice: {done}"
    assert set(held) <= set(markers(bureau.lab, bureau.lab.db_backup))
    assert bureau.cli("audit", "verify", "/var/lib/failover/journal.db").code == 0
    return run


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        ("step.done", 1),  # the old one is stopped
        ("change.intended", 2),  # before the restored one is put in place
        ("change.outcome", 2),  # after
        ("change.outcome", 5),  # the WCM was restarted
    ],
)
def test_killed_at_a_line_of_its_journal(mortal: Bureau, kind: str, count: int) -> None:
    with Writer(mortal.lab, every=2.0) as writer:
        writer.await_accepted(1, within=20, into="db")
        held = markers(mortal.lab, mortal.lab.db)
        mortal.cli("backup", "now", "wcm-db", timeout=90)
        arm(mortal, kind, count)
        mortal.lab.db.kill_service(UNIT)
        ended_once(mortal, writer, held)
        assert has_died(mortal), "it wasn't killed at all"


def test_killed_in_the_middle_of_a_restore_that_could_not_be_done_ahead(mortal: Bureau) -> None:
    lab, backup = mortal.lab, mortal.lab.db_backup
    mortal.cli("automation", "off", "--why", "nothing is to be restored ahead")
    try:
        ask(lab, lab.db, SLOW, "wcm")
        with Writer(lab, every=2.0) as writer:
            writer.await_accepted(1, within=20, into="db")
            held = markers(lab, lab.db)
            mortal.cli("backup", "now", "wcm-db", timeout=120)
            for name in databases(lab, backup):
                if name.startswith("wcm__2"):
                    ask(lab, backup, f"drop database {name} with (force)")
            lab.db.kill_service(UNIT)
            mortal.until(down, 20)
            mortal.monitor.run("systemd-run --quiet failover recover database --yes")
            mortal.until_run("recover", ("running",), 20)
            backup.run(f"for i in $(seq 400); do {COPYING} && exit 0; sleep 0.05; done; exit 1", timeout=90)
            mortal.monitor.run("systemctl kill --signal=KILL failover")
            ended_once(mortal, writer, held)
        assert not [name for name in databases(lab, backup) if name.startswith("wcm__2") and half_made(mortal, name)]
    finally:
        mortal.cli("automation", "on", "--why", "as before")
        ask(lab, backup, "drop table if exists slow; drop function if exists dawdle", "wcm")


def down(status: Status) -> bool:
    """Whether the daemon calls the database down."""
    return any(check["name"] == "database" and check["standing"] == "down" for check in status["checks"])


def half_made(bureau: Bureau, name: str) -> bool:
    """Whether a restore left it so."""
    has = "select 1 from pg_tables where tablename = 'bureau_marker'"
    return not ask(bureau.lab, bureau.lab.db_backup, has, name)
