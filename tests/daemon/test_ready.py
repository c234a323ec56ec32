"""``failover ready`` on a whole daemon: every number that it shows is traced to where it was measured."""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner

from failover.cli.main import FAILED, OK, cli
from failover.model import utc_now
from failover.recover.work import ASSUMED_SECONDS
from tests.daemon.bureau import Bureau
from tests.daemon.test_metrics import scrape, value

Json = dict[str, Any]
CONFIG = {"every": 0.5, "confirm_every": 0.05, "timeout": 1.0, "fall": 3}
"""Of the check ``website``, as tests/daemon/live.py writes it."""


async def asked(bureau: Bureau) -> Json:
    """The plan as it is after the next time that it is asked."""
    since = utc_now()
    readiness = bureau.daemon.houses["bureau"].monitor.readiness  # type: ignore[union-attr]
    readiness.ask_soon()
    await bureau.until(lambda: readiness.known["web"].at > since, 15)
    (plan,) = (await bureau.get("/ready", plan="web"))["plans"]
    found: Json = plan
    return found


def typed(bureau: Bureau, *words: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, ["--socket", str(bureau.folder / "api.sock"), *words], standalone_mode=False)
    assert result.exception is None, result.exception
    return result.return_value, result.output


@contextmanager
def watched(bureau: Bureau, server: str, verb: str) -> Iterator[list[float]]:
    """How long each question of that kind took, timed beside the server itself."""
    took: list[float] = []
    began: list[float] = []

    def at(where: str) -> None:
        if where == f"before ask {server} {verb}":
            began.append(time.monotonic())
        elif where == f"after ask {server} {verb}":
            took.append(time.monotonic() - began.pop())

    bureau.world.at_call = at
    try:
        yield took
    finally:
        bureau.world.at_call = lambda _where: None


def part(plan: Json, step: int) -> Json:
    (found,) = [one for one in plan["forecast"]["parts"] if one["step"] == step]
    result: Json = found
    return result


def journal_says(bureau: Bureau, one: Json) -> list[float]:
    """The seconds that the lines named by a part hold, read from the journal itself."""
    found = []
    for source in one["sources"]:
        assert source["kind"] == "journal"
        (line,) = bureau.journal.events(after=source["event"] - 1, limit=1)
        assert (line.seq, line.run, line.kind) == (source["event"], source["run"], "step.done")
        found.append(line.data["seconds"])
    return found


# every number ---------------------------------------------------------------------------------------------------------


async def test_before_any_run_numbers_come_from_config_answers_and_assumptions(running: Bureau) -> None:
    with watched(running, "wcm", "manifest") as took:
        plan = await asked(running)
    usual = running.daemon.houses["bureau"].monitor.checks.readings["website"].seconds  # type: ignore[union-attr]
    detection, compared = part(plan, 0), part(plan, 2)
    confirming = (CONFIG["fall"] - 1) * CONFIG["confirm_every"]
    least = CONFIG["every"] / 2 + confirming
    assert least < detection["seconds"] < least + 3 * (usual + 0.25)
    assert detection["worst_seconds"] == CONFIG["every"] + CONFIG["fall"] * CONFIG["timeout"] + confirming
    assert [source["kind"] for source in detection["sources"]] == ["config"]
    assert any(compared["seconds"] == pytest.approx(one, abs=0.004) for one in took), (compared, took)
    assert [source["kind"] for source in compared["sources"]] == ["asked"]
    for step, kind in ((1, "released"), (3, "address_held"), (4, "answers")):
        assert part(plan, step)["seconds"] == ASSUMED_SECONDS[kind]
        assert [source["kind"] for source in part(plan, step)["sources"]] == ["assumed"]
    told = plan["forecast"]
    assert told["rto_seconds"] == pytest.approx(sum(one["seconds"] for one in told["parts"]), abs=0.001)
    assert told["rto_worst_seconds"] == pytest.approx(sum(one["worst_seconds"] for one in told["parts"]), abs=0.001)
    assert told["waits"] == ["where web is silent, the address waits for a person's word (`off:web`)"]


async def test_after_runs_every_step_takes_the_median_of_its_lines_in_the_journal(running: Bureau) -> None:
    running.break_web()
    await running.until(lambda: running.ended(1))
    running.mend_web()
    for number in (2, 3):
        await running.until(lambda: running.daemon.houses["bureau"].monitor.checks.healths["website"].standing == "up")  # type: ignore[union-attr]
        await running.post("/runs", verb="switch", role="web")
        await running.until(lambda number=number: running.ended(number))  # type: ignore[misc]  # bound now
    plan = await asked(running)
    assert (plan["holder"], plan["standby"]) == ("web-backup", "web")
    for step in (1, 3, 4):
        found = part(plan, step)
        times = journal_says(running, found)
        assert times
        assert found["seconds"] == pytest.approx(statistics.median(times), abs=1e-4)
        assert found["worst_seconds"] == pytest.approx(max(times), abs=1e-4)
        assert {source["run"] for source in found["sources"]} == {2}, "web took the role in run 2 alone"


