"""What a run would do, and what would stop it."""

from __future__ import annotations

from failover.model import Cause, RunKind, RunState
from tests.recover.bureau import DAEMON, HEALING, LIN, PLAN, Bureau
from tests.recover.conftest import Build

HEALING_PLAN = {**PLAN, "steps": [HEALING, *PLAN["steps"]]}
SILENCE = {"silence": {"time": "30s", "accept": "two servers may answer for this address at once"}}


def test_a_dry_run_lists_every_change_and_makes_none(bureau: Bureau) -> None:
    bureau.publish("d2")
    before = repr(bureau.world.hosts)
    found = bureau.runner.dry("web", RunKind.SWITCH)
    assert found.changes == (
        "take 10.77.0.100/24 from web",
        "copy /srv/site from wcm to web-backup: 100 files, 1000 bytes",
        "give 10.77.0.100/24 on eth0 to web-backup",
    )
    assert not found.problems
    assert repr(bureau.world.hosts) == before
    assert bureau.journal.events() == []


def test_a_dry_run_says_which_servers_it_cannot_ask(build: Build) -> None:
    bureau = build(fence=True)
    bureau.world.power_off("web")
    bureau.world.power_off("web-backup")
    found = bureau.runner.dry("web", RunKind.RECOVER)
    assert found.steps[0].changes == ("cut web off by its fence",)
    assert [bool(step.problem) for step in found.steps] == [False, True, True, False]
    assert bureau.world.calls == []


def test_a_switch_is_refused_while_a_side_is_ill(bureau: Bureau) -> None:
    bureau.world.hosts["web-backup"].services["nginx"] = "inactive"
    run = bureau.switch()
    assert run.state is RunState.UNDONE
    assert "web-backup doesn't serve website yet" in run.reason
    assert not run.changes
    bureau.world.hosts["web-backup"].services["nginx"] = "active"
    bureau.break_web()
    assert "failover recover" in bureau.switch().reason


def test_a_clean_stop_in_mid_run_rests_and_the_next_start_goes_on(bureau: Bureau) -> None:
    bureau.break_web()

    def stop(where: str) -> None:
        if where == "after change web address":
            live = bureau.runner.under_way.get(1)
            assert live is not None
            live.control.halt()

    bureau.world.at_call = stop
    view = bureau.runner.start("web", RunKind.RECOVER, DAEMON)
    assert not bureau.end(view.number).state.ended
    bureau.world.at_call = lambda _where: None
    assert bureau.restart_daemon() == [view.number]
    assert bureau.end(view.number).state is RunState.DONE
    assert bureau.holds == "web-backup"


def test_runs_in_threads_of_their_own_wait_for_nobody(build: Build) -> None:
    from failover.recover.runner import in_a_thread

    bureau = build()
    bureau.world.power_off("web")
    bureau.world.on_wait = lambda _seconds: None
    real = bureau.world.wait
    bureau.world.wait = lambda event, seconds: event.wait(0.01) or real(event, seconds)  # type: ignore[method-assign]
    bureau.spawn = in_a_thread
    bureau.kill_daemon()
    bureau.start_daemon()
    view = bureau.runner.start("web", RunKind.RECOVER, Cause("daemon", "website is down"))
    for _ in range(500):
        if bureau.end(view.number).state is RunState.WAITING:
            break
        bureau.runner.under_way.wait_idle(0.01)
    current = bureau.runner.under_way.current()
    assert current is not None
    assert current.number == view.number
    bureau.runner.word(view.number, "off:web", LIN)
    assert bureau.runner.under_way.wait_idle(10)
    assert bureau.end(view.number).state is RunState.DONE
    assert bureau.holds == "web-backup"
