"""What would keep a recovery from working is known in daylight, and at night nothing is moved into it."""

import time

import pytest

from tests.e2e.bureau import Bureau
from tests.e2e.phone import Phone
from tests.e2e.town import STRANGER
from tests.lab import Oracle, Visitor

pytestmark = pytest.mark.lab


def test_a_backup_whose_nginx_is_stopped_is_known_before_it_is_needed_and_nothing_moves_there(
    bureau: Bureau, oracle: Oracle, visitor: Visitor, phone: Phone
) -> None:
    bureau.lab.web_backup.run("systemctl stop nginx")
    bureau.until_plan("web-backup doesn't serve website", 15)
    assert not bureau.plan()["ready"]
    bureau.until(lambda status: any(one["about"] == "plan web" for one in status["incidents"]), 10)
    phone.await_page("plan web wouldn't work now", within=15, severity="warning")

    bureau.lab.web.kill_service("nginx")
    bureau.until_plan("web-backup is not ready", 15, action="alarm")
    phone.await_page("web-backup is not ready", within=15)
    time.sleep(2)
    assert bureau.moves() == []
    assert oracle.holders("10.77.0.100") == ["web"]
    oracle.check()


def test_a_backup_without_a_verified_copy_is_known_before_it_is_needed(bureau: Bureau, phone: Phone) -> None:
    bureau.lab.wcm.power_off()  # or the copy would be there again at once
    backup = bureau.lab.web_backup
    kept = backup.run("readlink -f /srv/site").out.strip()
    backup.run("mv -T /srv/site /srv/site.gone")
    try:
        bureau.until_plan("has no verified copy of /srv/site", 20)
        assert not bureau.plan()["ready"]
        phone.await_page("has no verified copy of /srv/site", within=15, severity="warning")
    finally:
        backup.run("mv -T /srv/site.gone /srv/site")
    assert backup.run("readlink -f /srv/site").out.strip() == kept


def test_an_address_that_a_third_machine_took_is_not_given_to_the_backup_as_well(
    bureau: Bureau, oracle: Oracle, visitor: Visitor, phone: Phone
) -> None:
    stranger = bureau.lab[STRANGER]
    bureau.lab.web.power_off()
    stranger.add_address("10.77.0.100/24")
    try:
        run = bureau.until_run("recover", ("stopped",), 40)
        assert "web-backup can't have 10.77.0.100" in run["reason"]
        mac = stranger.cards[0].mac
        assert mac in run["reason"], "names who has it"
        phone.await_page(f"run {run['number']} stopped", within=10)
        assert {span.host for span in oracle.held("10.77.0.100")} == {"web", STRANGER}, "it was never put on web-backup"
        assert oracle.quarrels("10.77.0.100") == []
    finally:
        stranger.del_address("10.77.0.100/24")

    bureau.cli("resume", str(run["number"]), "--why", "the stranger was unplugged")
    visitor.await_host("web-backup", within=20)
    oracle.check()
