"""The web server fails in one way or another, and its backup takes over; or, rightly, nothing moves."""

from __future__ import annotations

import json

import pytest

from tests.e2e.bureau import Bureau
from tests.e2e.recovery import tree
from tests.lab import Oracle, Visitor

pytestmark = pytest.mark.lab
ADDRESS = "10.77.0.100"


def test_nginx_is_killed_and_visitors_are_served_by_the_backup(
    bureau: Bureau, oracle: Oracle, visitor: Visitor
) -> None:
    bureau.lab.web.kill_service("nginx")
    visitor.await_host("web-backup", within=15)
    run = bureau.until_run("recover", ("done",), 15)

    assert oracle.holders(ADDRESS) == ["web-backup"]
    assert oracle.overlap_seconds(ADDRESS) == 0
    assert tree(bureau, "web-backup") == tree(bureau, "wcm")
    shown = bureau.run_of(run["number"])
    assert [step["title"] for step in shown["steps"]] == [
        "www released by web",
        "www6 released by web",
        "/srv/site on web-backup as wcm has it",
        "www held by web-backup",
        "www6 held by web-backup",
        "website answers from web-backup",
    ]
    assert "refuses the connection" in shown["why"]
    assert "don't see it either" in shown["why"]
    assert bureau.holder() == "web-backup"
    assert "recover" in bureau.cli("explain", "--at", shown["opened_at"]).out


def test_it_fails_back_at_one_word_and_visitors_hardly_notice(bureau: Bureau, oracle: Oracle, visitor: Visitor) -> None:
    bureau.cli("switch", "web", "--yes")
    visitor.await_host("web-backup", within=10)
    bureau.ready(60)
    bureau.cli("switch", "web", "--yes")
    visitor.await_host("web", within=10)
    assert bureau.holder() == "web"
    assert visitor.outage_seconds() < 3
    assert not visitor.mixed()


def test_the_web_server_loses_power_and_its_fence_proves_it(bureau: Bureau, oracle: Oracle, visitor: Visitor) -> None:
    before = len(bureau.lab.outlets.orders)  # type: ignore[union-attr] # the lab is up
    bureau.lab.web.power_off()
    visitor.await_host("web-backup", within=30)
    run = bureau.until_run("recover", ("done",), 15)
    orders = bureau.lab.outlets.orders[before:]  # type: ignore[union-attr]
    assert orders[0] == "off web"
    says = [change["says"] for step in bureau.run_of(run["number"])["steps"] for change in step["changes"]]
    assert "cut web off by its fence" in says


def test_a_hung_web_server_is_down_for_visitors_and_so_for_us(bureau: Bureau, oracle: Oracle, visitor: Visitor) -> None:
    bureau.lab.web.hang_service("nginx")
    visitor.await_host("web-backup", within=30)
    bureau.until_run("recover", ("done",), 15)
    assert bureau.lab.outlets.orders.count("off web") == 0 or bureau.lab.web.on  # type: ignore[union-attr]


def test_a_frozen_host_answers_ping_and_is_cut_off_before_its_address_is_given_away(
    bureau: Bureau, oracle: Oracle, visitor: Visitor
) -> None:
    bureau.lab.web.freeze()
    visitor.await_host("web-backup", within=40)
    bureau.until_run("recover", ("done",), 15)
    assert not bureau.lab.web.on


def test_when_only_the_monitor_is_cut_from_the_web_server_nothing_moves(
    bureau: Bureau, oracle: Oracle, visitor: Visitor
) -> None:
    runs = len(bureau.runs("recover"))
    with bureau.lab.block("monitor", "web"):
        status = bureau.until(
            lambda s: any(c["name"] == "website" and c["standing"] == "down" for c in s["checks"]), 20
        )
        bureau.until(lambda s: any("see" in plan["reason"] for plan in s["plans"]), 10)
        bureau.monitor.run("sleep 6")
        assert len(bureau.runs("recover")) == runs
        reason = next(plan["reason"] for plan in bureau.status()["plans"] if plan["name"] == "web")
    assert status["roles"]
    assert "web-backup" in reason or "wcm" in reason, reason
    assert visitor.sees("web")


