"""One run at a time, and the runs that keep the world as it is."""

from __future__ import annotations

import pytest

from failover.errors import Busy, NotAllowed
from failover.model import RunKind, RunState
from failover.recover import builtin
from tests.recover.bureau import DAEMON, HEALING, LIN, PLAN, WWW, Bureau
from tests.recover.conftest import Build

HEALING_PLAN = {**PLAN, "steps": [HEALING, *PLAN["steps"]]}
SILENCE = {"silence": {"time": "30s", "accept": "two servers may answer for this address at once"}}


def test_a_second_request_is_answered_with_the_run_that_is_under_way(bureau: Bureau) -> None:
    bureau.break_web()
    answers: list[int] = []

    def ask_again(where: str) -> None:
        if where == "before change web address":
            with pytest.raises(Busy) as busy:
                bureau.runner.start("web", RunKind.SWITCH, LIN)
            answers.append(busy.value.run)

    bureau.world.at_call = ask_again
    run = bureau.recover()
    assert answers == [run.number]


def test_a_copy_ahead_gives_way_to_a_recovery(bureau: Bureau) -> None:
    bureau.publish("d2")
    ahead = builtin.copy_ahead("web", bureau.content)
    moved: list[int] = []

    def fail_now(where: str) -> None:
        if where == "before change web-backup content" and not moved:
            moved.append(0)
            bureau.break_web()
            moved.append(bureau.recover().number)

    bureau.world.at_call = fail_now
    view = bureau.runner.keep("ahead:web", ahead, RunKind.AHEAD, DAEMON)
    assert view is not None
    assert bureau.end(moved[1]).state is RunState.DONE
    assert bureau.end(view.number).state is RunState.ABORTED
    assert bureau.holds == "web-backup"
    stale = [call for call in bureau.world.calls if call[3].run == view.number]
    assert bureau.world.hosts["web-backup"].newest.run > stale[0][3].run


def test_an_ahead_run_is_opened_only_when_there_is_something_to_copy(bureau: Bureau) -> None:
    ahead = builtin.copy_ahead("web", bureau.content)
    assert bureau.runner.keep("ahead:web", ahead, RunKind.AHEAD, DAEMON) is None
    assert bureau.journal.events() == []
    bureau.publish("d2")
    view = bureau.runner.keep("ahead:web", ahead, RunKind.AHEAD, DAEMON)
    assert view is not None
    assert bureau.world.hosts["web-backup"].content["/srv/site"]["digest"] == "d2"


def test_after_a_takeover_the_holder_goes_on_being_fed(bureau: Bureau) -> None:
    bureau.break_web()
    bureau.recover()
    bureau.publish("d2")
    assert bureau.runner.keep("follow:web", builtin.follow("web", bureau.content), RunKind.AHEAD, DAEMON) is not None
    assert bureau.world.hosts["web-backup"].content["/srv/site"]["digest"] == "d2"


def test_an_old_server_that_comes_back_with_the_address_in_its_boot_config_is_parked(build: Build) -> None:
    bureau = build(fence=True)
    bureau.world.hosts["web"].boot_config[WWW] = ("eth0", 24)
    bureau.world.power_off("web")
    assert bureau.recover().state is RunState.DONE
    bureau.world.boot("web")
    assert WWW in bureau.world.hosts["web"].held
    view = bureau.runner.keep("park:www", builtin.park("web", "www"), RunKind.KEEP, DAEMON)
    assert view is not None
    assert WWW not in bureau.world.hosts["web"].held
    assert bureau.runner.keep("park:www", builtin.park("web", "www"), RunKind.KEEP, DAEMON) is None
    assert not bureau.world.oracle.overlaps
    assert bureau.holds == "web-backup"


@pytest.mark.parametrize("standby", ["up", "off"])
def test_a_holder_that_rebooted_is_given_its_address_again(bureau: Bureau, standby: str) -> None:
    bureau.world.boot("web")
    if standby == "off":
        bureau.world.power_off("web-backup")
    assert bureau.holds is None
    view = bureau.runner.keep("reassert:www", builtin.reassert("web", "www"), RunKind.KEEP, DAEMON)
    assert view is not None
    assert bureau.end(view.number).state is RunState.DONE
    assert bureau.holds == "web"


def test_on_the_first_day_the_holder_is_given_its_address_by_one_run_though_nobody_was_parked_yet(
    bureau: Bureau,
) -> None:
    bureau.world.boot("web")
    bureau.world.hosts["web-backup"].parked.clear()
    plan = builtin.reassert("web", "www", park_first=True)
    view = bureau.runner.keep("reassert-www", plan, RunKind.KEEP, DAEMON)
    assert view is not None
    assert bureau.end(view.number).state is RunState.DONE
    assert bureau.holds == "web"
    assert WWW in bureau.world.hosts["web-backup"].parked
    assert not bureau.world.oracle.overlaps


def test_a_holder_is_not_given_its_address_while_the_standby_says_it_holds_it(bureau: Bureau) -> None:
    bureau.world.boot("web")
    bureau.world.hosts["web-backup"].parked.clear()
    bureau.world.hosts["web-backup"].held[WWW] = ("eth0", 24)
    view = bureau.runner.keep("reassert:www", builtin.reassert("web", "www"), RunKind.KEEP, DAEMON)
    assert view is not None
    run = bureau.end(view.number)
    assert run.state is RunState.UNDONE
    assert "web-backup still holds it" in run.reason


def test_nothing_is_kept_up_while_a_run_left_open_who_answers(bureau: Bureau) -> None:
    bureau.break_web()
    bureau.world.unseen.add("web-backup")
    run = bureau.recover()
    assert run.state is RunState.STOPPED
    with pytest.raises(NotAllowed, match=f"run {run.number} left open"):
        bureau.runner.keep("reassert:www", builtin.reassert("web", "www"), RunKind.KEEP, DAEMON)
