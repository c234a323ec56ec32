"""What people can say to a run, and what a full disk does to it."""

from __future__ import annotations

from typing import Any

import pytest

from failover.errors import JournalUnwritable, NotAllowed, NotFound
from failover.model import RunKind, RunState
from failover.recover.plan import Plan
from tests.recover.bureau import DAEMON, HEALING, LIN, PLAN, Bureau
from tests.recover.conftest import Build

HEALING_PLAN = {**PLAN, "steps": [HEALING, *PLAN["steps"]]}
SILENCE = {"silence": {"time": "30s", "accept": "two servers may answer for this address at once"}}


def test_an_abort_takes_everything_back(bureau: Bureau) -> None:
    bureau.break_web()

    def abort(where: str) -> None:
        if where == "before change web-backup address" and bureau.runner.under_way.current():
            bureau.world.at_call = lambda _where: None
            bureau.runner.abort(1, LIN)

    bureau.world.at_call = abort
    bureau.world.fates = [("content", "")]
    bureau.world.unseen.add("web-backup")
    run = bureau.recover()
    assert run.state is RunState.ABORTED, run.reason
    assert "lin (uid 1000)" in run.reason
    assert bureau.holds == "web"
    assert [change.server for change in run.changes] == ["web", "web-backup", "web-backup", "web"]
    with pytest.raises(NotAllowed):
        bureau.runner.resume(run.number, LIN)


def test_a_step_done_by_hand_is_believed_as_far_as_it_may(bureau: Bureau) -> None:
    bureau.break_web()
    bureau.world.unseen.add("web-backup")
    run = bureau.recover()
    bureau.runner.mark_done(run.number, 4, LIN)
    assert bureau.resume(run.number).state is RunState.DONE
    with pytest.raises(NotAllowed):
        bureau.runner.mark_done(run.number, 4, LIN)


def test_a_plan_edited_in_mid_run_is_noticed_and_the_stored_one_goes_on(bureau: Bureau) -> None:
    bureau.break_web()
    bureau.world.unseen.add("web-backup")
    run = bureau.recover()
    bureau.plans["web"] = Plan.model_validate({**PLAN, "steps": PLAN["steps"][:3], "cooldown": "2h"})
    bureau.world.unseen.clear()
    run = bureau.resume(run.number)
    assert run.state is RunState.DONE
    assert any("the plan was edited" in note for note in run.notes)
    assert [step.number for step in run.steps if step.state == "done"] == [1, 2, 3, 4]


def test_an_older_run_is_history_once_a_newer_one_has_moved_the_role(bureau: Bureau) -> None:
    bureau.break_web()
    bureau.world.unseen.add("web-backup")
    stopped = bureau.recover()
    bureau.world.unseen.clear()
    assert bureau.recover(cause=LIN, force=True).state is RunState.DONE
    with pytest.raises(NotAllowed, match="history"):
        bureau.runner.resume(stopped.number, LIN)


def test_an_unknown_plan_or_run_is_answered_with_what_there_is(bureau: Bureau) -> None:
    with pytest.raises(NotFound, match="there is web"):
        bureau.runner.start("mail", RunKind.RECOVER, DAEMON)
    with pytest.raises(NotFound, match="no run 99"):
        bureau.runner.resume(99, LIN)


class FullDisk:
    """A journal whose disk is full from one append on."""

    def __init__(self, journal: Any, appends_left: int) -> None:
        self._journal = journal
        self.appends_left = appends_left

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    def append(self, *args: Any, **more: Any) -> Any:
        self.appends_left -= 1
        if self.appends_left < 0:
            raise JournalUnwritable("the disk is full")
        return self._journal.append(*args, **more)


@pytest.mark.parametrize("appends", range(17))
def test_nothing_is_begun_that_cannot_be_written_and_the_next_start_ends_it(build: Build, appends: int) -> None:
    bureau = build()
    bureau.break_web()
    bureau.kill_daemon()
    bureau.wrap = lambda journal: FullDisk(journal, appends)
    bureau.start_daemon()
    disk = bureau.runner._journal
    assert isinstance(disk, FullDisk)
    began: list[int] = []
    bureau.world.at_call = lambda where: began.append(disk.appends_left) if where.startswith("before change") else None
    try:
        view = bureau.runner.start("web", RunKind.RECOVER, DAEMON)
    except JournalUnwritable:
        assert appends == 0
        return
    assert all(left >= 0 for left in began), "an effect without its intent on the disk"
    if not bureau.end(view.number).state.ended:
        assert bureau.runner.under_way.stuck()[view.number].endswith("the disk is full")
    bureau.wrap = lambda journal: journal
    bureau.restart_daemon()
    assert bureau.end(view.number).state is RunState.DONE
    assert bureau.holds == "web-backup"
    assert not bureau.world.oracle.overlaps


def test_what_nobody_foresaw_stops_the_run_and_says_so(bureau: Bureau, caplog: pytest.LogCaptureFixture) -> None:
    bureau.break_web()
    bureau.servers["web-backup"]._ask_address = lambda ip: {"nonsense": ip}
    run = bureau.recover()
    assert run.state is RunState.STOPPED
    assert "KeyError: 'held'" in run.reason