async def test_nobody_is_asked_while_a_run_moves_a_role(running: Bureau) -> None:
    readiness = running.daemon.houses["bureau"].monitor.readiness  # type: ignore[union-attr]
    at_work, go_on = threading.Event(), threading.Event()
    asked: list[str] = []

    def hold(where: str) -> None:
        if where == "before ask web-backup fitness":  # which nothing but readiness asks
            asked.append(where)
        if where == "before change web address":
            at_work.set()
            go_on.wait(10)

    running.world.at_call = hold
    try:
        await running.post("/runs", verb="switch", role="web")
        await running.until(at_work.is_set)
        await asyncio.sleep(1.0)  # what was being asked when it began may come to its end
        known = dict(readiness.known)
        asked.clear()
        readiness.ask_soon()
        await asyncio.sleep(1.5)
        assert readiness.known == known
        assert asked == []
    finally:
        go_on.set()
    await running.until(lambda: running.ended(1))
    await running.until(lambda: readiness.known["web"].at > known["web"].at, 15)
    assert asked, "and it is asked again afterwards"


async def test_what_would_be_lost_is_the_age_of_the_verified_copy(running: Bureau) -> None:
    plan = await asked(running)
    assert (plan["forecast"]["rpo_seconds"], plan["readiness"]) == (0, "ready")
    await running.until(lambda: running.daemon.houses["bureau"].copies.last("web-backup", "/srv/site"))  # type: ignore[union-attr]
    running.world.hosts["wcm"].on = False
    plan = await asked(running)
    checked = running.daemon.houses["bureau"].copies.last("web-backup", "/srv/site")  # type: ignore[union-attr]
    (held,) = plan["forecast"]["data"]
    assert checked is not None
    assert held["what"] == "/srv/site on web-backup"
    assert datetime.fromisoformat(held["as_of"]) == checked.at
    assert plan["forecast"]["rpo_seconds"] == pytest.approx((utc_now() - checked.at).total_seconds(), abs=1)
    assert plan["readiness"] == "ready with loss"
    (loss,) = [problem for problem in plan["problems"] if problem["severity"] == "loss"]
    assert loss["about"] == "wcm"
    assert loss["text"].startswith("wcm can't say what it has (no session): the last verified copy would serve")


async def test_a_problem_says_when_it_was_measured(running: Bureau) -> None:
    running.world.hosts["web-backup"].lacks.append("the helper has no capability net_admin")
    before = utc_now()
    plan = await asked(running)
    (problem,) = plan["problems"]
    measured = datetime.fromisoformat(problem["measured_at"])
    assert before < measured <= datetime.fromisoformat(plan["asked_at"])
    assert (problem["severity"], problem["about"]) == ("stops", "web-backup")


# how it stands --------------------------------------------------------------------------------------------------------


def old_policy(bureau: Bureau) -> None:
    bureau.world.hosts["web-backup"].helper["policy_sha256"] = "0" * 64
    bureau.world.hosts["web-backup"].policy["addresses"] = []


def stranger(bureau: Bureau) -> None:
    bureau.world.strangers["127.77.0.100"] = "02:ff:00:00:00:01"


def blind(bureau: Bureau) -> None:
    bureau.world.gateway.end()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (old_policy, "the policy of web-backup isn't current (sha256 000000000000…"),
        (stranger, "02:ff:00:00:00:01 answers for 127.77.0.100 and isn't web"),
        (blind, "no witness is seen (tcp 127.77.0.1:"),
    ],
)
async def test_what_stops_a_plan_is_said_and_since_when(
    running: Bureau, spoil: Callable[[Bureau], None], said: str
) -> None:
    good = await asked(running)
    assert (good["readiness"], good["problems"]) == ("ready", [])
    before = utc_now()
    spoil(running)
    await running.until(
        lambda: not running.daemon.houses["bureau"].monitor.readiness.known["web"].stands.works  # type: ignore[union-attr]
    )
    plan = await asked(running)
    assert plan["readiness"] == "not ready"
    assert datetime.fromisoformat(plan["since"]) >= before > datetime.fromisoformat(good["since"])
    (problem,) = [one for one in plan["problems"] if one["severity"] == "stops"]
    assert problem["text"].startswith(said)
    again = await asked(running)
    assert again["since"] == plan["since"]


async def test_a_blind_monitor_is_no_fault_of_the_standby(running: Bureau) -> None:
    blind(running)
    readiness = running.daemon.houses["bureau"].monitor.readiness  # type: ignore[union-attr]
    await running.until(lambda: not readiness.known["web"].stands.works)
    assert readiness.stops("web") == ()


async def test_a_restart_of_the_daemon_begins_no_new_since(running: Bureau) -> None:
    old_policy(running)
    before = await asked(running)
    await running.until(lambda: running.events("plan.forecast")[-1].data["ready"] == "not ready")
    since = before["since"]
    await running.stop()
    await running.start()
    old_policy(running)  # what the toys were made with was enrolled anew
    monitor = running.daemon.houses["bureau"].monitor  # type: ignore[union-attr]
    await running.until(lambda: "web" in monitor.readiness.known)
    assert (await asked(running))["since"] == since


