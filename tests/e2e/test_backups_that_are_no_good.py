"""Backups that can't be used are known in daylight, passed over with their reasons, and never cost what serves."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.e2e.bureau import Bureau
from tests.e2e.town import all_well
from tests.lab import Host, Oracle, Writer
from tests.lab.databases import ask, databases, markers

pytestmark = pytest.mark.lab

UNIT = "postgresql@15-main"
PAPER = """
  paper:
    kind: found
    role: database
    on: db-backup
    path: /backup
    pattern: "wcm-*.dump"
    settle: 1s
    smallest_percent: 0
    largest_percent: 100000
"""
DATA = "/var/lib/postgresql"


def on_paper(config: str) -> str:
    """The database is restored from what other tools left in a folder."""
    return config.replace("\nplans:", f"{PAPER}\nplans:", 1).replace("backups: [wcm-db]", "backups: [paper]", 1)


@pytest.fixture
def paper(whole: Bureau) -> Iterator[Bureau]:
    """A bureau whose backups are made by another tool: good ones of now, of the bureau's database, in `/backup`."""
    whole.lab.db_backup.run("rm -rf /backup && mkdir -m 755 /backup")
    with whole.other_config(on_paper(whole.config)):
        whole.enroll()
        yield whole
    whole.enroll()
    whole.lab.db_backup.run("rm -rf /backup")


def dump(whole: Bureau, name: str, minutes_old: int) -> str:
    """What a tool of the bureau's own makes at night; its path on db-backup."""
    path = f"/backup/wcm-{name}.dump"
    password = "PGPASSWORD=$(cat /etc/failover-helper/db-password)"
    whole.lab.db_backup.run(
        f"{password} pg_dump -w -h 10.77.0.31 -U failover -Fc -f {path} wcm && chmod 644 {path} &&"
        f" touch -d '{minutes_old} minutes ago' {path}",
        timeout=60,
    )
    return path


def begin_anew(paper: Bureau) -> None:
    """The daemon looks at once at what lies there, and reads it; else within minutes."""
    paper.monitor.run("systemctl restart failover", timeout=60)
    paper.until(lambda status: bool(status["plans"]), 40)


def aged(host: Host, path: str, minutes_old: int, command: str) -> None:
    """Spoil a file, and let it keep its age."""
    host.run(f"{command} && touch -d '{minutes_old} minutes ago' {path}")


def test_of_four_backups_the_fourth_is_used_and_the_reasons_against_the_others_are_said(paper: Bureau) -> None:
    backup = paper.lab.db_backup
    with Oracle(paper.lab) as oracle, Writer(paper.lab, every=2.0) as writer:
        writer.await_accepted(1, within=20, into="db")
        good = markers(paper.lab, paper.lab.db)
        for name, age in (("1", 10), ("2", 20), ("3", 30), ("4", 40)):
            dump(paper, name, age)
        aged(backup, "/backup/wcm-1.dump", 10, "truncate -s -20000 /backup/wcm-1.dump")
        aged(backup, "/backup/wcm-2.dump", 20, ": > /backup/wcm-2.dump")
        # The two bytes after the magic word are the archive's own version: of a pg_dump that isn't there yet.
        aged(backup, "/backup/wcm-3.dump", 30, r"printf '\001\143' | dd of=/backup/wcm-3.dump bs=1 seek=5 conv=notrunc")
        for name in shadows(paper):  # of a backup of our own, which is newer than all of these
            ask(paper.lab, backup, f"drop database {name} with (force)")
        begin_anew(paper)
        paper.until(lambda _: any(good[-1] in markers_of(paper, name) for name in shadows(paper)), 120)
        paper.until_plan("", 60, action="nothing", name="database")

        paper.lab.db.kill_service(UNIT)
        writer.await_accepted(2, within=90, into="db-backup")
        run = paper.until_run("recover", ("done",), 30)
        told = paper.told(run)
        assert len(set(re.findall(r"not used: (paper-\S+)", told))) == 3, told
        assert set(good) <= set(markers(paper.lab, backup))
        listed = paper.cli("backup", "list", "paper", check=False).out
        assert len(set(re.findall(r"not used: (paper-\S+)", listed))) == 3, listed
    oracle.check()


def test_a_disk_that_fills_up_at_sixty_percent_of_the_restore_costs_nothing_that_serves(paper: Bureau) -> None:
    """A dump that packs well says little of the room that it needs: it is noticed on the way, and cleaned up."""
    lab, backup = paper.lab, paper.lab.db_backup
    filler = (
        "create table filler as select g as id, repeat(md5(g::text), 30) as text from generate_series(1, 150000) g;"
        " alter table filler owner to wcm"
    )
    before = markers(lab, lab.db)
    paper.cli("automation", "off", "--why", "the disk is made small")
    try:
        ask(lab, lab.db, filler, "wcm")
        for name in shadows(paper):
            ask(lab, backup, f"drop database {name} with (force)")
        backup.run(f"systemctl stop {UNIT}", timeout=60)
        backup.small_disk(DATA, size="240m")
        backup.run(f"systemctl start {UNIT}", timeout=60)
        dump(paper, "big", 5)
        begin_anew(paper)
        paper.until(lambda status: "no-space" in str(status["ahead"].get("restore-ahead-database", "")), 90)
        said = paper.status()["ahead"]["restore-ahead-database"]
        assert "needs at least" not in said, f"it was refused before it began: {said}"
        assert shadows(paper) == [], "nothing of it is left behind"
        assert int(backup.run(f"df --output=avail -B1 {DATA} | tail -1").out) > 60_000_000
        assert set(before) <= set(markers(lab, lab.db)), "what serves has nothing to do with it"
    finally:
        ask(lab, lab.db, "drop table if exists filler", "wcm")
        backup.run(f"rm -f /backup/*; systemctl stop {UNIT}", timeout=60)
        backup.large_disk(DATA)
        backup.run(f"systemctl start {UNIT}", timeout=60)
        dump(paper, "small", 1)
        begin_anew(paper)
        paper.cli("automation", "on", "--why", "the disk is large again")
    paper.until(all_well, 60)


def shadows(paper: Bureau) -> list[str]:
    """What was restored beside, on db-backup."""
    return [name for name in databases(paper.lab, paper.lab.db_backup) if name.startswith("wcm__2")]


def markers_of(paper: Bureau, name: str) -> list[str]:
    """The markers in one of them; none while it is half made."""
    has = "select 1 from pg_tables where tablename = 'bureau_marker'"
    there = ask(paper.lab, paper.lab.db_backup, has, name)
    return markers(paper.lab, paper.lab.db_backup, name) if there else []
