"""Strangers, hidden holders, servers that go blind, and requests without an answer."""

from __future__ import annotations

import pytest

from failover.model import RunState
from tests.recover.bureau import HEALING, PLAN, WWW, Bureau
from tests.recover.conftest import Build

HEALING_PLAN = {**PLAN, "steps": [HEALING, *PLAN["steps"]]}
SILENCE = {"silence": {"time": "30s", "accept": "two servers may answer for this address at once"}}


def test_an_address_that_a_stranger_answers_for_is_not_taken(bureau: Bureau) -> None:
    bureau.break_web()
    bureau.world.strangers[WWW] = "02:ff:ff:ff:ff:ff"
    run = bureau.recover()
    assert run.state is RunState.STOPPED, run.reason  # not even web can have it back
    assert "address-taken" in run.reason
    assert "02:ff:ff:ff:ff:ff" in run.reason
    assert bureau.holds is None
    assert f"failover resume {run.number}" in run.reason


def test_a_stranger_that_goes_away_in_time_leaves_everything_as_it_was(bureau: Bureau) -> None:
    bureau.break_web()
    bureau.world.strangers[WWW] = "02:ff:ff:ff:ff:ff"

    def go_away(where: str) -> None:
        if where == "before ask web address" and any(call[0] == "web-backup" for call in bureau.world.calls):
            bureau.world.strangers.clear()

    bureau.world.at_call = go_away
    run = bureau.recover()
    assert run.state is RunState.UNDONE, run.reason
    assert bureau.holds == "web"


def test_a_holder_that_nobody_else_can_reach_gives_a_planned_move_back(bureau: Bureau) -> None:
    bureau.world.unseen.add("web-backup")
    run = bureau.switch()
    assert run.state is RunState.UNDONE, run.reason
    assert [change.server for change in run.changes] == ["web", "web-backup", "web-backup", "web"]
    assert bureau.holds == "web"


def test_a_new_holder_that_the_monitor_sees_is_kept_and_people_are_told(bureau: Bureau) -> None:
    bureau.break_web()
    bureau.world.unseen.add("web-backup")
    run = bureau.recover()
    assert run.state is RunState.STOPPED
    assert "db doesn't see it" in run.reason
    assert bureau.holds == "web-backup"
    bureau.world.unseen.clear()
    assert bureau.resume(run.number).state is RunState.DONE
    assert bureau.stored == "web-backup"


def test_a_standby_that_goes_blind_in_mid_run_is_waited_for(bureau: Bureau) -> None:
    bureau.break_web()

    def blink(where: str) -> None:
        if where == "after change web address":
            bureau.world.cut.add(("monitor", "web-backup"))
            bureau.world.later.append((bureau.world.time + 8, bureau.world.cut.clear))

    bureau.world.at_call = blink
    run = bureau.recover()
    assert run.state is RunState.DONE, run.reason
    assert bureau.holds == "web-backup"


def test_a_standby_that_stays_blind_gives_the_address_back(bureau: Bureau) -> None:
    bureau.break_web()

    def go_blind(where: str) -> None:
        if where == "after change web address" and not bureau.world.cut:
            bureau.world.cut.add(("monitor", "web-backup"))

    bureau.world.at_call = go_blind
    run = bureau.recover()
    # web-backup was never given it, but nothing reads that back while it's blind
    assert run.state is RunState.STOPPED
    assert "web-backup can't be asked" in run.reason
    assert bureau.holds is None
    bureau.world.cut.clear()
    bureau.world.at_call = lambda _where: None
    assert bureau.abort(run.number).state is RunState.ABORTED
    assert bureau.holds == "web"


@pytest.mark.parametrize("fate", ["executed", "lost", "late"])
@pytest.mark.parametrize("nth", [0, 1])
def test_a_request_without_an_answer_is_looked_at_before_the_next_move(build: Build, fate: str, nth: int) -> None:
    bureau = build()
    bureau.break_web()
    bureau.world.fates = [("address", "")] * nth + [("address", fate)]
    run = bureau.recover()
    assert run.state is RunState.DONE, run.reason
    assert bureau.holds == "web-backup"
    bureau.world.pass_time(60)
    assert bureau.holds == "web-backup"
    assert not bureau.world.oracle.overlaps
