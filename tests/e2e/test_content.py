"""The content: half of a copy is never served, the last verified one always, and nothing good is deleted."""

import time

import pytest

from tests.e2e.bureau import Bureau
from tests.e2e.phone import Phone
from tests.e2e.recovery import tree
from tests.lab import Host, Oracle, Visitor

pytestmark = pytest.mark.lab

BIG = "/srv/site/yearbook"
STAGED = "find /srv/site.releases/.staging -path '*yearbook*' -type f 2>/dev/null | wc -l"


def stock(wcm: Host, megabytes: int) -> None:
    """Put files of 80 kB that can't be compressed beside the WCM's site; they are published by one rename."""
    wcm.run(
        f"rm -rf /srv/yearbook; mkdir /srv/yearbook; head -c {megabytes}M /dev/urandom |"
        " split -b 80K -a 5 - /srv/yearbook/page- && chmod -R a+rX /srv/yearbook",
        timeout=60,
    )


def test_the_wcm_dies_in_mid_copy_and_the_last_verified_copy_serves_with_its_age_said(
    bureau: Bureau, oracle: Oracle, visitor: Visitor, phone: Phone
) -> None:
    wcm, backup = bureau.lab.wcm, bureau.lab.web_backup
    before = tree(bureau, "web-backup")
    stock(wcm, 400)
    try:
        wcm.run(f"mv /srv/yearbook {BIG}")
        bureau.lab.web.kill_service("nginx")
        while_copying = f"for i in $(seq 3000); do [ $({STAGED}) -gt 20 ] && exit 0; sleep 0.01; done; exit 1"
        backup.run(while_copying, timeout=60)
        wcm.power_off()

        visitor.await_host("web-backup", within=40)
        run = bureau.until_run("recover", ("done",), 30)
        assert tree(bureau, "web-backup") == before, "not one file of the half copy is there"
        told = bureau.told(run)
        assert "with loss: " in told
        assert "the last verified copy serves, of 20" in told
        assert " old" in told
    finally:
        if not wcm.on:
            wcm.boot()
        wcm.run(f"rm -rf {BIG} /srv/yearbook")
    oracle.check()
    visitor.check_whole()


def test_web_fails_while_the_wcm_is_off_and_the_last_verified_copy_serves(
    bureau: Bureau, oracle: Oracle, visitor: Visitor
) -> None:
    before = tree(bureau, "web-backup")
    bureau.lab.wcm.power_off()
    bureau.until(lambda status: any(one["state"] == "unreachable" for one in status["servers"]), 20)
    time.sleep(3)  # several rounds of readiness
    assert bureau.plan()["ready"], "the plan can do without its source"

    bureau.lab.web.kill_service("nginx")
    visitor.await_host("web-backup", within=30)
    run = bureau.until_run("recover", ("done",), 20)
    told = bureau.told(run)
    assert "with loss: wcm can't say what it has" in told
    assert "no third place could look" in told
    assert tree(bureau, "web-backup") == before
    oracle.check()
    visitor.check_whole()


def test_the_backups_disk_is_full_and_its_site_stays_as_it_was(
    bureau: Bureau, oracle: Oracle, visitor: Visitor, phone: Phone
) -> None:
    wcm, backup = bureau.lab.wcm, bureau.lab.web_backup
    before = tree(bureau, "web-backup")
    backup.small_disk("/srv", size="8m")
    stock(wcm, 20)
    try:
        wcm.run(f"mv /srv/yearbook {BIG}")
        bureau.until_plan("bytes free for /srv/site; the next copy needs", 20)
        phone.await_page("bytes free for /srv/site", within=15, severity="warning")
        bureau.until(lambda status: "no-space" in status["ahead"].get("copy-ahead-web", ""), 20)
        assert not bureau.plan()["ready"]
        assert tree(bureau, "web-backup") == before
        assert int(backup.run("df --output=used -B1 /srv | tail -1").out) < 4_000_000, "nothing of it is left behind"
    finally:
        wcm.run(f"rm -rf {BIG} /srv/yearbook")
        backup.large_disk("/srv")
    oracle.check()
    assert {(reply.status, reply.by) for reply in visitor.replies} == {(200, "web")}


def test_a_source_that_was_emptied_deletes_nothing_and_only_a_person_moves_to_what_is_left(
    bureau: Bureau, oracle: Oracle, visitor: Visitor, phone: Phone
) -> None:
    wcm = bureau.lab.wcm
    before = tree(bureau, "web-backup")
    wcm.run("mkdir /srv/kept && cp -a /srv/site/. /srv/kept && rm -rf /srv/site/*")
    try:
        bureau.until_plan("web-backup doesn't take /srv/site: content was refused: wcm has no file at all", 20)
        phone.await_page("wcm has no file at all (source-suspect)", within=15, severity="warning")
        bureau.lab.web.kill_service("nginx")
        bureau.until_plan("web-backup is not ready", 20, action="alarm")
        phone.await_page("web-backup is not ready", within=15)
        assert bureau.moves() == []
        assert tree(bureau, "web-backup") == before

        bureau.cli("recover", "web", "--yes", "--force", "the WCM's disk died; what web-backup has is of this morning")
        visitor.await_host("web-backup", within=20)
        assert tree(bureau, "web-backup") == before, "not one file was deleted"
        assert "with loss: " in bureau.told(bureau.moves()[-1])
    finally:
        wcm.run("cp -a /srv/kept/. /srv/site && rm -rf /srv/kept")
    visitor.check_whole()
    oracle.check()


def test_what_the_wcm_publishes_after_the_takeover_reaches_the_new_holder(
    bureau: Bureau, oracle: Oracle, visitor: Visitor
) -> None:
    bureau.lab.web.kill_service("nginx")
    visitor.await_host("web-backup", within=20)
    bureau.until_run("recover", ("done",), 20)

    build = bureau.publish()
    visitor.await_until(lambda visitor: build in visitor.last.builds, within=15)
    assert visitor.last.by == "web-backup"
    visitor.check_whole()
    oracle.check()
