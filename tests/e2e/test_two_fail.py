"""A second server fails after, or with, the first: the rows marked `lab` in docs/failures.md, with real servers."""

from __future__ import annotations

import pytest

from tests.e2e.bureau import Bureau, Status
from tests.e2e.recovery import shows_newest, tree
from tests.e2e.town import Town, all_well
from tests.lab import Oracle, Visitor, Writer
from tests.lab.databases import markers

pytestmark = pytest.mark.lab


def others_calm(status: Status) -> bool:
    """The plans of the web and of the database would work and have nothing to do."""
    plans = [plan for plan in status["plans"] if plan["name"] != "wcm"]
    return all(plan["ready"] and plan["action"] == "nothing" for plan in plans)


def test_web_fails_after_the_wcm_moved_and_its_pages_come_from_the_wcm_that_publishes_now(
    whole: Bureau, oracle_of_whole: Oracle, visitor_of_whole: Visitor
) -> None:
    with Writer(whole.lab, every=3.0) as writer:
        whole.lab.wcm.power_off()
        writer.await_accepted(1, within=60, by="wcm-backup")
        whole.until_run("recover", ("done",), 20)
        whole.until(others_calm, 40)

    whole.lab.web.kill_service("nginx")
    visitor_of_whole.await_host("web-backup", within=30)
    moves = whole.moves()
    assert [(one["role"], one["new"]) for one in moves] == [("wcm", "wcm-backup"), ("web", "web-backup")]
    whole.until(lambda _: whole.run_of(moves[1]["number"])["state"] == "done", 20)
    assert "/srv/site on web-backup as wcm-backup has it" in whole.told(moves[1])
    assert shows_newest(whole, writer)
    assert tree(whole, "web-backup") == tree(whole, "wcm-backup")


def test_the_database_fails_after_the_wcm_moved_and_the_wcm_of_now_writes_to_the_new_one(
    whole: Bureau, oracle_of_whole: Oracle, visitor_of_whole: Visitor
) -> None:
    with Writer(whole.lab, every=2.0) as writer:
        whole.lab.wcm.kill_service("wcm")
        writer.await_accepted(1, within=60, by="wcm-backup", into="db")
        whole.until_run("recover", ("done",), 20)
        whole.until(others_calm, 40)
        with visitor_of_whole.may_see_older():  # what was published since the last backup is lost, and said to be
            whole.lab.db.power_off()
            moved = writer.await_accepted(2, within=90, by="wcm-backup", into="db-backup")
            whole.until_run("recover", ("done",), 30, after=whole.moves()[0]["number"])
            whole.until(lambda _: shows_newest(whole, writer), 15)
    assert {one.marker for one in moved} <= set(markers(whole.lab, whole.lab.db_backup))
    assert [(one["role"], one["new"]) for one in whole.moves()] == [("wcm", "wcm-backup"), ("database", "db-backup")]
    there = whole.lab.wcm.read("/etc/wcm/database.env")
    assert "DATABASE_HOST=10.77.0.32" in there, "nor does the WCM that stands by wake up to the old one"
    assert {reply.by for reply in visitor_of_whole.good} == {"web"}


def test_web_fails_and_the_wcm_loses_its_power_at_once_and_the_last_verified_copy_serves(
    whole: Bureau, oracle_of_whole: Oracle, visitor_of_whole: Visitor
) -> None:
    verified = tree(whole, "web-backup")
    whole.lab.wcm.power_off()
    whole.lab.web.kill_service("nginx")
    visitor_of_whole.await_host("web-backup", within=40)
    first = visitor_of_whole.last
    assert first.good
    whole.until(lambda status: {one["holder"] for one in status["roles"]} == {"web-backup", "wcm-backup", "db"}, 60)
    moves = whole.moves()
    assert [(one["role"], one["new"]) for one in moves] == [("web", "web-backup"), ("wcm", "wcm-backup")]
    assert "the last verified copy serves, of 20" in whole.told(moves[0])
    assert verified
    with Writer(whole.lab, every=2.0) as writer:
        writer.await_accepted(1, within=30, by="wcm-backup")
        whole.until(lambda _: shows_newest(whole, writer), 30)


def test_web_loses_its_power_with_its_backup_and_nothing_moves_and_people_are_told_why(
    whole: Bureau, city: Town, oracle_of_whole: Oracle
) -> None:
    whole.lab.web_backup.power_off()
    whole.lab.web.power_off()
    whole.until_plan("the standby web-backup can't be reached", 40, action="alarm")
    city.phone.await_page("plan web doesn't run: ", within=20)
    # One that began before it was known that its backup is gone too has given up before it moved anything.
    assert {one["state"] for one in whole.moves()} <= {"undone"}, whole.moves()
    assert oracle_of_whole.holders("10.77.0.100") == [], "web has no power, and nobody took its address"
    whole.lab.web.boot()  # before its backup, which would take over as soon as it could
    whole.until(lambda _: oracle_of_whole.holders("10.77.0.100") == ["web"], 60)
    whole.lab.web_backup.boot()
    whole.until(all_well, 60)
    assert oracle_of_whole.holders("10.77.0.100") == ["web"], "it is given back to its holder"
