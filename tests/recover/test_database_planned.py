"""A planned move of the database, there and back; and what comes back by itself."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from failover.model import RunKind, RunState
from failover.recover.databases import old_name
from tests.recover.bureau import LIN
from tests.recover.database_bureau import PLAN, BuildDatabases, DatabaseBureau, changes
from tests.recover.toy_databases import Db


def test_a_planned_move_loses_nothing_though_somebody_writes_all_the_time(databases: DatabaseBureau) -> None:
    databases.world.at_call = databases.always_writing
    run = databases.switch()
    assert run.state is RunState.DONE, run.reason
    assert changes(run) == ["db read-only", "db-backup made", "db-backup restored", "db stopped", "db-backup swapped"]
    assert databases.written - {"years ago"} <= databases.rows("db-backup")
    (swapped,) = databases.journal.events(kinds=["database.swapped"])
    assert swapped.data["loss_seconds"] == 0
    assert not any("with loss" in note for note in run.notes)


def test_what_is_brought_and_is_not_good_there_is_not_brought_for_ever(databases: DatabaseBureau) -> None:
    assert databases.switch().state is RunState.DONE

    def spoil(where: str) -> None:
        if where == "after change db backups":
            for backup in databases.world.hosts["db"].backups["wcm-db"].values():
                backup.verified = False

    databases.world.at_call = spoil
    back = databases.switch()
    assert back.state is RunState.UNDONE
    assert changes(back).count("db copied") == 2
    assert "it was brought to db, and isn't good there" in back.reason
    assert databases.stored_holder == "db-backup"


def test_the_way_back_shows_first_what_changed_and_brings_all_of_it(databases: DatabaseBureau) -> None:
    databases.fail()
    databases.recover()
    databases.down = False
    databases.world.hosts["db"].services["postgresql"] = "active"
    databases.returned.add("db")
    databases.park()
    databases.write_some("db-backup", 7)
    dry = databases.runner.dry("database", RunKind.SWITCH)
    assert [str(difference) for difference in dry.differences] == [
        "wcm on db-backup against db: pages +2",
        "wcm on db-backup since wcm-db-20260228T170000Z was put in place there: pages +7",
        "wcm on db besides, which stays there: pages +5",
    ]
    before = databases.rows("db-backup")
    run = databases.switch()
    assert run.state is RunState.DONE, run.reason
    assert any("pages +7" in note for note in run.notes)
    assert databases.rows("db") == before
    assert databases.stored_holder == "db"
    assert databases.write("db")
    assert not databases.write("db-backup")
    assert len(next(db for name, db in databases.databases("db").items() if "__old_" in name).rows["pages"]) == 25


def test_there_and_back_needs_no_hand_on_a_server(databases: DatabaseBureau) -> None:
    assert databases.switch().state is RunState.DONE
    assert databases.world.hosts["db"].services["postgresql"] == "inactive"
    back = databases.switch()
    assert back.state is RunState.DONE, back.reason
    assert "db running" in changes(back), "where it was restored in is started by the run"
    assert databases.stored_holder == "db"


def test_what_a_planned_move_stopped_is_started_again_to_stand_by_and_takes_no_writes(
    databases: DatabaseBureau,
) -> None:
    databases.switch()
    run = databases.park()
    assert run is not None
    assert changes(run) == ["db running"]
    assert not databases.write("db")
    databases.backup(at_hours=0)
    assert databases.ahead() is not None, "so the newest backup can be restored ahead there"


def test_a_database_server_that_failed_is_left_to_people(databases: DatabaseBureau) -> None:
    databases.fail()
    databases.recover()
    assert databases.world.hosts["db"].services["postgresql"] == "inactive"
    assert databases.park() is None


def test_a_standby_whose_database_server_is_down_is_started_by_a_recovery(databases: DatabaseBureau) -> None:
    databases.world.hosts["db-backup"].services["postgresql"] = "failed"
    databases.fail()
    run = databases.recover()
    assert run.state is RunState.DONE, run.reason
    assert changes(run)[0] == "db-backup running"


def test_a_switch_that_cannot_be_finished_is_taken_back_and_can_be_written_to(databases: DatabaseBureau) -> None:
    databases.world.at_call = lambda where: (
        databases.world.hosts["db-backup"].services.update(postgresql="failed")
        if where == "after ask third see"
        else None
    )
    plain = databases.look
    databases.look = lambda check, server: plain(check, "third" if server == "db-backup" else server)  # type: ignore[method-assign]
    databases.world.hosts["third"].services["postgresql"] = "inactive"
    run = databases.switch()
    assert run.state is RunState.UNDONE, run.reason
    assert databases.stored_holder == "db"
    assert databases.write("db")
    assert databases.rows("db-backup") == {"years ago"}
    assert databases.world.hosts["db"].services["postgresql"] == "active"
    assert [name for name in databases.databases("db-backup") if "__old_" in name], "what served for a moment is kept"


def test_a_fresh_backup_that_cannot_be_made_stops_a_switch(databases: DatabaseBureau) -> None:
    databases.world.fates = [("backups", "failed:dump-failed")] * 2
    run = databases.switch()
    assert run.state is RunState.UNDONE
    assert "no fresh backup could be made" in run.reason
    assert databases.write("db")


def test_the_old_one_is_quieted_even_where_no_step_stopped_it(build_databases: BuildDatabases) -> None:
    databases = build_databases(plan={**PLAN, "steps": PLAN["steps"][1:]})
    databases.fail()
    databases.world.at_call = databases.always_writing
    run = databases.recover()
    assert run.state is RunState.DONE
    assert changes(run) == ["db-backup restored", "db read-only", "db-backup swapped"]


@pytest.mark.parametrize("kind", ["superseded", "killed"])
def test_a_restore_ahead_that_was_cut_off_says_nothing_against_the_backup(databases: DatabaseBureau, kind: str) -> None:
    newest = databases.backup(at_hours=-1)
    databases.world.fates = [("database", f"failed:{kind}")]  # as where a recovery begins meanwhile
    databases.world.at_call = lambda where: (
        databases.runner.under_way.close(0) if where.startswith("after change") else None
    )
    databases.ahead()
    databases.world.at_call = lambda _where: None
    assert not databases.world.fates, "it was met"
    assert databases.restores.refusal("db-backup", newest.id) is None
    databases.fail()
    databases.restart()
    assert databases.recover().state is RunState.DONE
    (swapped,) = databases.journal.events(kinds=["database.swapped"])
    assert swapped.data["backup"] == newest.id, "not the one before it"


def test_an_old_database_that_comes_back_is_made_read_only_and_its_newer_rows_are_told(
    build_databases: BuildDatabases,
) -> None:
    databases = build_databases(fence=True)
    databases.world.power_off("db")
    assert databases.recover().state is RunState.DONE
    databases.boot("db")
    run = databases.park()
    assert run is not None
    assert run.state is RunState.DONE, run.reason
    (parked,) = databases.journal.events(kinds=["database.parked"])
    assert parked.data["newer_rows"] == {"pages": 5}
    assert parked.data["server"] == "db"
    assert not databases.write("db")
    assert len(databases.rows("db")) == 25, "nothing is merged or dropped"
    assert databases.park() is None


def test_nothing_is_parked_while_the_one_that_should_serve_has_no_database(databases: DatabaseBureau) -> None:
    databases.databases("db-backup")["wcm"] = Db({"pages": {"written by hand", "years ago"}})
    databases.written.add("written by hand")
    gone = databases.databases("db").pop("wcm")
    assert databases.park() is None
    assert not databases.databases("db-backup")["wcm"].read_only
    databases.databases("db")["wcm"] = gone


def test_a_step_done_by_hand_is_taken_for_done(databases: DatabaseBureau) -> None:
    for backup in databases.world.hosts["db-backup"].backups["wcm-db"].values():
        backup.fault = "truncated"
    databases.world.pass_time(3 * 3600)
    databases.backup(at_hours=-100)
    databases.fail()
    run = databases.recover()
    assert run.state is RunState.WAITING
    databases.runner.mark_done(run.number, 2, LIN)
    databases.restart()
    assert databases.end(run.number).state is RunState.DONE


def test_with_a_shadow_ready_only_the_swap_is_foretold_and_the_backup_says_what_is_lost(
    databases: DatabaseBureau,
) -> None:
    def told() -> list[Any]:
        return list(databases.step.work(databases.scene("database", RunKind.RECOVER)))

    restoring, swap, basis = told()
    assert (restoring.ahead, restoring.bytes, restoring.like[0]) == (
        False,
        20_000,
        ("restore", "database", "db-backup"),
    )
    assert swap.ahead is None
    databases.ahead()
    swap, basis = told()
    assert swap.ahead is True
    assert basis.as_of.isoformat() == "2026-02-28T17:00:00+00:00"


def test_two_that_are_put_aside_in_the_same_second_are_both_kept() -> None:
    moment = datetime(2026, 11, 24, 9, 14, 50, tzinfo=UTC)
    first = old_name("wcm", moment)
    assert first == "wcm__old_20261124t091450"
    assert old_name("wcm", moment, {first}) == "wcm__old_20261124t091451"
