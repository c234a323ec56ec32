"""The web server fails and its backup takes over: the whole daemon, from the look to the message."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timedelta
from typing import Any

import pytest

from failover.cli.client import Answered
from tests.daemon.bureau import Bureau


async def test_a_dead_web_server_is_recovered_by_itself(running: Bureau) -> None:
    began = time.monotonic()
    running.break_web()
    await running.until(lambda: running.holds == "web-backup")
    assert time.monotonic() - began < 8
    await running.until(lambda: running.ended(1))
    site = await running.site()
    assert site["roles"][0]["holder"] == "web-backup"
    assert [(run["number"], run["state"], run["by"]) for run in site["runs"]] == [(1, "done", "daemon")]
    kinds = [event.kind for event in running.journal.events()]
    assert kinds.index("decision.made") < kinds.index("run.opened") < kinds.index("role.moved")
    (opened,) = running.events("run.opened")
    assert "website is down" in opened.data["why"]
    await asyncio.sleep(1)
    pages = [got["title"] for got in running.robot.got if got["severity"] == "page"]
    assert len(pages) == 1, "one failure, one page"
    assert pages[0].startswith("website is down")


async def test_it_acts_once_and_then_waits_for_people(running: Bureau) -> None:
    running.break_web()
    await running.until(lambda: running.ended(1))
    running.mend_web()
    running.world.hosts["web-backup"].broken.add("nginx")
    running.world.changed()
    await running.until(lambda: any("cooling-down" in str(e.data["guards"]) for e in running.events("decision.made")))
    await asyncio.sleep(1)
    assert running.holds == "web-backup"
    await running.post("/plans/web/ack", why="I have seen it")
    await running.until(lambda: running.holds == "web")


async def test_the_way_back_is_the_same_plan_run_the_other_way(running: Bureau) -> None:
    running.break_web()
    await running.until(lambda: running.ended(1))
    running.mend_web()
    await asyncio.sleep(0.5)
    run = await running.post("/runs", verb="switch", role="web")
    await running.until(lambda: running.ended(run["number"]))
    assert running.holds == "web"
    shown = await running.get(f"/runs/{run['number']}")
    assert shown["state"] == "done"
    assert "(uid " in shown["by"]


async def test_the_way_back_shows_first_what_changed(running: Bureau) -> None:
    run = await running.post("/runs", verb="switch", role="web")
    await running.until(lambda: running.ended(run["number"]))
    site = {"digest": "d2", "files": 101, "bytes": 1010, "text": "统计", "paths": {"index.html": "d1", "new.html": "1"}}
    running.world.hosts["wcm"].content["/srv/site"] = site
    dry = await running.post("/runs", verb="switch", role="web", dry=True)
    assert (dry["old"], dry["new"]) == ("web-backup", "web")
    assert dry["left_at"] == running.events("role.moved")[0].at.isoformat()
    told = [one for step in dry["steps"] for one in step["differences"]]
    assert told == [
        {
            "what": "/srv/site",
            "says": "1 file added, 0 changed, 0 removed: 10 bytes",
            "counts": {"added": 1, "changed": 0, "removed": 0, "bytes": 10},
        }
    ]


async def test_a_move_is_open_until_it_is_rolled_back_or_committed(running: Bureau) -> None:
    async def open_move() -> dict[str, Any] | None:
        role = (await running.site())["roles"][0]
        found: dict[str, Any] | None = role["open_move"]
        return found

    assert await open_move() is None
    with pytest.raises(Answered, match="web was never moved") as caught:
        await running.post("/runs", verb="rollback", role="web", why="x")
    assert caught.value.exit_code == 77
    running.break_web()
    await running.until(lambda: running.ended(1))
    running.mend_web()
    move = await open_move()
    assert move is not None
    assert (move["run"], move["from"], move["to"]) == (1, "web", "web-backup")
    assert datetime.fromisoformat(move["until"]) - datetime.fromisoformat(move["at"]) == timedelta(minutes=30)
    run = await running.post("/runs", verb="rollback", role="web", why="the backup is slow")
    await running.until(lambda: running.ended(run["number"]))
    assert running.holds == "web"
    shown = await running.get(f"/runs/{run['number']}")
    assert (shown["state"], shown["kind"], shown["why"]) == ("done", "rollback", "the backup is slow")
    assert await open_move() is None
    with pytest.raises(Answered, match="use: failover switch web"):
        await running.post("/runs", verb="rollback", role="web", why="x")


async def test_what_is_committed_stays(running: Bureau) -> None:
    run = await running.post("/runs", verb="switch", role="web")
    await running.until(lambda: running.ended(run["number"]))
    said = await running.post("/roles/web/commit", why="it works")
    assert said["says"] == "web stays on web-backup: its move from web in run 1 is committed"
    assert (await running.site())["roles"][0]["open_move"] is None
    with pytest.raises(Answered, match=r"\(uid \d+\) committed it at .* use: failover switch web"):
        await running.post("/runs", verb="rollback", role="web", why="x")
    with pytest.raises(Answered, match="no plan moves a role 'moon'"):
        await running.post("/roles/moon/commit", why="x")
    assert running.holds == "web-backup"


async def test_who_changes_something_finds_it_at_once_however_late_the_monitor_hears_of_it(running: Bureau) -> None:
    run = await running.post("/runs", verb="switch", role="web")
    await running.until(lambda: running.ended(run["number"]))
    stop = running.journal.subscribe(lambda _event: time.sleep(0.1))
    running.journal._feed._places.reverse()  # it hears before the monitor does
    try:
        await running.post("/roles/web/commit", why="it works")
        assert (await running.site())["roles"][0]["open_move"] is None
    finally:
        stop()


async def test_nothing_moves_while_the_monitor_is_cut_off(running: Bureau) -> None:
    running.world.gateway.end()
    await asyncio.sleep(1.5)
    running.break_web()
    await running.until(lambda: any("blind" in str(event.data["guards"]) for event in running.events("decision.made")))
    await asyncio.sleep(1)
    assert running.holds is None or running.holds == "web"
    assert not running.events("run.opened")


async def test_others_who_still_see_it_hold_it_back(running: Bureau) -> None:
    running.world.cut.add(("monitor", "web"))
    real = running.world.hosts["web"]
    for key in [key for key in running.world._sites if key[0] == "web"]:
        running.world._sites.pop(key).end()
    assert real.on
    await running.until(
        lambda: any("seen-by-others" in str(event.data["guards"]) for event in running.events("decision.made"))
    )
    await asyncio.sleep(0.5)
    assert not running.events("run.opened")


@pytest.mark.parametrize("word", ["automation", "maintenance", "propose"])
async def test_people_can_hold_it_back(bureau: Bureau, word: str) -> None:
    bureau.write_config(mode="propose" if word == "propose" else "auto")
    await bureau.start()
    await bureau.settled()
    if word == "automation":
        await bureau.post("/automation", on=False, why="we work on the network")
    elif word == "maintenance":
        await bureau.post("/maintenance/begin", about="web", lasts="1h", why="new kernel")
    bureau.break_web()
    await bureau.until(lambda: bureau.events("incident.opened"))
    await asyncio.sleep(1)
    assert not bureau.events("run.opened")
    if word == "maintenance":
        assert not [got for got in bureau.robot.got if got["severity"] == "page"]
        await bureau.post("/maintenance/end", about="web", why="done")
        await bureau.until(lambda: bureau.holds == "web-backup")
    else:
        run = await bureau.post("/runs", verb="recover", role="web")
        await bureau.until(lambda: bureau.ended(run["number"]))
        assert bureau.holds == "web-backup"


async def test_recover_needs_a_failure_or_a_reason(running: Bureau) -> None:
    with pytest.raises(Answered, match="there is no failure that plan web is for: website is up") as caught:
        await running.post("/runs", verb="recover", role="web")
    assert caught.value.exit_code == 77
    assert not running.events("run.opened")
    run = await running.post("/runs", verb="recover", role="web", force="the disk makes noises")
    await running.until(lambda: running.ended(run["number"]))
    (opened,) = running.events("run.opened")
    assert opened.data["forced"]
    assert opened.data["why"] == "the disk makes noises"
    assert running.holds == "web-backup"


async def test_a_run_that_waits_goes_on_by_a_persons_word(running: Bureau) -> None:
    running.world.power_off("web")
    await running.until(lambda: running.events("run.waiting"), 15)
    holds = running.holds
    assert holds is None
    with pytest.raises(Answered, match=r"run 1 .* is under way") as busy:
        await running.post("/runs", verb="switch", role="web")
    assert (busy.value.status, busy.value.problem["run"], busy.value.exit_code) == (409, 1, 75)
    site = await running.site()
    assert site["runs"][0]["state"] == "waiting"
    word = site["runs"][0]["word"]
    await running.until(lambda: any("waits for a person" in got["title"] for got in running.robot.got))
    await running.post("/runs/1/word", word=word, why="I pulled the plug")
    await running.until(lambda: running.ended(1))
    assert running.holds == "web-backup"
    running.world.boot("web")
    await asyncio.sleep(1.5)
    assert running.holds == "web-backup"


async def test_an_address_lost_by_a_reboot_is_given_back(running: Bureau) -> None:
    running.world.hosts["web"].held.clear()
    running.world.changed()
    running.world.boot("web")
    await running.until(lambda: running.holds == "web", 15)
    kept = [event for event in running.events("run.opened") if event.data["kind"] == "keep"]
    assert kept or [event for event in running.events("run.opened") if event.data["kind"] == "recover"]


async def test_a_returned_server_with_the_address_is_parked(running: Bureau) -> None:
    running.break_web()
    await running.until(lambda: running.ended(1))
    running.world.hosts["web"].parked.clear()
    await running.until(lambda: "127.77.0.100" in running.world.hosts["web"].parked)
    kept = [event for event in running.events("run.opened") if event.data["kind"] == "keep"]
    assert kept[0].data["plan"] == "park-www"
    assert running.holds == "web-backup"


async def test_a_backup_that_is_not_ready_is_known_before(running: Bureau) -> None:
    running.world.hosts["web-backup"].content.clear()
    running.world.hosts["wcm"].on = False
    running.world.changed()
    await running.until(
        lambda: [e for e in running.events("incident.opened") if "no verified copy" in e.data["reason"]], 15
    )
    site = await running.site()
    assert not site["plans"][0]["ready"]


async def test_content_is_copied_ahead(running: Bureau) -> None:
    new = {"digest": "d2", "files": 101, "bytes": 1010, "text": "统计"}
    running.world.hosts["wcm"].content["/srv/site"] = new
    await running.until(lambda: running.world.hosts["web-backup"].content["/srv/site"]["digest"] == "d2")
    await running.until(lambda: running.events("content.copied"))
