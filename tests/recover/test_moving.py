"""What a recovery does, as an operator would tell it."""

from __future__ import annotations

import pytest

from failover.model import RunState
from tests.recover.bureau import HEALING, LIN, PLAN, Bureau
from tests.recover.conftest import Build

HEALING_PLAN = {**PLAN, "steps": [HEALING, *PLAN["steps"]]}
SILENCE = {"silence": {"time": "30s", "accept": "two servers may answer for this address at once"}}


def test_a_broken_web_server_hands_its_address_to_the_standby(bureau: Bureau) -> None:
    bureau.break_web()
    run = bureau.recover()
    assert run.state is RunState.DONE
    assert (bureau.holds, bureau.stored) == ("web-backup", "web-backup")
    assert [change.says for change in run.changes] == [
        "take 10.77.0.100/24 from web",
        "give 10.77.0.100/24 on eth0 to web-backup",
    ]
    assert bureau.world.time < 0.15, "with the content ahead a recovery takes a few round trips"


def test_every_effect_is_written_before_it_is_made(bureau: Bureau) -> None:
    bureau.break_web()
    seen: list[bool] = []

    def written(where: str) -> None:
        if where.startswith("before change"):
            newest = bureau.journal.events(newest_first=True, limit=1)[0]
            seen.append(newest.kind == "change.intended" and newest.data["server"] in where)

    bureau.world.at_call = written
    bureau.recover()
    assert seen == [True, True]


def test_failback_is_the_same_plan_the_other_way(bureau: Bureau) -> None:
    bureau.break_web()
    bureau.recover()
    bureau.world.hosts["web"].broken.clear()
    run = bureau.switch()
    assert run.state is RunState.DONE, run.reason
    assert (bureau.holds, bureau.stored) == ("web", "web")


def test_a_fault_that_heals_before_the_first_change_moves_nothing(bureau: Bureau) -> None:
    bureau.break_web()
    bureau.world.at_call = lambda where: bureau.world.hosts["web"].broken.clear() if "content" in where else None
    run = bureau.recover()
    assert run.state is RunState.UNDONE
    assert "healed by itself" in run.reason
    assert run.healed
    assert not run.changes
    assert (bureau.holds, bureau.stored) == ("web", "web")


def test_nothing_moves_when_the_site_is_up_unless_a_person_forces_it(bureau: Bureau) -> None:
    assert bureau.recover().state is RunState.UNDONE
    assert bureau.holds == "web"
    assert bureau.recover(cause=LIN, force=True).state is RunState.DONE
    assert bureau.holds == "web-backup"


def test_a_monitor_that_cannot_tell_moves_nothing(bureau: Bureau) -> None:
    bureau.break_web()
    bureau.world.cut.add(("monitor", "*"))
    run = bureau.recover()
    assert run.state is RunState.UNDONE
    assert "can't be confirmed" in run.reason
    assert not run.changes


def test_a_monitor_that_cannot_tell_yet_looks_again_for_a_while(bureau: Bureau) -> None:
    bureau.break_web()
    bureau.world.cut.add(("monitor", "*"))
    bureau.world.later.append((4.0, bureau.world.cut.clear))
    assert bureau.recover().state is RunState.DONE
    assert bureau.holds == "web-backup"


def test_a_restart_in_place_that_heals_ends_the_run(build: Build) -> None:
    bureau = build(plan=HEALING_PLAN)
    bureau.break_web(hopeless=False)
    run = bureau.recover()
    assert run.state is RunState.DONE
    assert run.reason == "healed in place: nginx was restarted on web"
    assert [change.says for change in run.changes] == ["restart nginx on web"]
    assert (bureau.holds, bureau.stored) == ("web", "web")


@pytest.mark.parametrize("fate", ["", "failed:timeout", "refused:not-in-policy", "lost", "executed", "unreachable"])
def test_a_restart_in_place_that_does_not_heal_is_tried_once_and_then_the_address_moves(
    build: Build, fate: str
) -> None:
    bureau = build(plan=HEALING_PLAN)
    bureau.break_web()
    bureau.world.fates = [("service", fate)] if fate else []
    run = bureau.recover()
    assert run.state is RunState.DONE
    assert [change.says for change in run.changes].count("restart nginx on web") == 1
    assert bureau.holds == "web-backup"
