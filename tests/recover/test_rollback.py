"""A move can be taken back with one command until it is committed, also where its new holder is sick."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from failover.errors import NotAllowed
from failover.model import RunKind, RunState
from tests.recover.bureau import LIN, PLAN, Bureau
from tests.recover.conftest import Build
from tests.recover.database_bureau import DatabaseBureau
from tests.recover.toy_databases import Backup
from tests.recover.wcm_bureau import WcmBureau

LOSS = "loss:database"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[DatabaseBureau]:
    bureau = DatabaseBureau(tmp_path)
    yield bureau
    bureau.look_for_losses("at the end")
    assert [*bureau.lost, *bureau.strays, *bureau.world.unsound] == []
    bureau.kill_daemon()


@pytest.fixture
def moved(database: DatabaseBureau) -> DatabaseBureau:
    """``db-backup`` serves since a planned move, and people wrote there."""
    assert database.switch().state is RunState.DONE
    database.park()
    database.write_some("db-backup", 3)
    return database


# the window ----------------------------------------------------------------------------------------------------------


def test_a_move_can_be_taken_back_until_its_time_is_over(bureau: Bureau) -> None:
    bureau.switch()
    (moved,) = bureau.journal.events(kinds=["role.moved"])
    assert moved.data["commit_within_seconds"] == 1800
    bureau.world.pass_time(1790)
    run = bureau.roll_back()
    assert run.state is RunState.DONE, run.reason
    assert (bureau.holds, bureau.stored, run.kind) == ("web", "web", RunKind.ROLLBACK)


def test_after_its_time_it_is_refused_and_the_other_way_is_named(bureau: Bureau) -> None:
    bureau.switch()
    bureau.world.pass_time(1801)
    with pytest.raises(NotAllowed, match=r"committed since 2026-03-01 00:30 UTC; .* use: failover switch web"):
        bureau.roll_back()
    with pytest.raises(NotAllowed, match="failover switch web"):
        bureau.runner.dry("web", RunKind.ROLLBACK)
    assert bureau.holds == "web-backup"


def test_a_person_ends_it_before_its_time(bureau: Bureau) -> None:
    bureau.switch()
    move = bureau.runner.commit("web", LIN)
    assert (move.old, move.new) == ("web", "web-backup")
    (committed,) = bureau.journal.events(kinds=["move.committed"])
    assert (committed.by, committed.data) == (LIN.by, {"role": "web", "run": 1, "why": LIN.why})
    with pytest.raises(NotAllowed, match=r"lin \(uid 1000\) committed it at 2026-03-01 00:00 UTC"):
        bureau.roll_back()
    with pytest.raises(NotAllowed, match="committed it"):
        bureau.runner.commit("web", LIN)


def test_what_never_moved_is_neither_rolled_back_nor_committed(bureau: Bureau) -> None:
    for ask in (bureau.roll_back, lambda: bureau.runner.commit("web", LIN)):
        with pytest.raises(NotAllowed, match="web was never moved"):
            ask()


def test_a_rollback_is_final(bureau: Bureau) -> None:
    bureau.switch()
    bureau.roll_back()
    with pytest.raises(NotAllowed, match="use: failover switch web"):
        bureau.roll_back()


def test_a_move_that_was_taken_back_by_itself_leaves_the_one_before_open(bureau: Bureau) -> None:
    bureau.switch()
    bureau.world.hosts["web"].services["nginx"] = "inactive"
    assert bureau.switch().state is RunState.UNDONE
    bureau.world.hosts["web"].services["nginx"] = "active"
    assert bureau.roll_back().state is RunState.DONE


def test_without_a_window_a_move_stands_at_once(build: Build) -> None:
    bureau = build(plan={**PLAN, "commit_within": "0s"})
    bureau.switch()
    with pytest.raises(NotAllowed, match="is committed since"):
        bureau.roll_back()


# back from a sick server ---------------------------------------------------------------------------------------------


def test_the_web_comes_back_from_a_server_that_serves_nothing(bureau: Bureau) -> None:
    bureau.switch()
    bureau.world.hosts["web-backup"].broken.add("nginx")
    run = bureau.roll_back()
    assert run.state is RunState.DONE, run.reason
    assert bureau.holds == "web"


def test_no_proof_is_skipped_for_a_rollback(bureau: Bureau) -> None:
    bureau.switch()
    bureau.world.power_off("web-backup")
    run = bureau.roll_back()
    assert run.state is RunState.WAITING
    assert run.question is not None
    assert run.question.word == "off:web-backup"
    assert bureau.holds is None
    bureau.runner.word(run.number, "off:web-backup", LIN)
    bureau.restart_daemon()
    assert bureau.end(run.number).state is RunState.DONE
    assert bureau.holds == "web"


def test_nothing_moves_back_to_a_server_that_could_not_serve(bureau: Bureau) -> None:
    bureau.switch()
    bureau.world.hosts["web"].services["nginx"] = "inactive"
    run = bureau.roll_back()
    assert run.state is RunState.UNDONE
    assert "nothing is rolled back to a server that couldn't serve: web doesn't serve website yet" in run.reason
    assert not run.changes
    assert bureau.holds == "web-backup"


def test_the_wcm_comes_back_with_what_was_uploaded_and_never_runs_twice(tmp_path: Path) -> None:
    bureau = WcmBureau(tmp_path)
    bureau.move(RunKind.SWITCH)
    bureau.world.hosts["wcm-backup"].broken.add("wcm")
    bureau.world.at_call = bureau.upload
    run = bureau.roll_back()
    assert run.state is RunState.DONE, run.reason
    bureau.world.at_call = lambda _where: None
    assert bureau.runs_on == "wcm"
    assert bureau.uploaded("wcm") == bureau.accepted
    assert not bureau.world.oracle.overlaps
    bureau.kill_daemon()


# the database --------------------------------------------------------------------------------------------------------


def test_a_database_that_can_be_read_loses_nothing(moved: DatabaseBureau) -> None:
    dry = moved.runner.dry("database", RunKind.ROLLBACK)
    assert [step.word for step in dry.steps] == [None, None, None]
    assert dry.differences[0].says == "pages +3"
    moved.world.at_call = moved.always_writing
    run = moved.roll_back()
    assert run.state is RunState.DONE, run.reason
    assert moved.written - {"years ago"} <= moved.rows("db")
    assert (moved.stored_holder, moved.world.serving) == ("db", "db")
    assert moved.journal.events(kinds=["database.swapped"])[-1].data["loss_seconds"] == 0
    assert not any("with loss" in note for note in run.notes)


def test_one_that_cannot_be_read_asks_first_and_then_the_kept_one_serves(moved: DatabaseBureau) -> None:
    moved.world.pass_time(600)
    moved.world.hosts["db-backup"].services["postgresql"] = "failed"
    dry = moved.runner.dry("database", RunKind.ROLLBACK)
    (asks,) = [step for step in dry.steps if step.word]
    assert asks.word == LOSS
    assert "10 min" in str(asks.problem)
    assert "nobody can count the rows" in str(asks.problem)
    before = set(moved.rows("db"))
    run = moved.roll_back()
    assert run.state is RunState.WAITING
    assert run.question is not None
    assert "no database server runs on db-backup" in run.question.question
    assert not run.changes, "nothing moves before somebody accepted the loss"
    moved.runner.word(run.number, LOSS, LIN)
    moved.restart()
    run = moved.end(run.number)
    assert run.state is RunState.DONE, run.reason
    assert moved.rows("db") == before
    assert moved.write("db")
    (told,) = moved.journal.events(kinds=["database.reinstated"])
    assert told.data["server"] == "db"
    assert told.data["loss_seconds"] > 600
    assert len(moved.rows("db-backup")) == len(before) + 3, "what was saved there stays there"


def test_the_loss_may_be_accepted_with_the_command(moved: DatabaseBureau) -> None:
    moved.world.hosts["db-backup"].services["postgresql"] = "failed"
    run = moved.roll_back(LOSS)
    assert run.state is RunState.DONE, run.reason
    assert [(word.word, word.by) for word in run.words] == [(LOSS, LIN.by)]
    assert moved.stored_holder == "db"


def test_an_accepted_loss_is_no_reason_to_lose_what_can_be_read(moved: DatabaseBureau) -> None:
    run = moved.roll_back(LOSS)
    assert run.state is RunState.DONE, run.reason
    assert moved.written - {"years ago"} <= moved.rows("db")


def test_a_session_that_is_lost_for_a_moment_loses_no_row(moved: DatabaseBureau) -> None:
    moved.world.cut.add(("monitor", "db-backup"))
    moved.world.later.append((moved.world.time + 5, moved.world.cut.clear))
    run = moved.roll_back(LOSS)
    assert run.state is RunState.DONE, run.reason
    assert moved.written - {"years ago"} <= moved.rows("db")


def test_a_database_that_answers_and_cannot_be_dumped_says_how_many_rows_are_lost(moved: DatabaseBureau) -> None:
    moved.world.fates = [("backups", "failed:dump-failed")] * 2
    run = moved.roll_back()
    assert run.state is RunState.WAITING
    assert run.question is not None
    assert "db-backup has pages +3" in run.question.question
    moved.runner.word(run.number, LOSS, LIN)
    moved.restart()
    assert moved.end(run.number).state is RunState.DONE
    assert moved.stored_holder == "db"
    assert not moved.write("db-backup")


def test_a_fresh_copy_that_cannot_be_restored_is_tried_once_however_long_the_answer_takes(
    moved: DatabaseBureau,
) -> None:
    moved.world.fates = [("database", "ok"), ("database", "failed:bad-backup"), ("database", "failed:bad-backup")]
    run = moved.roll_back()
    assert run.state is RunState.WAITING
    restored = [change for change in run.changes if change.args.get("want") == "restored"]
    assert [change.kind for change in restored] == ["bad-backup"]
    moved.restart()
    assert len(moved.end(run.number).changes) == len(run.changes), "asked again, it does nothing more"


def test_a_full_disk_is_filled_again_more_and_more_seldom_while_a_person_is_waited_for(moved: DatabaseBureau) -> None:
    moved.world.hosts["db"].db_room = moved.world.hosts["db"].databases["wcm"].bytes + 10
    run = moved.roll_back()
    assert run.state is RunState.WAITING
    assert run.question is not None
    assert "has no room to restore in" in run.question.question or "the disk is full" in run.question.question
    moved.restart()  # as a daemon does; tried at once
    tries = [change.intended_at for change in moved.end(run.number).changes if change.args.get("want") == "restored"]
    assert len(tries) == 2, tries


def test_a_copy_that_was_made_counts_though_its_source_dies_then(moved: DatabaseBureau) -> None:
    def die(where: str) -> None:
        if where == "after change db-backup backups":
            moved.world.hosts["db-backup"].services["postgresql"] = "failed"

    moved.world.at_call = die
    run = moved.roll_back()
    assert run.state is RunState.DONE, run.reason
    assert moved.written - {"years ago"} <= moved.rows("db")
    assert not run.words


def test_a_rollback_that_cannot_be_finished_is_taken_back(moved: DatabaseBureau) -> None:
    moved.world.hosts["db-backup"].services["postgresql"] = "failed"
    look = moved.look
    moved.look = lambda check, server: look(check, "third" if server == "db" else server)  # type: ignore[method-assign]
    moved.world.hosts["third"].services["postgresql"] = "inactive"
    run = moved.roll_back(LOSS)
    assert run.state is RunState.UNDONE, run.reason
    assert "everything was taken back" in run.reason
    assert not moved.write("db")
    assert moved.stored_holder == "db-backup"


def test_without_a_database_to_go_back_to_nothing_moves(moved: DatabaseBureau) -> None:
    kept = moved.databases("db").pop("wcm")
    moved.databases("db")["aside"] = kept
    moved.world.hosts["db-backup"].services["postgresql"] = "failed"
    run = moved.roll_back(LOSS)
    assert run.state is RunState.UNDONE
    assert "db has no wcm that could serve again" in run.reason
    assert not run.changes


def test_the_way_back_of_a_takeover_takes_along_what_was_saved_since(database: DatabaseBureau) -> None:
    database.fail()
    database.recover()
    database.down = False
    database.world.hosts["db"].services["postgresql"] = "active"
    database.returned.add("db")
    database.park()
    database.write_some("db-backup", 2)
    serving = set(database.rows("db-backup"))
    run = database.roll_back()
    assert run.state is RunState.DONE, run.reason
    assert database.rows("db") == serving
    assert [name for name in database.databases("db") if "__old_" in name], "its own five rows are kept"


def test_only_backups_made_by_others_leave_the_kept_one(moved: DatabaseBureau) -> None:
    steps = moved.plans["database"].steps
    paper = steps[1].model_copy(update={"backups": ("paper",)})
    moved.plans["database"] = moved.plans["database"].model_copy(update={"steps": (steps[0], paper, steps[2])})
    run = moved.roll_back()
    assert run.question is not None
    assert "failover makes none of paper itself" in run.question.question
    assert isinstance(next(iter(moved.world.hosts["db-backup"].backups["wcm-db"].values())), Backup)
