"""The daemon stops, or is reloaded, in the middle of things."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from failover.cli.client import Answered
from failover.journal.verify import verify
from tests.daemon.bureau import Bureau


async def test_a_run_that_waits_is_taken_up_after_a_restart(running: Bureau) -> None:
    running.world.power_off("web")
    await running.until(lambda: running.events("run.waiting"), 15)
    began = time.monotonic()
    await running.stop()
    assert time.monotonic() - began < 10
    await running.start()
    (stopped,) = running.events("daemon.stopped")
    assert stopped.data["runs_resting"] == [1]
    await running.until(lambda: running.events("run.resumed"))
    await running.until(lambda: len(running.events("run.waiting")) >= 1)
    word = running.events("run.waiting")[-1].data["word"]
    await asyncio.sleep(0.5)
    await running.post("/runs/1/word", word=word, why="I pulled the plug")
    await running.until(lambda: running.ended(1), 15)
    assert running.holds == "web-backup"
    assert len([event for event in running.events("run.opened") if event.data["kind"] == "recover"]) == 1


async def test_a_stop_in_mid_change_lets_the_change_finish_and_the_next_start_the_rest(running: Bureau) -> None:
    """SIGTERM while web-backup takes the address: that is finished, no more is begun, and it's written down."""
    reached, go_on = threading.Event(), threading.Event()

    def at_call(where: str) -> None:
        if where == "after change web address":
            reached.set()
            go_on.wait(20)

    running.world.at_call = at_call
    running.break_web()
    await running.until(reached.is_set)
    assert running.daemon is not None
    (house,) = running.daemon.houses.values()
    stopping = asyncio.create_task(running.stop())
    await running.until(lambda: house.runner.under_way.closing)
    go_on.set()
    await stopping
    running.world.at_call = lambda _where: None
    holds = running.holds
    assert holds is None
    await running.start()
    outcomes = [event.data["result"] for event in running.events("change.outcome")]
    assert outcomes[0] == "ok"
    (stopped,) = running.events("daemon.stopped")
    assert (stopped.data["runs_resting"], stopped.data["all_rested"]) == ([1], True)
    await running.until(lambda: running.ended(1), 15)
    assert running.holds == "web-backup"
    says = [event.data["says"] for event in running.events("change.intended")]
    assert len(says) == len(set(says)), "nothing is done twice"


async def test_a_restart_after_a_recovery_pages_nobody_again(running: Bureau) -> None:
    running.break_web()
    await running.until(lambda: running.ended(1))
    await running.until(lambda: [got for got in running.robot.got if got["severity"] == "page"])
    await asyncio.sleep(1)
    running.robot.got.clear()
    await running.stop()
    await running.start()
    await running.settled()
    await asyncio.sleep(1)
    assert not [got for got in running.robot.got if got["severity"] == "page"]


async def test_a_reload_keeps_verdicts_sessions_and_the_run_under_way(running: Bureau) -> None:
    assert running.daemon is not None
    running.world.power_off("web")
    await running.until(lambda: running.events("run.waiting"), 15)
    servers = running.daemon.houses["bureau"].setup.servers
    running.write_config(mode="propose")
    answer = await running.post("/reload")
    assert "is in use" in answer["says"]
    assert running.daemon.houses["bureau"].setup.servers["wcm"] is servers["wcm"]
    assert running.daemon.houses["bureau"].monitor.checks.healths["website"].standing == "down"
    site = await running.site()
    assert site["plans"][0]["mode"] == "propose"
    assert site["runs"][0]["state"] == "waiting"
    await running.post("/runs/1/word", word=site["runs"][0]["word"], why="I pulled the plug")
    await running.until(lambda: running.ended(1))
    assert running.holds == "web-backup"
    assert running.events("run.opened")[0].data["mode"] == "auto"


async def test_a_bad_config_changes_nothing_and_people_are_told(running: Bureau) -> None:
    running.places.config.write_text("site: {name: bureau}\n")
    with pytest.raises(Answered) as caught:
        await running.post("/reload")
    assert caught.value.status == 422
    assert caught.value.problem["problems"]
    await running.until(lambda: any("new config is refused" in got["title"] for got in running.robot.got))
    running.break_web()
    await running.until(lambda: running.holds == "web-backup")


async def test_a_dead_webhook_delays_no_recovery(bureau: Bureau) -> None:
    bureau.robot.url = "http://127.0.0.1:9/"
    bureau.write_config()
    await bureau.start()
    await bureau.settled()
    began = time.monotonic()
    bureau.break_web()
    await bureau.until(lambda: bureau.holds == "web-backup")
    assert time.monotonic() - began < 8
    await bureau.until(lambda: bureau.events("notification.failed"))
    status = await bureau.get("/status")
    assert status["channels"][0]["state"] == "failed"


@pytest.fixture
def small_disk(bureau: Bureau) -> Iterator[Path]:
    """The journal lies on a real disk of 2 MiB."""
    folder = bureau.folder / "state"
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk takes root")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], check=True, timeout=10)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True, timeout=10)


async def test_a_full_disk_is_said_and_nothing_new_begins_until_there_is_room(small_disk: Path, bureau: Bureau) -> None:
    await bureau.start()
    await bureau.settled()
    filler = small_disk / "filler"
    with filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 4096):
            pass
    bureau.break_web()
    await bureau.until(lambda: any("can't be written" in got["text"] for got in bureau.robot.got), 20)
    # Two pages of one moment go out side by side, in either order.
    await bureau.until(
        lambda: any("website is down" in got["title"] and got["severity"] == "page" for got in bureau.robot.got), 20
    )
    await asyncio.sleep(1)
    assert bureau.holds == "web"
    assert not bureau.events("run.opened")
    status, text = await bureau.public("/readyz")
    assert (status, "the journal can't be written" in text) == (503, True)
    filler.unlink()
    await bureau.until(lambda: bureau.holds == "web-backup", 30)
    await bureau.stop()
    assert verify(small_disk / "journal.db").sound


async def test_explain_replays_a_decision_of_the_past(running: Bureau) -> None:
    running.break_web()
    await running.until(lambda: running.ended(1))
    recovers = [event for event in running.events("decision.made") if event.data["action"] == "recover"]
    answer = await running.get("/explain", at=recovers[0].at.isoformat())
    (decision,) = answer["decisions"]
    assert (decision["action"], decision["agrees"]) == ("recover", True)
    assert any("website is down" in line for line in decision["lines"])
    now = await running.get("/explain")
    assert now["decisions"][0]["action"] != "recover"
