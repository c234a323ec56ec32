"""A whole daemon has backups made, read and thinned out, by real helpers of a real database; people look and order."""

from __future__ import annotations

import asyncio
import json
import os
import tarfile
import time
from pathlib import Path

from failover.model import RunKind, Standing
from tests.backups.conftest import KeepingBureau


def newest(bureau: KeepingBureau) -> Path:
    return max(bureau.kept.glob("*.dump"))


async def test_what_was_missed_is_made_at_the_start_and_the_check_is_content(bureau: KeepingBureau) -> None:
    await bureau.start()
    await bureau.until(lambda: bureau.events("backup.made"))
    (made,) = bureau.events("backup.made")
    assert made.data["set"] == "wcm-db"
    assert made.data["server"] == "db-backup"
    assert made.data["bytes"] == newest(bureau).stat().st_size
    assert made.data["seconds"] > 0
    entry = json.loads(newest(bureau).with_suffix(".json").read_text())
    assert entry["tables"] == {"public.menu": 3, "public.page": 500}
    monitor = bureau.house.monitor
    await bureau.until(lambda: monitor.checks.healths["backups"].standing is Standing.UP)
    run = bureau.house.view.runs.by_number[made.run or 0]
    assert run.kind == "ahead"
    await bureau.until(lambda: bureau.events("run.ended"))
    assert [event.data["state"] for event in bureau.events("run.ended")] == ["done"]


async def test_it_is_made_once_and_not_again_by_the_next_daemon(bureau: KeepingBureau) -> None:
    await bureau.start()
    await bureau.until(lambda: bureau.events("run.ended"))
    await bureau.stop()
    await bureau.start()
    keeper = bureau.house.monitor.backups
    await bureau.until(lambda: keeper.catalogue.shelf("wcm-db", "db-backup").at)
    await keeper._round()
    assert len(bureau.events("backup.made")) == 1
    last = keeper.catalogue.last_made("wcm-db")
    assert last is not None
    assert last.id == newest(bureau).stem


async def test_one_is_made_as_soon_as_the_database_moved_whatever_the_calendar_says(bureau: KeepingBureau) -> None:
    await bureau.start()
    await bureau.until(lambda: len(bureau.events("run.ended")) == 1)
    await asyncio.sleep(1.1)  # ids tell seconds
    moved = {"role": "database", "from": "db-backup", "to": "db", "commit_within_seconds": 0.0}
    bureau.journal.append("role.moved", site="bureau", by="lin", run=bureau.journal.next_run(), data=moved)
    await bureau.until(lambda: len(bureau.events("backup.made")) == 2)
    await bureau.until(lambda: len(bureau.events("run.ended")) == 2)
    await bureau.house.monitor.backups._round()
    assert len(bureau.events("backup.made")) == 2, "once"


async def test_a_set_without_any_backup_is_down(bureau: KeepingBureau) -> None:
    secret = bureau.homes["db-backup"].root / "etc/failover-helper/db-password"
    secret.write_text("wrong\n")
    await bureau.start()
    monitor = bureau.house.monitor
    await bureau.until(lambda: monitor.checks.healths["backups"].standing is Standing.DOWN)
    assert monitor.checks.healths["backups"].reason == "db-backup has no good backup of wcm-db"
    await bureau.until(lambda: bureau.events("run.ended"))
    (ended,) = bureau.events("run.ended")
    assert ended.data["state"] == "undone"
    assert "password authentication failed" in ended.data["reason"]


