"""Moving a role as planned, and what becomes of a server that comes back by itself."""

import time

import pytest

from tests.e2e.bureau import Bureau, Status
from tests.e2e.phone import Phone
from tests.e2e.recovery import watch
from tests.lab import Oracle, Visitor

pytestmark = pytest.mark.lab


def parked(status: Status, server: str) -> list[str]:
    """The addresses that a server is kept from answering for, by its own word."""
    return next(sorted(one["parked"]) for one in status["servers"] if one["name"] == server)


def test_a_switch_there_and_back_costs_visitors_next_to_nothing_and_shows_them_no_mixed_page(bureau: Bureau) -> None:
    def switch() -> None:
        bureau.cli("switch", "web", "--yes")

    for old, new in (("web", "web-backup"), ("web-backup", "web")):
        bureau.publish(also_on_web=False)
        moved = watch(bureau, "switch", switch, old=old, new=new, kind="switch")
        assert moved.good, moved
        assert moved.outage_seconds < 3
        assert bureau.holder() == new
        bureau.ready()


def test_an_old_web_server_that_boots_with_its_old_address_is_parked(
    bureau: Bureau, oracle: Oracle, visitor: Visitor, phone: Phone
) -> None:
    web = bureau.lab.web
    web.boot_addresses("10.77.0.100/24", "fd77::100/64")
    try:
        web.power_off()
        visitor.await_host("web-backup", within=30)
        bureau.until_run("recover", ("done",), 20)

        web.boot()
        # Its kernel may hold the silenced address until that is taken away: judge by who answers on the wire.
        bureau.until(lambda status: parked(status, "web") == ["10.77.0.100", "fd77::100"], 30)
        bureau.until(lambda status: all(one["state"] == "ok" for one in status["addresses"]), 15)
        assert not {"10.77.0.100", "fd77::100"} & web.addresses()
        for address in ("10.77.0.100", "fd77::100"):
            assert oracle.quarrels(address) == []
            assert oracle.answering(address) == {"web-backup"}
        since = time.time()  # until it was parked, the old one may have answered too
        time.sleep(5)
        assert {reply.by for reply in visitor.good if reply.began > since} == {"web-backup"}
        assert bureau.holder() == "web-backup"
    finally:
        web.boot_addresses()
    visitor.check_whole()