def test_a_monitor_that_is_cut_off_does_nothing_and_is_ready_again_after(
    bureau: Bureau, oracle: Oracle, visitor: Visitor
) -> None:
    runs = len(bureau.runs())
    with bureau.lab.cut("monitor"):
        bureau.until(lambda s: any(c["name"] == "website" and c["standing"] != "up" for c in s["checks"]), 20)
        bureau.monitor.run("sleep 8")
        assert [run for run in bureau.runs()[runs:] if run["kind"] == "recover"] == []
        assert visitor.sees("web")
    bureau.ready(60)
    assert [run for run in bureau.runs()[runs:] if run["kind"] == "recover"] == []


def test_when_all_servers_fail_at_once_it_is_the_network_and_nothing_moves(bureau: Bureau, oracle: Oracle) -> None:
    runs = len(bureau.runs("recover"))
    with bureau.lab.cut("web", "web-backup", "wcm"):
        bureau.until(lambda s: any(c["name"] == "website" and c["standing"] == "down" for c in s["checks"]), 30)
        bureau.monitor.run("sleep 8")
        status = bureau.status()
        assert len(bureau.runs("recover")) == runs
        assert status["incidents"]
    assert "off web" not in bureau.lab.outlets.orders[-1:]  # type: ignore[union-attr]


def test_a_standby_that_is_not_ready_is_known_before_and_nothing_moves_into_it(bureau: Bureau, oracle: Oracle) -> None:
    bureau.lab.web_backup.run("systemctl stop nginx && systemctl mask -q nginx")
    status = bureau.until(lambda s: not all(plan["ready"] for plan in s["plans"]), 60)
    assert "web-backup" in str(status["plans"])
    runs = len(bureau.runs("recover"))
    bureau.lab.web.kill_service("nginx")
    bureau.until(lambda s: any(c["name"] == "website" and c["standing"] == "down" for c in s["checks"]), 20)
    bureau.monitor.run("sleep 4")
    assert len(bureau.runs("recover")) == runs
    assert oracle.holders(ADDRESS) == ["web"]


def test_what_the_wcm_publishes_after_a_takeover_reaches_the_new_holder(
    bureau: Bureau, oracle: Oracle, visitor: Visitor
) -> None:
    bureau.cli("switch", "web", "--yes")
    visitor.await_host("web-backup", within=10)
    bureau.lab.publish("build-2")
    visitor.await_until(lambda v: v.good[-1].builds == ("build-2",), within=60)
    assert visitor.sees("web-backup")


def test_a_second_order_while_a_run_is_under_way_is_answered_with_the_running_one(bureau: Bureau) -> None:
    script = "failover switch web --yes & sleep 0.15; failover switch web --yes; echo code $?; wait"
    said = bureau.monitor.run(script, check=False, timeout=60)
    assert "code 75" in said.out, said
    assert "under way" in said.err


def test_a_bad_config_changes_nothing(bureau: Bureau) -> None:
    good = bureau.monitor.read("/etc/failover/failover.yaml")
    try:
        bureau.write_config(good.replace("address_held", "adress_held"))
        refused = bureau.cli("reload", check=False)
        assert refused.code == 78
        assert "adress_held" in refused.err
        assert bureau.status()["plans"][0]["ready"]
    finally:
        bureau.write_config(good)
        bureau.cli("reload")


def test_a_second_daemon_is_refused(bureau: Bureau) -> None:
    second = bureau.monitor.run(
        "runuser -u failover -- failover daemon --config /etc/failover/failover.yaml", check=False, timeout=20
    )
    assert second.code not in (0, 78)
    assert second.err.strip()
    assert bureau.status()


MOMENTS = ("run.opened", "change.intended:1", "change.outcome:1", "step.done:3", "change.intended:3", "step.done:5")


@pytest.mark.parametrize("moment", MOMENTS)
def test_kill_9_of_the_daemon_in_mid_run_leaves_one_plan_finished_or_undone(
    bureau: Bureau, oracle: Oracle, moment: str
) -> None:
    kind, _, number = moment.partition(":")
    bureau.kill_at(kind, int(number or 1))
    bureau.lab.web.kill_service("nginx")
    run = bureau.until_restarted(within=60)
    assert run["state"] in ("done", "undone")
    holders = oracle.holders(ADDRESS)
    assert holders == (["web-backup"] if run["state"] == "done" else ["web"])
    assert bureau.holder() == holders[0]
    changes = [change for step in bureau.run_of(run["number"])["steps"] for change in step["changes"]]
    given = [
        one for one in changes if one["says"] == f"give {ADDRESS}/24 on eth0 to web-backup" and one["result"] == "ok"
    ]
    assert len(given) <= 1
    assert json.loads(bureau.cli("audit", "verify", "-o", "json").out)["sound"]