# told -----------------------------------------------------------------------------------------------------------------


async def test_the_command_fits_a_screen_and_its_exit_code_says_whether(running: Bureau) -> None:
    await asked(running)
    code, text = await asyncio.to_thread(typed, running, "ready")
    assert code == OK
    assert text.splitlines()[0].startswith("web: ready for ")
    assert "back in" in text
    assert "assumed" in text
    assert len(text.splitlines()) < 24
    assert max(map(len, text.splitlines())) < 140
    running.world.hosts["web-backup"].on = False
    await asked(running)
    code, text = await asyncio.to_thread(typed, running, "ready", "web")
    assert code == FAILED
    assert "stops: web-backup: no session" in text
    assert "once that is mended, back in" in text
    code, _ = await asyncio.to_thread(typed, running, "ready", "-o", "json")
    assert code == FAILED


async def test_metrics_are_the_same_numbers(running: Bureau) -> None:
    plan = await asked(running)
    text = await scrape(running)
    told = plan["forecast"]
    assert value(text, "failover_plan_ready", plan="web") == 1
    for name in ("rto", "rto_worst"):
        found = value(text, f"failover_plan_predicted_{name}_seconds", plan="web")
        assert found == pytest.approx(told[f"{name}_seconds"], abs=0.1)
    assert value(text, "failover_plan_predicted_rpo_seconds", plan="web") == pytest.approx(0, abs=5)
    assert value(text, "failover_plan_problems", plan="web", severity="stops") == 0
    assert value(text, "failover_plan_ready_interval_seconds", plan="web") == 1
    at = value(text, "failover_plan_ready_last_asked_timestamp_seconds", plan="web")
    assert at == pytest.approx(utc_now().timestamp(), abs=5)
    running.world.hosts["web-backup"].on = False
    await asked(running)
    text = await scrape(running)
    assert value(text, "failover_plan_ready", plan="web") == 0
    assert value(text, "failover_plan_problems", plan="web", severity="stops") >= 1


async def test_the_journal_has_the_forecast_before_the_run_and_the_run_stands_beside_it(running: Bureau) -> None:
    running.break_web()
    await running.until(lambda: running.ended(1))
    run = await running.get("/runs/1")
    told = run["forecast"]
    opened = running.events("run.opened")[0]
    (line,) = running.journal.events(after=told["event"] - 1, limit=1)
    assert (line.kind, line.data["plan"]) == ("plan.forecast", "web")
    assert line.seq < opened.seq
    assert told["rto_seconds"] == line.data["rto_seconds"]
    rows = {row["name"].partition(".")[0]: row for row in told["rows"]}
    for step in run["steps"]:
        row = rows[str(step["number"])]
        assert row["measured_seconds"] >= step["seconds"]
        assert row["predicted_seconds"] == pytest.approx(
            sum(s for name, s in line.data["parts"].items() if line.data["steps"][name] == step["number"])
        )
    failed = next(
        e for e in running.events("verdict.changed") if e.data["was"] == "up" and e.data["check"] == "website"
    )
    measured = (opened.at - failed.at).total_seconds()
    assert rows["detection"]["measured_seconds"] == pytest.approx(measured, abs=1e-3)
    _, text = await asyncio.to_thread(typed, running, "runs", "show", "1")
    assert "foretold" in text
    assert "measured" in text


async def test_a_forecast_is_written_when_something_is_new_only(running: Bureau) -> None:
    await asked(running)
    count = len(running.events("plan.forecast"))
    for _ in range(3):
        await asked(running)
    assert len(running.events("plan.forecast")) == count
    running.world.hosts["web-backup"].on = False
    await asked(running)
    await running.until(lambda: len(running.events("plan.forecast")) > count)
    newest = running.events("plan.forecast")[-1].data
    assert newest["ready"] == "not ready"
    assert any("no session" in text for text in newest["problems"])


async def test_a_plan_that_isnt_ready_for_too_long_pages_people(bureau: Bureau) -> None:
    text = bureau.places.config.read_text().replace("settle: 1s", "settle: 1s, not_ready_after: 3s")
    bureau.places.config.write_text(text)
    await bureau.start()
    await bureau.settled()
    began = utc_now()
    bureau.world.hosts["web-backup"].lacks.append("the helper has no capability net_admin")
    await bureau.until(lambda: [e for e in bureau.events("incident.opened") if e.data["about"] == "plan web"], 15)
    (opened,) = [e for e in bureau.events("incident.opened") if e.data["about"] == "plan web"]
    assert opened.data["severity"] == "warning"

    def paged() -> list[Any]:
        found = [e for e in bureau.events("incident.changed") if e.data["about"] == "plan web"]
        return [e for e in found if e.data["severity"] == "page"]

    await bureau.until(paged, 15)
    assert paged()[0].at - began >= timedelta(seconds=3)
    assert "no capability net_admin" in paged()[0].data["reason"]
    await bureau.until(lambda: any("no capability" in str(got) for got in bureau.robot.got), 15)
