"""The database fails, its backup takes over: the newest good state, nothing overwritten, the loss said."""

from __future__ import annotations

import pytest

from failover.model import RunKind, RunState
from tests.recover.bureau import LIN
from tests.recover.database_bureau import BuildDatabases, DatabaseBureau, changes


def test_the_newest_good_backup_serves_and_what_was_there_is_kept(databases: DatabaseBureau) -> None:
    databases.fail()
    run = databases.recover()
    assert run.state is RunState.DONE, run.reason
    assert changes(run) == ["db-backup restored", "db stopped", "db-backup swapped"], "restored while db may be mended"
    assert len(databases.rows("db-backup")) == 20
    (kept,) = [name for name in databases.databases("db-backup") if "__old_" in name]
    assert databases.rows("db-backup", kept) == {"years ago"}
    assert databases.stored_holder == "db-backup"


def test_the_loss_is_said_before_and_after(databases: DatabaseBureau) -> None:
    databases.world.pass_time(14 * 60)
    databases.fail()
    dry = databases.runner.dry("database", RunKind.RECOVER)
    assert any("fault" in note and "7 h 14 min" in note for step in dry.steps for note in step.notes)
    run = databases.recover()
    assert any(note.startswith("with loss: last good backup") and "7 h 14 min" in note for note in run.notes)
    (swapped,) = databases.journal.events(kinds=["database.swapped"])
    assert swapped.data["loss_seconds"] == pytest.approx(7.233 * 3600, abs=60)
    assert swapped.data["backup"] == "wcm-db-20260228T170000Z"
    assert swapped.data["tables"] == {"pages": 20, "revisions": 0}


def test_above_the_bound_the_run_waits_for_a_named_person_also_by_force(build_databases: BuildDatabases) -> None:
    for force in (False, True):
        databases = build_databases()
        databases.world.pass_time(2 * 3600)
        databases.fail()
        run = databases.recover(LIN, force=force)
        assert run.state is RunState.WAITING
        assert run.question is not None
        assert run.question.word == "loss:database"
        assert "9 h" in run.question.question
        assert "8 h" in run.question.question
        assert changes(run) == ["db-backup restored"], "what can be done is done, and nothing has moved"
        databases.runner.word(run.number, "loss:database", LIN)
        databases.restart()
        assert databases.end(run.number).state is RunState.DONE


def test_a_yes_to_another_backups_loss_is_no_yes(databases: DatabaseBureau) -> None:
    databases.world.pass_time(2 * 3600)
    databases.backup(at_hours=-30)
    databases.fail()
    run = databases.recover()
    assert run.state is RunState.WAITING
    databases.runner.word(run.number, "loss:database", LIN)
    newest = max(databases.world.hosts["db-backup"].backups["wcm-db"].values(), key=lambda one: one.taken_at)
    newest.fault = "truncated"
    databases.databases("db-backup").pop(next(name for name in databases.databases("db-backup") if "__2026" in name))
    databases.world.pass_time(60)
    databases.restart()
    run = databases.end(run.number)
    assert run.state is RunState.WAITING, "33 h are not 9 h"
    assert run.question is not None
    assert "1 d" in run.question.question


def test_the_fourth_backup_is_used_when_three_are_no_good_and_the_reasons_are_said(databases: DatabaseBureau) -> None:
    databases.backup(at_hours=-1, fault="truncated")
    databases.backup(at_hours=-2, fault="empty")
    databases.backup(at_hours=-3, version="16.1")
    databases.backup(at_hours=-4, fault="error: input file appears to be a text format dump")
    databases.fail()
    run = databases.recover()
    assert run.state is RunState.DONE
    (swapped,) = databases.journal.events(kinds=["database.swapped"])
    assert swapped.data["backup"] == "wcm-db-20260228T170000Z"
    said = "\n".join(run.notes)
    for reason in (
        "its end is missing: truncated",
        "its end is missing: empty",
        "newer than 15.20",
        "text format dump",
    ):
        assert reason in said


def test_a_backup_that_nobody_verified_is_not_used(databases: DatabaseBureau) -> None:
    databases.backup(at_hours=-1, verified=False)
    databases.fail()
    run = databases.recover()
    assert run.state is RunState.DONE
    assert any("it isn't verified" in note for note in run.notes)
    assert len(databases.rows("db-backup")) == 20


