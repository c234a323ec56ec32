"""What the standby serves: the newest, or the last verified, and never half of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from failover.model import RunKind, RunState
from failover.recover import builtin
from tests.recover.bureau import DAEMON, HEALING, LIN, PLAN, Bureau
from tests.recover.conftest import Build

HEALING_PLAN = {**PLAN, "steps": [HEALING, *PLAN["steps"]]}
SILENCE = {"silence": {"time": "30s", "accept": "two servers may answer for this address at once"}}


def test_what_was_published_last_is_copied_before_anything_moves(bureau: Bureau) -> None:
    bureau.break_web()
    bureau.publish("d2")
    run = bureau.recover()
    assert run.state is RunState.DONE
    assert [change.verb for change in run.changes] == ["content", "address", "address"]
    assert bureau.world.hosts["web-backup"].content["/srv/site"]["digest"] == "d2"
    assert [event.data["digest"] for event in bureau.journal.events(kinds=["content.copied"])] == ["d2"]


def test_a_wcm_that_is_down_leaves_the_last_verified_copy_and_its_age_is_said(bureau: Bureau) -> None:
    bureau.break_web()
    bureau.world.pass_time(7 * 3600)
    bureau.world.power_off("wcm")
    run = bureau.recover()
    assert run.state is RunState.DONE
    assert any("with loss" in note and "7 h old" in note for note in run.notes)


def test_a_wcm_that_dies_in_mid_copy_leaves_the_last_verified_copy(bureau: Bureau) -> None:
    bureau.break_web()
    bureau.publish("d2")
    bureau.world.at_call = lambda where: (
        bureau.world.power_off("wcm") if where == "before change web-backup content" else None
    )
    run = bureau.recover()
    assert run.state is RunState.DONE, run.reason
    assert bureau.world.hosts["web-backup"].content["/srv/site"]["digest"] == "d1"
    assert any("with loss" in note and "wcm can't be reached" in note for note in run.notes)


def test_an_empty_site_is_never_served(bureau: Bureau) -> None:
    bureau.break_web()
    bureau.world.hosts["web-backup"].content.clear()
    bureau.world.power_off("wcm")
    run = bureau.recover()
    assert run.state is RunState.UNDONE
    assert "an empty site is never served" in run.reason
    assert bureau.holds == "web"


@pytest.mark.parametrize(("more", "kind"), [({"files": 3}, "source-suspect"), ({"bytes": 10**13}, "no-space")])
def test_a_suspect_source_or_a_full_disk_stops_the_run_before_anything_moves(
    bureau: Bureau, more: dict[str, Any], kind: str
) -> None:
    bureau.break_web()
    bureau.publish("d2", **more)
    run = bureau.recover()
    assert run.state is RunState.UNDONE
    assert kind in run.reason
    assert bureau.holds == "web"
    assert bureau.world.hosts["web-backup"].content["/srv/site"]["digest"] == "d1"
    forced = bureau.recover(cause=LIN, force=True)
    assert forced.state is RunState.DONE, "by force the last verified copy serves"
    assert bureau.world.hosts["web-backup"].content["/srv/site"]["digest"] == "d1"


def test_what_was_refused_ahead_of_time_is_known_before_the_night(bureau: Bureau) -> None:
    def problems() -> list[str]:
        scene = replace(bureau.scene("web", RunKind.RECOVER), old="web", new="web-backup")
        return [problem.text for problem in bureau.content.problems(scene)]

    bureau.publish("d2", files=3)
    bureau.runner.keep("copy-ahead-web", builtin.copy_ahead("web", bureau.content), RunKind.AHEAD, DAEMON)
    (problem,) = problems()
    assert problem.startswith("web-backup doesn't take /srv/site: ")
    assert "3 files instead of 10" in problem
    bureau.publish("d3")
    assert problems() == [], "that is other content, which nobody has refused"


def test_what_is_published_in_mid_copy_costs_one_more_pass(bureau: Bureau) -> None:
    bureau.break_web()
    bureau.publish("d2")

    def publish_again(where: str) -> None:
        if (
            where == "before change web-backup content"
            and bureau.world.hosts["wcm"].content["/srv/site"]["digest"] == "d2"
        ):
            bureau.publish("d3")

    bureau.world.at_call = publish_again
    run = bureau.recover()
    assert run.state is RunState.DONE
    assert bureau.world.hosts["web-backup"].content["/srv/site"]["digest"] == "d3"


def test_a_source_that_changes_without_end_does_not_hold_a_recovery_up(bureau: Bureau) -> None:
    bureau.break_web()
    bureau.publish("d2")
    digests = iter(range(3, 1000))
    bureau.world.at_call = lambda where: (
        bureau.publish(f"d{next(digests)}") if where.startswith("before change") else None
    )
    run = bureau.recover()
    assert run.state is RunState.DONE
    assert [change.verb for change in run.changes].count("content") == 3


def test_a_comparison_made_just_now_spares_a_recovery_the_walk(build: Build) -> None:
    steps = [dict(step) for step in PLAN["steps"]]
    steps[1] = {"content_synced": {"from": "wcm", "path": "/srv/site", "recent": "1m"}}
    bureau = build(plan={**PLAN, "steps": steps})
    assert bureau.runner.keep("ahead:web", builtin.copy_ahead("web", bureau.content), RunKind.AHEAD, DAEMON) is None
    bureau.break_web()
    asked: list[str] = []
    bureau.world.at_call = asked.append
    assert bureau.recover().state is RunState.DONE
    assert not [where for where in asked if "manifest" in where]


@pytest.mark.parametrize(("fence", "looks"), [(False, 1), (True, 2)])
def test_the_copy_is_looked_at_once_more_before_it_serves_unless_that_was_a_moment_ago(
    build: Build, fence: bool, looks: int
) -> None:
    bureau = build(fence=fence)
    bureau.break_web()
    if fence:  # proof takes its time
        bureau.world.power_off("web")
    asked: list[str] = []

    def listen(where: str) -> None:
        asked.append(where)
        if where == "before change fence:web fence":
            bureau.world.pass_time(3)

    bureau.world.at_call = listen
    assert bureau.recover().state is RunState.DONE
    assert asked.count("before ask web-backup content") == looks
