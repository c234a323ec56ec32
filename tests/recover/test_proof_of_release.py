"""Nothing is given to the standby before something stands for its release (I2)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from failover.errors import NotAllowed
from failover.model import RunState
from tests.recover.bureau import DAEMON, HEALING, LIN, PLAN
from tests.recover.conftest import Build

HEALING_PLAN = {**PLAN, "steps": [HEALING, *PLAN["steps"]]}
SILENCE = {"silence": {"time": "30s", "accept": "two servers may answer for this address at once"}}


def test_a_dead_web_server_is_fenced_and_then_replaced_within_seconds(build: Build) -> None:
    bureau = build(fence=True)
    bureau.world.power_off("web")
    run = bureau.recover()
    assert run.state is RunState.DONE, run.reason
    assert run.changes[0].says == "cut web off by its fence"
    assert bureau.holds == "web-backup"
    assert bureau.world.time < 3


def test_a_web_server_that_only_the_monitor_cannot_reach_is_never_doubled(build: Build) -> None:
    bureau = build()
    bureau.world.cut.add(("monitor", "web"))
    run = bureau.recover()
    assert run.state is RunState.WAITING
    assert run.question is not None
    assert run.question.word == "off:web"
    assert "Is web switched off or unplugged?" in run.question.question
    assert bureau.holds == "web"
    assert not run.changes
    assert bureau.kinds(run.number).count("run.waiting") == 1, "the person is asked once, however often it looks"
    assert not bureau.world.oracle.overlaps


def test_a_wait_ends_by_itself_when_the_link_heals(build: Build) -> None:
    bureau = build()
    bureau.world.cut.add(("monitor", "web"))
    waits: list[float] = []
    leave = bureau.world.on_wait

    def heal_later(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 10:
            bureau.world.cut.clear()
        leave(seconds)

    bureau.world.on_wait = heal_later
    run = bureau.recover()
    assert run.state is RunState.UNDONE, run.reason
    assert "healed by itself" in run.reason
    assert run.healed, "it asked a server that couldn't hear it, and did nothing"
    assert bureau.holds == "web"


def test_a_wait_ends_by_itself_when_the_old_server_comes_back_and_lets_go(build: Build) -> None:
    bureau = build()
    bureau.break_web()
    bureau.world.cut.add(("monitor", "web"))
    leave, waits = bureau.world.on_wait, []

    def come_back(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 10:
            bureau.world.cut.clear()
        leave(seconds)

    bureau.world.on_wait = come_back
    run = bureau.recover()
    assert run.state is RunState.DONE, run.reason
    assert bureau.holds == "web-backup"
    assert run.resumed == ("it needs no word any more: www released by web",)
    assert not bureau.world.oracle.overlaps


def test_a_named_persons_word_lets_it_go_on(build: Build) -> None:
    bureau = build()
    bureau.world.power_off("web")
    run = bureau.recover()
    assert run.state is RunState.WAITING
    with pytest.raises(NotAllowed, match="named person"):
        bureau.runner.word(run.number, "off:web", DAEMON)
    with pytest.raises(NotAllowed, match="its words are off:web"):
        bureau.runner.word(run.number, "off:mail", LIN)
    bureau.runner.word(run.number, "off:web", LIN)
    run = bureau.resume(run.number)
    assert run.state is RunState.DONE, run.reason
    assert bureau.holds == "web-backup"


def test_a_word_does_not_outweigh_a_server_that_says_it_holds_the_address(build: Build) -> None:
    bureau = build()
    bureau.break_web()
    bureau.world.cut.add(("monitor", "web"))
    run = bureau.recover()
    bureau.runner.word(run.number, "off:web", LIN)
    bureau.world.cut.clear()
    run = bureau.resume(run.number)
    assert run.state is RunState.DONE
    assert run.changes[0].says == "take 10.77.0.100/24 from web"
    assert not bureau.world.oracle.overlaps


def test_without_a_persons_word_in_the_config_none_counts(build: Build) -> None:
    bureau = build(release=("read-back",))
    bureau.world.power_off("web")
    run = bureau.recover()
    assert run.state is RunState.WAITING
    with pytest.raises(NotAllowed):
        bureau.runner.word(run.number, "off:web", LIN)
    bureau.runner.mark_done(run.number, 1, LIN)
    run = bureau.resume(run.number)
    assert run.state is RunState.UNDONE, "a step called done by hand is no proof either"
    assert "nothing proves that web let go" in run.reason
    assert bureau.holds is None


def test_silence_counts_only_where_the_config_accepts_it_and_only_after_its_time(build: Build) -> None:
    bureau = build(release=("read-back", SILENCE))
    bureau.world.power_off("web")
    bureau.silent["web"] = bureau.world.now()
    run = bureau.recover()
    assert run.state is RunState.DONE, run.reason
    assert bureau.world.time >= 30
    assert bureau.holds == "web-backup"


def test_silence_does_not_count_while_another_server_sees_it(build: Build) -> None:
    bureau = build(release=("read-back", SILENCE))
    bureau.world.cut.add(("monitor", "web"))
    bureau.silent["web"] = bureau.world.now() - timedelta(hours=1)
    assert bureau.recover().state is RunState.WAITING
    assert bureau.holds == "web"


@pytest.mark.parametrize("fate", ["lost", "executed"])
def test_a_fence_that_does_not_answer_is_asked_what_it_did(build: Build, fate: str) -> None:
    bureau = build(fence=True)
    bureau.break_web()
    bureau.world.cut.add(("monitor", "web"))
    bureau.world.fates = [("fence", fate)]
    run = bureau.recover()
    assert run.state is RunState.DONE, run.reason
    assert not bureau.world.hosts["web"].on
    assert not bureau.world.oracle.overlaps


def test_a_fence_that_does_not_work_leads_to_a_person(build: Build) -> None:
    bureau = build(fence=True)
    bureau.servers["fence:web"].works = False
    bureau.world.cut.add(("monitor", "web"))
    run = bureau.recover()
    assert run.state is RunState.WAITING
    assert len(run.changes) < 6, "a fence that doesn't answer is tried with growing pauses"
    assert bureau.holds == "web"


def test_a_switch_never_fences(build: Build) -> None:
    bureau = build(fence=True)
    bureau.world.at_call = lambda where: bureau.world.cut.add(("monitor", "web")) if "content" in where else None
    run = bureau.switch()
    assert run.state is RunState.UNDONE, run.reason
    assert bureau.world.hosts["web"].on
    assert bureau.holds == "web"


def test_an_address_that_is_gone_but_could_come_back_is_no_proof(build: Build) -> None:
    bureau = build(fence=True)
    bureau.break_web()
    server = bureau.servers["web"]

    def only_remove(args: dict[str, Any]) -> Any:
        server.host.held.pop(args["ip"], None)  # nothing silences it: whatever manages the network may put it back
        return server._ask_address(args["ip"])

    server._change_address = only_remove
    run = bureau.recover()
    assert run.state is RunState.DONE, run.reason
    assert not bureau.world.hosts["web"].on


def test_a_release_that_never_proves_itself_goes_on_to_the_fence(build: Build) -> None:
    bureau = build(fence=True)
    bureau.break_web()
    server = bureau.servers["web"]
    server._change_address = lambda args: server._ask_address(args["ip"])  # says yes and does nothing
    run = bureau.recover()
    assert run.state is RunState.DONE, run.reason
    assert not bureau.world.hosts["web"].on
    assert not bureau.world.oracle.overlaps


def test_the_old_server_is_asked_once_more_after_it_read_back_that_it_let_go(build: Build) -> None:
    bureau = build()
    bureau.break_web()
    web = bureau.world.hosts["web"]
    released: list[str] = []

    def put_back_once(where: str) -> None:
        if where == "after change web address":
            released.append(where)
            if len(released) == 1:  # an operator's hand on that server, who also takes the silence away
                web.parked.clear()
                web.held["10.77.0.100"] = ("eth0", 24)

    bureau.world.at_call = put_back_once
    run = bureau.recover()
    assert run.state is RunState.DONE, run.reason
    assert len(released) == 2, "what it said at the end of the change isn't the last word"
    assert bureau.holds == "web-backup"
    assert not bureau.world.oracle.overlaps


def test_what_the_change_itself_read_back_is_the_first_of_two_looks(build: Build) -> None:
    bureau = build()
    bureau.break_web()
    asked: list[str] = []
    bureau.world.at_call = lambda where: asked.append(where) if "web address" in where else None
    bureau.recover()
    after = asked[asked.index("after change web address") :]
    assert after.count("before ask web address") == 1, after
