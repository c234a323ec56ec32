"""The database fails: the newest good backup serves from its backup server, the WCM writes there and nowhere else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.bureau import Bureau, Run
from tests.e2e.town import Town, all_well
from tests.lab import LabError, Oracle, Visitor, Writer
from tests.lab.databases import ask, databases, markers, markers_by_database

pytestmark = pytest.mark.lab

UNIT = "postgresql@15-main"
PARKED = """
import sqlite3
journal = sqlite3.connect("file:/var/lib/failover/journal.db?mode=ro", uri=True)
print(journal.execute("select data from events where kind = 'database.parked' order by seq desc").fetchone()[0])
"""
"""The newest word of the daemon's own on a database that came back, as its journal has it."""


@contextmanager
def people(whole: Bureau) -> Iterator[Writer]:
    """An editor at work, a visitor and an oracle: whatever the database does, no address moves."""
    with Oracle(whole.lab) as oracle, Visitor(whole.lab.client) as visitor, Writer(whole.lab, every=2.0) as writer:
        visitor.await_host("web", within=15)
        writer.await_accepted(1, within=20, into="db")
        yield writer
    oracle.check()
    assert not [reply for reply in visitor.good if reply.torn]  # older pages than before may be: those of the backup
    assert {reply.by for reply in visitor.good} == {"web"}
    assert [one["role"] for one in whole.moves() if one["role"] == "web"] == []
    assert whole.holder("web") == "web"


def backed_up(whole: Bureau) -> list[str]:
    """Every marker of now, once a backup holds them and is restored ahead on the standby."""
    held = markers(whole.lab, whole.lab.db)
    whole.cli("backup", "now", "wcm-db", timeout=90)
    whole.until(lambda _: set(held) <= set(restored(whole)), 60)
    return held


def restored(whole: Bureau) -> list[str]:
    """The markers of the newest shadow on db-backup."""
    shadows = [name for name in databases(whole.lab, whole.lab.db_backup) if re.fullmatch(r"wcm__2\d{7}t\d{6}", name)]
    try:
        return markers(whole.lab, whole.lab.db_backup, max(shadows)) if shadows else []
    except LabError:
        return []  # half made: its tables aren't there yet


def moved(whole: Bureau, writer: Writer, held: list[str]) -> Run:
    """The run that moved it; what had to be so then is so."""
    writer.await_accepted(2, within=90, into="db-backup")
    run = whole.until_run("recover", ("done",), 30)
    assert [one["number"] for one in whole.moves()] == [run["number"]], "one failure is one run"
    assert (whole.holder("database"), whole.holder("wcm")) == ("db-backup", "wcm")
    there = markers(whole.lab, whole.lab.db_backup)
    assert set(held) <= set(there), "everything that the backup held is there"
    late = {one.marker for one in writer.accepted if one.host == "db-backup"}
    assert late <= set(there)
    old = markers_by_database(whole.lab).get(("db", "wcm"), [])
    assert not late & set(old), "nobody writes to the old one (I11)"
    told = whole.told(run)
    assert re.search(r"the marker 'proof-[^']+' went in through wcm on wcm and is in the database on db-backup", told)
    return run


def test_the_database_is_killed_and_only_what_came_after_the_backup_is_lost_and_that_is_said(
    whole: Bureau, city: Town
) -> None:
    with people(whole) as writer:
        held = backed_up(whole)
        before = writer.await_accepted(2, within=30, into="db")
        whole.lab.db.kill_service(UNIT)
        failed = "curl -s -o /dev/null -w '%{http_code}' http://10.77.0.100/query/"
        whole.until(lambda _: whole.lab.client.run(failed).out in ("500", "502", "504"), 20)  # the web's own symptom
        run = moved(whole, writer, held)
        assert re.search(
            r"with loss: last good backup \d\d:\d\d UTC \(wcm-db-\w+\), fault \d\d:\d\d UTC", whole.told(run)
        )
        lost = {one.marker for one in before}
        assert not lost & set(markers(whole.lab, whole.lab.db_backup)), "the backup was older: it would be magic"
        city.phone.await_page("are lost", within=15, severity="warning")
        whole.until(lambda _: whole.lab.client.run(failed).out == "200", 20)