async def test_what_others_made_is_read_by_itself_and_what_is_no_good_is_said(bureau: KeepingBureau) -> None:
    good = bureau.dump(bureau.found / "wcm-1.dump", 30)
    bad = bureau.dump(bureau.found / "wcm-2.dump", 5)
    data = bad.read_bytes()
    bad.write_bytes(data[: len(data) // 2])
    then = time.time() - 5 * 3600
    os.utime(bad, (then, then))
    await asyncio.sleep(1.2)  # until nobody writes to them any more
    await bureau.start()
    keeper = bureau.house.monitor.backups

    def read() -> list[bool]:
        return [event.data["sound"] for event in bureau.events("backup.verified") if event.data["set"] == "paper"]

    end = time.monotonic() + 60
    while len(read()) < 2:
        assert time.monotonic() < end
        await keeper._round()
        await bureau.until(lambda: bureau.house.runner.under_way.current() is None)
    assert sorted(read()) == [False, True]
    said = await bureau.failover("backup", "list", "paper")
    assert said.code == 0, said
    assert "made by other tools" in said.out
    assert "not used: paper-" in said.out
    assert "pg_restore can't read it to its end" in said.out
    told = json.loads((await bureau.failover("backup", "list", "paper", "-o", "json")).out)
    (paper,) = told["sets"]
    assert [one["path"] for one in paper["places"][0]["backups"] if one["good"]] == [str(good)]
    assert paper["best"] == next(one["id"] for one in paper["places"][0]["backups"] if one["good"])


async def test_people_make_read_and_restore_backups(bureau: KeepingBureau) -> None:
    with tarfile.open(bureau.found / "wcm-files.tar.gz", "w:gz") as archive:
        (bureau.top / "app.py").write_text("print(1)")
        archive.add(bureau.top / "app.py", "opt/wcm/app.py")
    await asyncio.sleep(1.2)
    await bureau.start()
    await bureau.until(lambda: bureau.events("run.ended"))
    await bureau.until(lambda: bureau.house.runner.under_way.current() is None)

    await asyncio.sleep(1.1)  # ids tell seconds
    said = await bureau.failover("backup", "now", "wcm-db")
    assert said.code == 0, said
    assert "make the backup wcm-db-" in said.out
    assert len(list(bureau.kept.glob("*.dump"))) == 2

    said = await bureau.failover("backup", "verify", "wcm-db")
    assert said.code == 0, said
    bad = newest(bureau)
    bad.write_bytes(bad.read_bytes()[:-50])
    said = await bureau.failover("backup", "verify", "wcm-db", bad.stem)
    assert said.code == 1, said
    assert "is no good" in said.out
    said = await bureau.failover("backup", "list", "wcm-db")
    assert said.code == 0, "the older one is good"
    assert f"not used: {bad.stem} on db-backup: its file has" in said.out

    keeper = bureau.house.monitor.backups
    await keeper.look("paper")
    archive_id = keeper.catalogue.shelf("paper", "db-backup").backups[0].id
    said = await bureau.failover("backup", "restore", "paper", archive_id, "--into", "look")
    assert said.code == 0, said
    scratch = bureau.homes["db-backup"].state / "scratch/look/opt/wcm/app.py"
    assert scratch.read_bytes() == (bureau.top / "app.py").read_bytes()
    await bureau.until(lambda: keeper.catalogue.shelf("paper", "db-backup").backups[0].restored_at)


async def test_wrong_orders_are_answered_with_what_there_is(bureau: KeepingBureau) -> None:
    await bureau.start()
    await bureau.until(lambda: bureau.events("run.ended"))
    await bureau.until(lambda: bureau.house.runner.under_way.current() is None)
    for argv, sentence in (
        (["now", "wcm"], "there is no backup set 'wcm'; there is paper, wcm-db"),
        (["now", "paper"], "other tools make the backups of paper: here they are only read"),
        (["verify", "wcm-db", "wcm-db-20200101T000000Z"], "there is no backup 'wcm-db-20200101T000000Z' of wcm-db"),
        (["verify", "wcm-db", "--server", "web"], "wcm-db has no place on 'web'; it has db-backup"),
        (["restore", "paper", "--into", "x"], "db-backup has no good backup of paper"),
    ):
        said = await bureau.failover("backup", *argv)
        assert said.code in (1, 77), said
        assert sentence in said.err, said
    said = await bureau.failover("backup", "restore", "wcm-db", "--into", "wcm")
    assert said.code == 1, said
    assert "is no name for a database restored aside; one is wcm__" in said.out


async def test_old_ones_go_but_not_while_an_incident_is_open(bureau: KeepingBureau) -> None:
    bureau.write_config(wcm_db={"keep": {"all_within": "0s", "daily": 1, "weekly": 0, "monthly": 0}})
    await bureau.start()
    await bureau.until(lambda: bureau.events("run.ended"))
    healths = bureau.house.monitor.checks.healths
    await bureau.until(lambda: healths["backups"].standing is Standing.UP)
    await bureau.until(lambda: not bureau.house.view.incidents.open)  # there may have been one before the first backup
    number = bureau.journal.next_incident()
    opened = {"incident": number, "about": "website", "state": "open", "severity": "page", "reason": "down"}
    bureau.journal.append("incident.opened", site="bureau", by="daemon", data=opened)
    await bureau.until(lambda: bureau.house.view.incidents.open)
    await asyncio.sleep(1.1)  # ids tell seconds
    said = await bureau.failover("backup", "now", "wcm-db")
    assert said.code == 0, said
    assert f"no old backup is removed: incident {number} is open: website" in said.out
    assert len(list(bureau.kept.glob("*.dump"))) == 2
    bureau.journal.append("incident.closed", site="bureau", by="daemon", data={**opened, "state": "closed"})
    await bureau.until(lambda: not bureau.house.view.incidents.open)
    await asyncio.sleep(1.1)
    said = await bureau.failover("backup", "now", "wcm-db")
    assert said.code == 0, said
    assert len(list(bureau.kept.glob("*.dump"))) == 1
    (pruned,) = bureau.events("backup.pruned")
    assert len(pruned.data["ids"]) == 2


async def test_one_that_gives_way_to_another_run_is_for_another_time(bureau: KeepingBureau) -> None:
    await bureau.start()
    await bureau.until(lambda: bureau.events("run.ended"))
    await bureau.until(lambda: bureau.house.runner.under_way.current() is None)
    await asyncio.sleep(1.1)  # ids tell seconds
    held = "begin; lock table page in access exclusive mode; select pg_sleep(4); commit"
    holding = asyncio.create_task(asyncio.to_thread(bureau.postgresql.sql, held, "wcm"))
    asked = asyncio.create_task(bureau.failover("backup", "now", "wcm-db"))
    await bureau.until(lambda: len(bureau.events("change.intended")) > len(bureau.events("change.outcome")))
    bureau.house.runner.under_way.make_way(RunKind.RECOVER)
    said = await asked
    assert (said.code, "gives way to a recover run" in said.out) == (os.EX_TEMPFAIL, True), said
    await holding