def test_without_a_good_backup_nothing_moves_and_every_reason_is_said(databases: DatabaseBureau) -> None:
    for backup in databases.world.hosts["db-backup"].backups["wcm-db"].values():
        backup.fault = "truncated"
    databases.fail()
    run = databases.recover()
    assert run.state is RunState.UNDONE
    assert "no backup of wcm-db, paper can be restored on db-backup" in run.reason
    assert "nothing was moved" in run.reason
    assert databases.rows("db-backup") == {"years ago"}


def test_other_tools_backups_are_used_when_they_are_the_newest(databases: DatabaseBureau) -> None:
    databases.backup(of="paper", at_hours=-1, made_by="found")
    databases.fail()
    assert databases.recover().state is RunState.DONE
    assert len(databases.rows("db-backup")) == 25


def test_a_backup_that_lies_elsewhere_is_brought_first(databases: DatabaseBureau) -> None:
    databases.backup(at_hours=-1, on="third")
    databases.fail()
    run = databases.recover()
    assert changes(run)[:2] == ["db-backup copied", "db-backup restored"]
    assert len(databases.rows("db-backup")) == 25


def test_one_that_was_brought_and_could_not_be_restored_is_tried_once(databases: DatabaseBureau) -> None:
    for backup in databases.world.hosts["db-backup"].backups["wcm-db"].values():
        backup.fault = "bad dump"
    databases.backup(at_hours=-1, on="third", fault="bad dump")
    databases.fail()
    run = databases.recover()
    assert run.state is RunState.UNDONE
    restored = [change.args["backup"] for change in run.changes if change.args.get("want") == "restored"]
    assert len(restored) == len(set(restored)) > 1
    assert "(bad-backup): pg_restore: bad dump" in run.reason


def test_no_room_for_the_newest_drops_what_was_restored_before_and_then_gives_up(databases: DatabaseBureau) -> None:
    databases.ahead()
    databases.backup(at_hours=-1)
    databases.world.hosts["db-backup"].db_room = 30_000
    databases.fail()
    run = databases.recover()
    assert run.state is RunState.DONE, run.reason
    assert "db-backup dropped" in changes(run)
    assert len(databases.rows("db-backup")) == 25


def test_a_disk_that_is_full_at_sixty_percent_moves_nothing(databases: DatabaseBureau) -> None:
    databases.world.hosts["db-backup"].db_room = 10_000
    databases.fail()
    run = databases.recover()
    assert run.state is RunState.UNDONE
    assert "no room" in run.reason
    assert "nothing was moved" in run.reason
    assert set(databases.databases("db-backup")) == {"wcm"}


@pytest.mark.parametrize(("times", "used"), [(1, "newest"), (3, "older")])
def test_a_backup_that_brings_the_server_down_again_and_again_is_left_for_an_older_one(
    databases: DatabaseBureau, times: int, used: str
) -> None:
    newest = databases.backup(at_hours=-1)
    databases.fail()
    databases.world.fates = [("database", "failed:database-down")] * times
    run = databases.recover()
    assert run.state is RunState.DONE, run.reason
    (swapped,) = databases.journal.events(kinds=["database.swapped"])
    assert (swapped.data["backup"] == newest.id) == (used == "newest"), "a server that went away once says nothing"
    assert ("never came to an end" in "\n".join(run.notes)) == (used == "older")


def test_what_a_server_lacks_is_said_once_and_held_against_no_backup(databases: DatabaseBureau) -> None:
    databases.backup(at_hours=-1)
    databases.world.hosts["db-backup"].db_account = False
    databases.fail()
    run = databases.recover()
    assert run.state is RunState.UNDONE
    assert "nothing can be restored on db-backup: the account failover_restore can't log in" in run.reason
    assert changes(run).count("db-backup restored") == 1
    databases.world.hosts["db-backup"].db_account = True
    again = databases.recover()
    assert again.state is RunState.DONE, again.reason
    assert "not used" not in str(databases.journal.events(run=again.number)), (
        "the newest is used, as if nothing had been"
    )