def test_the_database_server_loses_its_power_and_comes_back_with_500_newer_rows(whole: Bureau, city: Town) -> None:
    with people(whole) as writer:
        held = backed_up(whole)
        ask(whole.lab, whole.lab.db, "create table newer as select g as id from generate_series(1, 500) g; "
            "alter table newer owner to wcm; insert into bureau_marker (text, source, wcm, revision, published_at) "
            "select 'newer-' || g, 'late', 'wcm', 0, now() from generate_series(1, 500) g", "wcm")  # fmt: skip
        whole.lab.db.power_off()
        run = moved(whole, writer, held)
        assert "cut db off by its fence" in whole.told(run)

        whole.lab.db.boot()
        city.phone.await_page("wcm on db came back and is read-only now", within=60, severity="warning")
        told = whole.monitor.run(["python3", "-c", PARKED]).out
        assert json.loads(told)["newer_rows"]["public.bureau_marker"] >= 500, told
        delete = "psql -w -h 10.77.0.31 -U wcm -c 'delete from bureau_marker' wcm"
        refused = whole.lab.wcm.run(f"PGPASSWORD=$(cat /etc/wcm/database-password) {delete}", check=False)
        assert "read-only transaction" in refused.err
        assert ask(whole.lab, whole.lab.db, "select count(*) from bureau_marker where source = 'late'", "wcm") == [
            ["500"]
        ]

        whole.cli("ack", "database", "--why", "db has power again")
        whole.until(all_well, 60)
        whole.cli("switch", "database", "--yes", timeout=120)  # the way back loses nothing
        writer.await_accepted(2, within=60, into="db")
    there = set(markers(whole.lab, whole.lab.db))
    since = [one for one in writer.accepted if one.host == "db-backup" or one.marker in held]
    assert [one.marker for one in since if one.marker not in there] == []
    kept = [name for name in databases(whole.lab, whole.lab.db) if name.startswith("wcm__old_")]
    found = [
        ask(whole.lab, whole.lab.db, "select count(*) from bureau_marker where source = 'late'", name) for name in kept
    ]
    assert [["500"]] in found, "what the old one had besides is kept"


def test_the_database_hangs_and_is_stopped_before_another_is_put_in_place(whole: Bureau) -> None:
    with people(whole) as writer:
        held = backed_up(whole)
        whole.lab.db.hang_service(UNIT)
        whole.lab.db.run("ss -ltn | grep -q :5432")  # its kernel goes on accepting
        run = moved(whole, writer, held)
        assert f"kill what is left of {UNIT}.service on db, which doesn't stop" in whole.told(run)
        whole.lab.db.run(f"! systemctl is-active -q {UNIT}")


def test_sessions_that_hold_the_standbys_databases_are_ended_and_do_not_block_the_exchange(whole: Bureau) -> None:
    lab, backup = whole.lab, whole.lab.db_backup
    assert lab.made is not None
    with people(whole) as writer:
        held = backed_up(whole)
        for name in databases(lab, backup):
            backup.run(
                f"systemd-run -q -E PGPASSWORD={lab.made.secret('wcm-password')}"
                f" psql -h 127.0.0.1 -U wcm -c 'select pg_sleep(300)' {name}"
            )
        whole.until(lambda _: len(ask(lab, backup, SLEEPING)) == len(databases(lab, backup)), 15)
        lab.db.kill_service(UNIT)
        moved(whole, writer, held)
        serving = ask(lab, backup, f"{SLEEPING} and datname in ('wcm', '{max(kept(whole), default='-')}')")
        assert serving == [], "who was connected to what was exchanged isn't any more"


def kept(whole: Bureau) -> list[str]:
    """The databases on db-backup that served once."""
    return [name for name in databases(whole.lab, whole.lab.db_backup) if name.startswith("wcm__old_")]


SLEEPING = "select pid from pg_stat_activity where query like 'select pg_sleep%'"
