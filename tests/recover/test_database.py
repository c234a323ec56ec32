"""The database fails, its backup takes over: the newest good state, nothing overwritten, the loss said."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from failover.model import RunKind, RunState
from failover.recover.databases import old_name
from tests.recover.bureau import LIN
from tests.recover.database_bureau import PLAN, DatabaseBureau
from tests.recover.toy_databases import Db

BuildDatabase = Callable[..., DatabaseBureau]


@pytest.fixture
def build(tmp_path: Path) -> Iterator[BuildDatabase]:
    built: list[DatabaseBureau] = []

    def one(**settings: Any) -> DatabaseBureau:
        folder = tmp_path / str(len(built))
        folder.mkdir()
        built.append(DatabaseBureau(folder, **settings))
        return built[-1]

    yield one
    for bureau in built:
        bureau.look_for_losses("at the end")
        assert not bureau.lost
        assert not bureau.world.unsound
        assert not bureau.strays
        bureau.kill_daemon()


@pytest.fixture
def bureau(build: BuildDatabase) -> DatabaseBureau:
    return build()


def changes(run: Any) -> list[str]:
    return [f"{change.server} {change.args.get('want')}" for change in run.changes]


def test_the_newest_good_backup_serves_and_what_was_there_is_kept(bureau: DatabaseBureau) -> None:
    bureau.fail()
    run = bureau.recover()
    assert run.state is RunState.DONE, run.reason
    assert changes(run) == ["db-backup restored", "db stopped", "db-backup swapped"], "restored while db may be mended"
    assert len(bureau.rows("db-backup")) == 20
    (kept,) = [name for name in bureau.databases("db-backup") if "__old_" in name]
    assert bureau.rows("db-backup", kept) == {"years ago"}
    assert bureau.stored_holder == "db-backup"


def test_the_loss_is_said_before_and_after(bureau: DatabaseBureau) -> None:
    bureau.world.pass_time(14 * 60)
    bureau.fail()
    dry = bureau.runner.dry("database", RunKind.RECOVER)
    assert any("fault" in note and "7 h 14 min" in note for step in dry.steps for note in step.notes)
    run = bureau.recover()
    assert any(note.startswith("with loss: last good backup") and "7 h 14 min" in note for note in run.notes)
    (swapped,) = bureau.journal.events(kinds=["database.swapped"])
    assert swapped.data["loss_seconds"] == pytest.approx(7.233 * 3600, abs=60)
    assert swapped.data["backup"] == "wcm-db-20260228T170000Z"
    assert swapped.data["tables"] == {"pages": 20, "revisions": 0}


def test_above_the_bound_the_run_waits_for_a_named_person_also_by_force(build: BuildDatabase) -> None:
    for force in (False, True):
        bureau = build()
        bureau.world.pass_time(2 * 3600)
        bureau.fail()
        run = bureau.recover(LIN, force=force)
        assert run.state is RunState.WAITING
        assert run.question is not None
        assert run.question.word == "loss:database"
        assert "9 h" in run.question.question
        assert "8 h" in run.question.question
        assert changes(run) == ["db-backup restored"], "what can be done is done, and nothing has moved"
        bureau.runner.word(run.number, "loss:database", LIN)
        bureau.restart()
        assert bureau.end(run.number).state is RunState.DONE


def test_a_yes_to_another_backups_loss_is_no_yes(bureau: DatabaseBureau) -> None:
    bureau.world.pass_time(2 * 3600)
    bureau.backup(at_hours=-30)
    bureau.fail()
    run = bureau.recover()
    assert run.state is RunState.WAITING
    bureau.runner.word(run.number, "loss:database", LIN)
    newest = max(bureau.world.hosts["db-backup"].backups["wcm-db"].values(), key=lambda one: one.taken_at)
    newest.fault = "truncated"
    bureau.databases("db-backup").pop(next(name for name in bureau.databases("db-backup") if "__2026" in name))
    bureau.world.pass_time(60)
    bureau.restart()
    run = bureau.end(run.number)
    assert run.state is RunState.WAITING, "33 h are not 9 h"
    assert run.question is not None
    assert "1 d" in run.question.question


def test_the_fourth_backup_is_used_when_three_are_no_good_and_the_reasons_are_said(bureau: DatabaseBureau) -> None:
    bureau.backup(at_hours=-1, fault="truncated")
    bureau.backup(at_hours=-2, fault="empty")
    bureau.backup(at_hours=-3, version="16.1")
    bureau.backup(at_hours=-4, fault="error: input file appears to be a text format dump")
    bureau.fail()
    run = bureau.recover()
    assert run.state is RunState.DONE
    (swapped,) = bureau.journal.events(kinds=["database.swapped"])
    assert swapped.data["backup"] == "wcm-db-20260228T170000Z"
    said = "\n".join(run.notes)
    for reason in (
        "its end is missing: truncated",
        "its end is missing: empty",
        "newer than 15.20",
        "text format dump",
    ):
        assert reason in said


def test_a_backup_that_nobody_verified_is_not_used(bureau: DatabaseBureau) -> None:
    bureau.backup(at_hours=-1, verified=False)
    bureau.fail()
    run = bureau.recover()
    assert run.state is RunState.DONE
    assert any("it isn't verified" in note for note in run.notes)
    assert len(bureau.rows("db-backup")) == 20


def test_without_a_good_backup_nothing_moves_and_every_reason_is_said(bureau: DatabaseBureau) -> None:
    for backup in bureau.world.hosts["db-backup"].backups["wcm-db"].values():
        backup.fault = "truncated"
    bureau.fail()
    run = bureau.recover()
    assert run.state is RunState.UNDONE
    assert "no backup of wcm-db, paper can be restored on db-backup" in run.reason
    assert "nothing was moved" in run.reason
    assert bureau.rows("db-backup") == {"years ago"}


def test_other_tools_backups_are_used_when_they_are_the_newest(bureau: DatabaseBureau) -> None:
    bureau.backup(of="paper", at_hours=-1, made_by="found")
    bureau.fail()
    assert bureau.recover().state is RunState.DONE
    assert len(bureau.rows("db-backup")) == 25


def test_a_backup_that_lies_elsewhere_is_brought_first(bureau: DatabaseBureau) -> None:
    bureau.backup(at_hours=-1, on="third")
    bureau.fail()
    run = bureau.recover()
    assert changes(run)[:2] == ["db-backup copied", "db-backup restored"]
    assert len(bureau.rows("db-backup")) == 25


def test_one_that_was_brought_and_could_not_be_restored_is_tried_once(bureau: DatabaseBureau) -> None:
    for backup in bureau.world.hosts["db-backup"].backups["wcm-db"].values():
        backup.fault = "bad dump"
    bureau.backup(at_hours=-1, on="third", fault="bad dump")
    bureau.fail()
    run = bureau.recover()
    assert run.state is RunState.UNDONE
    restored = [change.args["backup"] for change in run.changes if change.args.get("want") == "restored"]
    assert len(restored) == len(set(restored)) > 1
    assert "(bad-backup): pg_restore: bad dump" in run.reason


def test_no_room_for_the_newest_drops_what_was_restored_before_and_then_gives_up(bureau: DatabaseBureau) -> None:
    bureau.ahead()
    bureau.backup(at_hours=-1)
    bureau.world.hosts["db-backup"].db_room = 30_000
    bureau.fail()
    run = bureau.recover()
    assert run.state is RunState.DONE, run.reason
    assert "db-backup dropped" in changes(run)
    assert len(bureau.rows("db-backup")) == 25


def test_a_disk_that_is_full_at_sixty_percent_moves_nothing(bureau: DatabaseBureau) -> None:
    bureau.world.hosts["db-backup"].db_room = 10_000
    bureau.fail()
    run = bureau.recover()
    assert run.state is RunState.UNDONE
    assert "no room" in run.reason
    assert "nothing was moved" in run.reason
    assert set(bureau.databases("db-backup")) == {"wcm"}


@pytest.mark.parametrize(("times", "used"), [(1, "newest"), (3, "older")])
def test_a_backup_that_brings_the_server_down_again_and_again_is_left_for_an_older_one(
    bureau: DatabaseBureau, times: int, used: str
) -> None:
    newest = bureau.backup(at_hours=-1)
    bureau.fail()
    bureau.world.fates = [("database", "failed:database-down")] * times
    run = bureau.recover()
    assert run.state is RunState.DONE, run.reason
    (swapped,) = bureau.journal.events(kinds=["database.swapped"])
    assert (swapped.data["backup"] == newest.id) == (used == "newest"), "a server that went away once says nothing"
    assert ("never came to an end" in "\n".join(run.notes)) == (used == "older")


def test_what_a_server_lacks_is_said_once_and_held_against_no_backup(bureau: DatabaseBureau) -> None:
    bureau.backup(at_hours=-1)
    bureau.world.hosts["db-backup"].db_account = False
    bureau.fail()
    run = bureau.recover()
    assert run.state is RunState.UNDONE
    assert "nothing can be restored on db-backup: the account failover_restore can't log in" in run.reason
    assert changes(run).count("db-backup restored") == 1
    bureau.world.hosts["db-backup"].db_account = True
    again = bureau.recover()
    assert again.state is RunState.DONE, again.reason
    assert "not used" not in str(bureau.journal.events(run=again.number)), "the newest is used, as if nothing had been"


# ahead of time ---------------------------------------------------------------------------------------------------


def test_a_shadow_that_is_ready_leaves_only_the_swap(bureau: DatabaseBureau) -> None:
    ahead = bureau.ahead()
    assert ahead is not None
    assert ahead.state is RunState.DONE, ahead.reason
    (restored,) = bureau.journal.events(kinds=["database.restored"])
    assert restored.data["ahead"] is True
    assert restored.data["rows"] == 20
    assert restored.data["seconds"] > 0
    assert bureau.world.hosts["db-backup"].backups["wcm-db"]["wcm-db-20260228T170000Z"].restored_at
    assert bureau.ahead() is None, "it stands: nothing is left to do"
    bureau.fail()
    assert changes(bureau.recover()) == ["db stopped", "db-backup swapped"]


def test_after_each_new_backup_the_shadow_is_made_anew_and_the_older_is_dropped(bureau: DatabaseBureau) -> None:
    for at_hours in (-5, -3, -1):
        bureau.ahead()
        bureau.write_some("db", 3)
        bureau.backup(at_hours=at_hours)
    bureau.ahead()
    (shadow,) = [name for name in bureau.databases("db-backup") if name != "wcm"]
    assert len(bureau.rows("db-backup", shadow)) == 34


def test_a_shadow_serves_where_its_backup_cannot_be_asked_for_any_more(bureau: DatabaseBureau) -> None:
    bureau.backup(at_hours=-1, on="third")
    bureau.ahead()
    bureau.world.power_off("third")
    bureau.world.hosts["db-backup"].backups["wcm-db"].clear()
    bureau.fail()
    run = bureau.recover()
    assert run.state is RunState.DONE, run.reason
    assert len(bureau.rows("db-backup")) == 25


def test_a_backup_that_could_not_be_restored_ahead_is_known_in_daylight(bureau: DatabaseBureau) -> None:
    bureau.backup(at_hours=-1, fault="error: could not read block")
    bureau.ahead()
    found = list(bureau.step.problems(replace(bureau.scene("database", RunKind.RECOVER))))
    assert [problem.severity for problem in found] == ["loss"]
    assert "could not read block" in found[0].text
    assert bureau.ahead() is None, "it isn't tried again all night"


@pytest.mark.parametrize("where", ["during change db-backup database", "after change db-backup database"])
def test_a_machine_that_loses_its_power_in_mid_restore_begins_anew(bureau: DatabaseBureau, where: str) -> None:
    cuts: list[str] = []

    def cut(at: str) -> None:
        if at == where and not cuts:
            cuts.append(at)
            bureau.world.power_off("db-backup")
            bureau.boot("db-backup")

    bureau.fail()
    bureau.world.at_call = cut
    run = bureau.recover()
    assert cuts
    assert run.state is RunState.DONE, run.reason
    assert len(bureau.rows("db-backup")) == 20
    assert not [name for name in bureau.databases("db-backup") if name.startswith("wcm__2")]


# a planned move ----------------------------------------------------------------------------------------------------


def test_a_planned_move_loses_nothing_though_somebody_writes_all_the_time(bureau: DatabaseBureau) -> None:
    bureau.world.at_call = bureau.always_writing
    run = bureau.switch()
    assert run.state is RunState.DONE, run.reason
    assert changes(run) == ["db read-only", "db-backup made", "db-backup restored", "db stopped", "db-backup swapped"]
    assert bureau.written - {"years ago"} <= bureau.rows("db-backup")
    (swapped,) = bureau.journal.events(kinds=["database.swapped"])
    assert swapped.data["loss_seconds"] == 0
    assert not any("with loss" in note for note in run.notes)


def test_what_is_brought_and_is_not_good_there_is_not_brought_for_ever(bureau: DatabaseBureau) -> None:
    assert bureau.switch().state is RunState.DONE

    def spoil(where: str) -> None:
        if where == "after change db backups":
            for backup in bureau.world.hosts["db"].backups["wcm-db"].values():
                backup.verified = False

    bureau.world.at_call = spoil
    back = bureau.switch()
    assert back.state is RunState.UNDONE
    assert changes(back).count("db copied") == 2
    assert "it was brought to db, and isn't good there" in back.reason
    assert bureau.stored_holder == "db-backup"


def test_the_way_back_shows_first_what_changed_and_brings_all_of_it(bureau: DatabaseBureau) -> None:
    bureau.fail()
    bureau.recover()
    bureau.down = False
    bureau.world.hosts["db"].services["postgresql"] = "active"
    bureau.returned.add("db")
    bureau.park()
    bureau.write_some("db-backup", 7)
    dry = bureau.runner.dry("database", RunKind.SWITCH)
    assert [str(difference) for difference in dry.differences] == [
        "wcm on db-backup against db: pages +2",
        "wcm on db-backup since wcm-db-20260228T170000Z was put in place there: pages +7",
        "wcm on db besides, which stays there: pages +5",
    ]
    before = bureau.rows("db-backup")
    run = bureau.switch()
    assert run.state is RunState.DONE, run.reason
    assert any("pages +7" in note for note in run.notes)
    assert bureau.rows("db") == before
    assert bureau.stored_holder == "db"
    assert bureau.write("db")
    assert not bureau.write("db-backup")
    assert len(next(db for name, db in bureau.databases("db").items() if "__old_" in name).rows["pages"]) == 25


def test_there_and_back_needs_no_hand_on_a_server(bureau: DatabaseBureau) -> None:
    assert bureau.switch().state is RunState.DONE
    assert bureau.world.hosts["db"].services["postgresql"] == "inactive"
    back = bureau.switch()
    assert back.state is RunState.DONE, back.reason
    assert "db running" in changes(back), "where it was restored in is started by the run"
    assert bureau.stored_holder == "db"


def test_what_a_planned_move_stopped_is_started_again_to_stand_by_and_takes_no_writes(bureau: DatabaseBureau) -> None:
    bureau.switch()
    run = bureau.park()
    assert run is not None
    assert changes(run) == ["db running"]
    assert not bureau.write("db")
    bureau.backup(at_hours=0)
    assert bureau.ahead() is not None, "so the newest backup can be restored ahead there"


def test_a_database_server_that_failed_is_left_to_people(bureau: DatabaseBureau) -> None:
    bureau.fail()
    bureau.recover()
    assert bureau.world.hosts["db"].services["postgresql"] == "inactive"
    assert bureau.park() is None


def test_a_standby_whose_database_server_is_down_is_started_by_a_recovery(bureau: DatabaseBureau) -> None:
    bureau.world.hosts["db-backup"].services["postgresql"] = "failed"
    bureau.fail()
    run = bureau.recover()
    assert run.state is RunState.DONE, run.reason
    assert changes(run)[0] == "db-backup running"


def test_a_switch_that_cannot_be_finished_is_taken_back_and_can_be_written_to(bureau: DatabaseBureau) -> None:
    bureau.world.at_call = lambda where: (
        bureau.world.hosts["db-backup"].services.update(postgresql="failed") if where == "after ask third see" else None
    )
    plain = bureau.look
    bureau.look = lambda check, server: plain(check, "third" if server == "db-backup" else server)  # type: ignore[method-assign]
    bureau.world.hosts["third"].services["postgresql"] = "inactive"
    run = bureau.switch()
    assert run.state is RunState.UNDONE, run.reason
    assert bureau.stored_holder == "db"
    assert bureau.write("db")
    assert bureau.rows("db-backup") == {"years ago"}
    assert bureau.world.hosts["db"].services["postgresql"] == "active"
    assert [name for name in bureau.databases("db-backup") if "__old_" in name], "what served for a moment is kept"


def test_a_fresh_backup_that_cannot_be_made_stops_a_switch(bureau: DatabaseBureau) -> None:
    bureau.world.fates = [("backups", "failed:dump-failed")] * 2
    run = bureau.switch()
    assert run.state is RunState.UNDONE
    assert "no fresh backup could be made" in run.reason
    assert bureau.write("db")


def test_the_old_one_is_quieted_even_where_no_step_stopped_it(build: BuildDatabase) -> None:
    bureau = build(plan={**PLAN, "steps": PLAN["steps"][1:]})
    bureau.fail()
    bureau.world.at_call = bureau.always_writing
    run = bureau.recover()
    assert run.state is RunState.DONE
    assert changes(run) == ["db-backup restored", "db read-only", "db-backup swapped"]


@pytest.mark.parametrize("kind", ["superseded", "killed"])
def test_a_restore_ahead_that_was_cut_off_says_nothing_against_the_backup(bureau: DatabaseBureau, kind: str) -> None:
    newest = bureau.backup(at_hours=-1)
    bureau.world.fates = [("database", f"failed:{kind}")]  # as where a recovery begins meanwhile
    bureau.world.at_call = lambda where: bureau.runner.under_way.close(0) if where.startswith("after change") else None
    bureau.ahead()
    bureau.world.at_call = lambda _where: None
    assert not bureau.world.fates, "it was met"
    assert bureau.restores.refusal("db-backup", newest.id) is None
    bureau.fail()
    bureau.restart()
    assert bureau.recover().state is RunState.DONE
    (swapped,) = bureau.journal.events(kinds=["database.swapped"])
    assert swapped.data["backup"] == newest.id, "not the one before it"


# what comes back -----------------------------------------------------------------------------------------------------


def test_an_old_database_that_comes_back_is_made_read_only_and_its_newer_rows_are_told(build: BuildDatabase) -> None:
    bureau = build(fence=True)
    bureau.world.power_off("db")
    assert bureau.recover().state is RunState.DONE
    bureau.boot("db")
    run = bureau.park()
    assert run is not None
    assert run.state is RunState.DONE, run.reason
    (parked,) = bureau.journal.events(kinds=["database.parked"])
    assert parked.data["newer_rows"] == {"pages": 5}
    assert parked.data["server"] == "db"
    assert not bureau.write("db")
    assert len(bureau.rows("db")) == 25, "nothing is merged or dropped"
    assert bureau.park() is None


def test_nothing_is_parked_while_the_one_that_should_serve_has_no_database(bureau: DatabaseBureau) -> None:
    bureau.databases("db-backup")["wcm"] = Db({"pages": {"written by hand", "years ago"}})
    bureau.written.add("written by hand")
    gone = bureau.databases("db").pop("wcm")
    assert bureau.park() is None
    assert not bureau.databases("db-backup")["wcm"].read_only
    bureau.databases("db")["wcm"] = gone


def test_a_step_done_by_hand_is_taken_for_done(bureau: DatabaseBureau) -> None:
    for backup in bureau.world.hosts["db-backup"].backups["wcm-db"].values():
        backup.fault = "truncated"
    bureau.world.pass_time(3 * 3600)
    bureau.backup(at_hours=-100)
    bureau.fail()
    run = bureau.recover()
    assert run.state is RunState.WAITING
    bureau.runner.mark_done(run.number, 2, LIN)
    bureau.restart()
    assert bureau.end(run.number).state is RunState.DONE


# foretold ------------------------------------------------------------------------------------------------------------


def test_with_a_shadow_ready_only_the_swap_is_foretold_and_the_backup_says_what_is_lost(bureau: DatabaseBureau) -> None:
    def told() -> list[Any]:
        return list(bureau.step.work(bureau.scene("database", RunKind.RECOVER)))

    restoring, swap, basis = told()
    assert (restoring.ahead, restoring.bytes, restoring.like[0]) == (
        False,
        20_000,
        ("restore", "database", "db-backup"),
    )
    assert swap.ahead is None
    bureau.ahead()
    swap, basis = told()
    assert swap.ahead is True
    assert basis.as_of.isoformat() == "2026-02-28T17:00:00+00:00"


def test_two_that_are_put_aside_in_the_same_second_are_both_kept() -> None:
    moment = datetime(2026, 11, 24, 9, 14, 50, tzinfo=UTC)
    first = old_name("wcm", moment)
    assert first == "wcm__old_20261124t091450"
    assert old_name("wcm", moment, {first}) == "wcm__old_20261124t091451"
