"""The WCM fails: its backup takes over, alone; editors go on, and the website never notices."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.bureau import Bureau
from tests.e2e.recovery import shows_newest
from tests.e2e.town import Town, all_well
from tests.lab import Oracle, Visitor, Writer

pytestmark = pytest.mark.lab

STARTS = "for i in $(seq 600); do systemctl is-active wcm | grep -q ^activating && exit 0; sleep 0.05; done; exit 1"
UPLOAD = "/srv/wcm/media/images/upload.txt"


@contextmanager
def people(whole: Bureau) -> Iterator[tuple[Writer, Visitor]]:
    """An editor who publishes every two seconds, a visitor who is served by web, and an oracle: no address moves."""
    with Oracle(whole.lab) as oracle, Visitor(whole.lab.client) as visitor, Writer(whole.lab, every=2.0) as writer:
        visitor.await_host("web", within=15)
        writer.await_accepted(1, within=20, by="wcm")
        yield writer, visitor
    oracle.check()
    visitor.check_whole()
    assert {reply.by for reply in visitor.good} == {"web"}, "the website has nothing to do with it"
    assert whole.holder("web") == "web"


def one_writes(whole: Bureau) -> None:
    """wcm-backup runs the WCM, and wcm doesn't and couldn't (I12)."""
    if whole.lab.wcm.on:
        whole.lab.wcm.run("! systemctl is-active -q wcm")
        assert "Assertion failed" in whole.lab.wcm.run("systemctl start wcm", check=False).err
        whole.lab.wcm.run("! systemctl is-active -q wcm")
    whole.lab.wcm_backup.run("systemctl is-active -q wcm")


def test_the_wcm_is_killed_and_its_backup_goes_on_with_the_uploads(whole: Bureau, city: Town) -> None:
    whole.lab.wcm.run(f"install -D -o wcm -g wcm /dev/stdin {UPLOAD}", stdin="an upload of today")
    whole.until(lambda _: whole.lab.wcm_backup.exists(UPLOAD), 30)
    with people(whole) as (writer, _):
        whole.lab.wcm.kill_service("wcm")
        writer.await_accepted(2, within=60, by="wcm-backup", into="db")
        run = whole.until_run("recover", ("done",), 20)
        assert [one["number"] for one in whole.moves()] == [run["number"]]
        assert (whole.holder("wcm"), whole.holder("database")) == ("wcm-backup", "db")
        one_writes(whole)
        whole.until(lambda _: shows_newest(whole, writer), 15)
    assert whole.lab.wcm_backup.read(UPLOAD) == "an upload of today"
    assert writer.missing(whole.lab.db) == [], "not one accepted publication is lost"
    city.phone.await_page("wcm is down", within=10)


def test_the_wcm_loses_its_power_and_comes_back_while_its_backup_starts(whole: Bureau) -> None:
    with people(whole) as (writer, _):
        whole.lab.wcm.power_off()
        whole.lab.wcm_backup.run(STARTS, timeout=60)
        whole.lab.wcm.boot()
        writer.await_accepted(2, within=60, by="wcm-backup")
        run = whole.until_run("recover", ("done",), 20)
        assert "cut wcm off by its fence" in whole.told(run), "silence is no proof"
        whole.until(lambda status: all(one["state"] == "reachable" for one in status["servers"]), 30)
        time.sleep(2)  # whatever starts by itself after a boot would have
        one_writes(whole)
        assert {one.by for one in writer.accepted if one.began > time.time() - 5} <= {"wcm-backup"}

        whole.cli("ack", "wcm", "--why", "wcm has power again")
        whole.until(all_well, 40)
        whole.cli("switch", "wcm", "--yes", timeout=90)  # the way back
        writer.await_accepted(2, within=30, by="wcm")
    assert writer.missing(whole.lab.db) == []
    whole.lab.wcm_backup.run("! systemctl is-active -q wcm")


def test_the_wcm_hangs_and_is_stopped_before_its_backup_starts(whole: Bureau) -> None:
    with people(whole) as (writer, _):
        whole.lab.wcm.hang_service("wcm")
        writer.await_accepted(2, within=90, by="wcm-backup", into="db")
        run = whole.until_run("recover", ("done",), 20)
        assert "stop wcm.service on wcm" in whole.told(run)
        one_writes(whole)
    assert writer.missing(whole.lab.db) == []


def test_a_port_in_use_on_the_backup_is_known_before_names_its_holder_and_kills_nothing(
    whole: Bureau, city: Town
) -> None:
    backup = whole.lab.wcm_backup
    backup.run("systemd-run -q --unit squatter python3 -m http.server 8000")
    try:
        whole.until_plan("port 8000 is held", 20, name="wcm")
        assert "squatter.service" in "; ".join(whole.plan("wcm")["problems"])
        city.phone.await_page("port 8000 is held", within=15, severity="warning")
        whole.lab.wcm.kill_service("wcm")
        whole.until_plan("plan wcm doesn't run", 20, action="alarm", name="wcm")
        assert whole.moves() == []
        forced = whole.cli("recover", "wcm", "--force", "I want to see why", "--yes", check=False, timeout=90)
        assert forced.code != 0
        run = whole.until_run("recover", ("undone", "stopped"), 30)
        assert "squatter.service" in run["reason"]
        backup.run("systemctl is-active -q squatter")
        assert whole.holder("wcm") == "wcm"
    finally:
        backup.run("systemctl stop squatter", check=False)
        whole.lab.wcm.run("systemctl reset-failed wcm; systemctl start wcm", check=False)
