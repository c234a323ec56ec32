"""The web server fails in every way that a web server fails in, and its backup serves under the same address."""

from pathlib import Path

import pytest

from tests.e2e.bureau import Bureau, Run
from tests.e2e.phone import Phone
from tests.e2e.recovery import tree
from tests.lab import Oracle, Visitor

pytestmark = pytest.mark.lab

DRIP = Path(__file__).with_name("programs") / "drip.py"


def moved(bureau: Bureau, oracle: Oracle, visitor: Visitor, *, outage_under: float) -> Run:
    """The backup took over within so many seconds, with the WCM's content, and never did two have the address."""
    visitor.await_host("web-backup", within=outage_under + 15)
    run = bureau.until_run("recover", ("done",), 20)
    visitor.stop()
    oracle.check()
    visitor.check_whole()
    assert visitor.outage_seconds() < outage_under
    assert oracle.holders("10.77.0.100") == oracle.holders("fd77::100") == ["web-backup"]
    assert tree(bureau, "web-backup") == tree(bureau, "wcm")
    assert [one["number"] for one in bureau.moves()] == [run["number"]], "one failure is one run"
    return run


def test_nginx_is_killed_and_its_backup_takes_over(
    bureau: Bureau, oracle: Oracle, visitor: Visitor, phone: Phone
) -> None:
    bureau.lab.web.kill_service("nginx")

    run = moved(bureau, oracle, visitor, outage_under=5)
    assert run["by"] == "daemon"
    assert "10.77.0.100:80 refuses the connection" in run["why"]
    assert "web-backup, wcm don't see it either; plan web moves web from web to web-backup" in run["why"]
    told = bureau.told(run)
    in_order = [
        "/srv/site on web-backup as wcm has it",
        "take 10.77.0.100/24 from web",
        "take fd77::100/64 from web",
        "give 10.77.0.100/24 on eth0 to web-backup",
        "give fd77::100/64 on eth0 to web-backup",
        "website answers from web-backup",
        f"run {run['number']} done",
    ]
    places = [told.index(sentence) for sentence in in_order]
    assert places == sorted(places), told
    explained = bureau.cli("explain", "--at", run["opened_at"]).out
    assert explained.startswith("web: recover"), explained
    assert "decided again now, from the same situation: the same" in explained
    phone.await_page("website is down", within=10)
    phone.await_page("web moves from web to web-backup", within=10, severity="warning")


def test_web_loses_power_and_its_fence_proves_that(bureau: Bureau, oracle: Oracle, visitor: Visitor) -> None:
    bureau.lab.web.power_off()

    run = moved(bureau, oracle, visitor, outage_under=12)
    assert "cut web off by its fence" in bureau.told(run)


def test_nginx_hangs_and_goes_on_accepting(bureau: Bureau, oracle: Oracle, visitor: Visitor) -> None:
    bureau.lab.web.hang_service("nginx")

    run = moved(bureau, oracle, visitor, outage_under=8)
    assert "fence" not in bureau.told(run), "web itself answers, so it can let go by itself"
    assert bureau.lab.web.on


def test_web_freezes_while_its_kernel_still_answers_pings_and_is_fenced(
    bureau: Bureau, oracle: Oracle, visitor: Visitor
) -> None:
    bureau.lab.web.freeze()

    run = moved(bureau, oracle, visitor, outage_under=20)
    assert "cut web off by its fence" in bureau.told(run)
    assert not bureau.lab.web.on, "what thaws later must not have the address"


def test_a_page_that_drips_fails_in_time(bureau: Bureau, oracle: Oracle, visitor: Visitor) -> None:
    web = bureau.lab.web
    web.write("/usr/local/lib/drip.py", DRIP.read_text())
    try:
        web.run("systemctl stop nginx; systemd-run -q --unit drip python3 /usr/local/lib/drip.py 80")

        run = moved(bureau, oracle, visitor, outage_under=8)
    finally:
        web.run("systemctl stop drip")
    assert "within 700 ms" in run["why"] or "0.7 s" in run["why"], run["why"]


def test_a_restart_in_place_heals_and_nothing_moves(
    bureau: Bureau, oracle: Oracle, visitor: Visitor, phone: Phone
) -> None:
    plan = bureau.config.replace(
        "      - released: {address: www}",
        "      - service_running: {unit: nginx, on: old, heals: website}\n      - released: {address: www}",
    )
    with bureau.other_config(plan):
        bureau.ready()
        bureau.lab.web.kill_service("nginx")
        run = bureau.until_run("recover", ("done",), 20)
        visitor.await_host("web", within=5)
        visitor.stop()

        assert run["reason"] == "healed in place: nginx was restarted on web"
        assert {reply.by for reply in visitor.good} == {"web"}
        assert visitor.outage_seconds() < 5
        assert [span.host for span in oracle.held("10.77.0.100")] == ["web"], "it never left"
        assert bureau.holder() == "web"
        phone.await_page("healed in place", within=10, severity="info")
