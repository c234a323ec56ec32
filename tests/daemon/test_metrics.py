"""What Prometheus gets, judged by Prometheus itself: the exposition, and the rules over series of a real scrape."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.daemon.bureau import Bureau

RULES = Path(__file__).parents[2] / "configs/prometheus/failover.rules.yml"
MINUTES = 26 * 60


def promtool(*argv: str, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *argv], input=text, capture_output=True, text=True, timeout=60, check=False)


def samples(text: str) -> list[Sample]:
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def value(text: str, name: str, **labels: str) -> float:
    (found,) = [s.value for s in samples(text) if s.name == name and labels.items() <= s.labels.items()]
    return found


async def scrape(bureau: Bureau) -> str:
    status, text = await bureau.public("/metrics")
    assert status == 200
    return text


async def test_promtool_finds_nothing_to_say_about_a_scrape(running: Bureau) -> None:
    running.break_web()
    await running.until(lambda: running.ended(1))
    checked = promtool("check", "metrics", text=await scrape(running))
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


async def test_a_recovery_can_be_read_from_the_metrics(running: Bureau) -> None:
    before = await scrape(running)
    done = {"site": "bureau", "plan": "web", "kind": "recover", "result": "done"}
    assert value(before, "failover_plan_runs_total", **done) == 0
    assert value(before, "failover_role_holder", role="web", server="web") == 1
    assert value(before, "failover_address_holders", address="www") == 1
    assert value(before, "failover_plan_ready", plan="web") == 1
    assert value(before, "failover_probe_success", check="website") == 1
    assert value(before, "failover_probe_http_status_code", check="website") == 200
    running.break_web()
    await running.until(lambda: running.ended(1))
    await running.until(lambda: running.robot.got)
    after = await scrape(running)
    assert value(after, "failover_plan_runs_total", **done) == 1
    assert value(after, "failover_role_holder", role="web", server="web-backup") == 1
    assert value(after, "failover_role_at_home", role="web") == 0
    assert value(after, "failover_plan_step_duration_seconds_count", plan="web", step="3") == 1
    assert value(after, "failover_probe_runs_total", check="website", state="down") >= 2
    assert value(after, "failover_notifications_total", channel="robot", result="sent") >= 1
    assert "_created" not in after


async def test_labels_come_from_the_config_only(running: Bureau) -> None:
    running.break_web()
    await running.until(lambda: running.ended(1))
    known = {"site", "check", "standing", "phase", "state", "server", "role", "address", "place", "witness", "plan",
             "action", "severity", "kind", "result", "step", "channel", "about", "le", "version"}  # fmt: skip
    used = {name for sample in samples(await scrape(running)) for name in sample.labels}
    assert used <= known


async def test_only_loopbacks_own_names_are_answered(running: Bureau) -> None:
    assert (await running.public("/healthz"))[0] == 200
    assert (await running.public("/readyz"))[0] == 200
    assert (await running.public("/metrics", Host="localhost:9180"))[0] == 200
    for host in ("evil.example.cn", f"evil.example.cn:{running.port}", ""):
        assert (await running.public("/metrics", Host=host))[0] == 421
    assert (await running.public("/api/v1/status"))[0] == 404


async def test_a_monitor_that_stood_still_says_that_it_is_not_ready(running: Bureau) -> None:
    time.sleep(0.9)  # noqa: ASYNC251 - that is the fault: its own loop stands still
    await asyncio.sleep(0.2)
    status, text = await running.public("/readyz")
    assert status == 503
    assert json.loads(text)["ready"] is False
    assert "its own loop stood still" in json.loads(text)["reasons"][0]
    assert (await running.public("/healthz"))[0] == 200
    assert value(await scrape(running), "failover_ready") == 0


def test_promtool_finds_nothing_to_say_about_the_rules() -> None:
    checked = promtool("check", "rules", str(RULES))
    assert checked.returncode == 0, checked.stdout + checked.stderr


Case = tuple[str, str, dict[str, str], str, int]
CASES: Sequence[Case] = (
    # alert, the series that is changed, which of its labels, its values, and after how many minutes it fires
    ("FailoverNotReady", "failover_ready", {}, "0", 3),
    ("FailoverJournalUnwritable", "failover_journal_writable", {}, "0", 3),
    ("FailoverProbeStale", "failover_probe_last_run_timestamp_seconds", {"check": "website"}, "0", 5),
    ("FailoverCheckDown", "failover_check_standing", {"check": "website", "standing": "down"}, "1", 3),
    ("FailoverRunWaiting", "failover_run_under_way", {"state": "waiting"}, "1", 1),
    ("FailoverRunStopped", "failover_plan_runs_total", {"result": "stopped", "kind": "recover"}, "0 0 0 0 0 1", 8),
    ("FailoverAddressTwice", "failover_address_holders", {}, "2", 1),
    ("FailoverMonitorBlind", "failover_witness_seen", {}, "0", 4),
    ("FailoverPlanNotReady", "failover_plan_ready", {}, "0", 12),
    ("FailoverPlanWithLoss", "failover_plan_problems", {"severity": "loss"}, "1", 63),
    ("FailoverReadinessStale", "failover_plan_ready_last_asked_timestamp_seconds", {}, "0", 17),
    ("FailoverServerUnreachable", "failover_server_reachable", {"server": "web"}, "0", 7),
    ("FailoverContentStale", "failover_content_last_verified_timestamp_seconds", {"server": "web-backup"}, "0", 380),
    ("FailoverChannelFailing", "failover_channel_up", {}, "0", 12),
    ("FailoverConfigRefused", "failover_config_last_reload_successful", {}, "0", 7),
    ("FailoverAutomationOff", "failover_automation_on", {}, "0", 1445),
    ("FailoverNotAtHome", "failover_role_at_home", {"role": "web"}, "0", 1445),
    ("FailoverScheduleLate", "failover_schedule_lag_seconds_bucket", {"le": "+Inf"}, "rising", 12),
)


def quoted(name: str, labels: dict[str, str]) -> str:
    return name + "{" + ",".join(f"{key}={json.dumps(text)}" for key, text in labels.items()) + "}"


def series(found: Sequence[Sample], changed: Case | None) -> list[dict[str, str]]:
    """The scrape as it would go on: everything stays as it is, but for what the case changes."""
    made = []
    for sample in found:
        values = f"{sample.value:f}+0x{MINUTES}"
        if changed and sample.name == changed[1] and changed[2].items() <= sample.labels.items():
            if changed[3] == "rising":
                values = f"0+600x{MINUTES}"
            else:
                *first, last = changed[3].split()
                values = " ".join([*first, f"{last}+0x{MINUTES}"])
        made.append({"series": quoted(sample.name, sample.labels), "values": values})
    return made


def rule_test(found: Sequence[Sample], case: Case | None) -> dict[str, Any]:
    minutes = case[4] if case else 1500
    name = f'ALERTS{{alertstate="firing",alertname="{case[0]}"}}' if case else 'ALERTS{alertstate="firing"}'
    expected = []
    if case:
        rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
        severity = next(rule["labels"]["severity"] for rule in rules if rule.get("alert") == case[0])
        kept = {"FailoverMonitorBlind": ("site",), "FailoverScheduleLate": ("site",)}.get(case[0])
        for sample in found:
            if sample.name == case[1] and case[2].items() <= sample.labels.items():
                labels = {key: text for key, text in sample.labels.items() if kept is None or key in kept}
                labels |= {"alertname": case[0], "alertstate": "firing", "severity": severity}
                expected.append({"labels": quoted("ALERTS", labels), "value": 1})
    return {
        "interval": "1m",
        "input_series": series(found, case),
        "promql_expr_test": [{"expr": name, "eval_time": f"{minutes}m", "exp_samples": expected}],
    }


@pytest.fixture
def told(tmp_path: Path) -> Any:
    def run(tests: list[dict[str, Any]]) -> subprocess.CompletedProcess[str]:
        path = tmp_path / "rules.test.yml"
        path.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}))
        return promtool("test", "rules", str(path))

    return run


async def test_every_alert_fires_on_its_trouble_and_none_on_a_calm_day(running: Bureau, told: Any) -> None:
    found = [sample for sample in samples(await scrape(running)) if sample.name.startswith("failover_")]
    for case in CASES:
        assert any(s.name == case[1] and case[2].items() <= s.labels.items() for s in found), f"no series for {case[0]}"
    absent = {
        "interval": "1m",
        "input_series": [],
        "promql_expr_test": [
            {
                "expr": 'ALERTS{alertstate="firing"}',
                "eval_time": "5m",
                "exp_samples": [
                    {"labels": 'ALERTS{alertname="FailoverDown",alertstate="firing",severity="critical"}', "value": 1}
                ],
            }
        ],
    }
    tests = [absent, rule_test(found, None), *(rule_test(found, case) for case in CASES)]
    result = told(tests)
    assert result.returncode == 0, result.stdout + result.stderr
    alerts = {
        rule["alert"]
        for group in yaml.safe_load(RULES.read_text())["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
    assert alerts == {case[0] for case in CASES} | {"FailoverDown"}, "an alert without a test"


async def test_a_rule_that_never_fires_is_noticed(running: Bureau, told: Any) -> None:
    found = [sample for sample in samples(await scrape(running)) if sample.name.startswith("failover_")]
    planted = rule_test(found, ("FailoverNotReady", "failover_ready", {}, "1", 3))
    assert told([planted]).returncode == 1
