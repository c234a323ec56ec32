"""The network fails, not the web server: nothing is moved by a monitor that sees less than others, or nothing."""

import time

import pytest

from tests.e2e.bureau import Bureau
from tests.e2e.phone import Phone
from tests.lab import Host, Oracle, Visitor

pytestmark = pytest.mark.lab


def calls(host: Host, since: float) -> list[str]:
    """What a server's own log says of the helper since then: sessions opened for it, and changes that it made."""
    lines = host.run(f"journalctl -q --no-pager -o cat --since @{since:.3f}").out.splitlines()
    return [line for line in lines if "failover-helper" in line]


def unnoticed(visitor: Visitor) -> None:
    """Visitors were served by web all the time."""
    assert {(reply.status, reply.by) for reply in visitor.replies} == {(200, "web")}


def test_only_the_link_from_the_monitor_to_web_is_cut_and_nothing_moves_since_others_see_it(
    bureau: Bureau, oracle: Oracle, visitor: Visitor, phone: Phone
) -> None:
    with bureau.lab.block("monitor", "web"):
        bureau.until_plan("web-backup, wcm still see website: the fault may lie between it and the monitor", 20)
        phone.await_page("website is down", within=10)
        time.sleep(5)
        assert bureau.plan()["action"] == "alarm"

    assert bureau.moves() == []
    unnoticed(visitor)
    assert [span.host for span in oracle.held("10.77.0.100")] == ["web"]
    oracle.check()


def test_a_monitor_that_is_cut_off_does_nothing_and_is_ready_again_afterwards(
    bureau: Bureau, oracle: Oracle, visitor: Visitor
) -> None:
    with bureau.lab.cut("monitor"):
        bureau.until(lambda status: all(check["standing"] != "up" for check in status["checks"]), 30)
        cut = time.time()
        time.sleep(10)
        assert bureau.plan()["action"] not in ("recover", "propose")
        assert bureau.moves() == []
        for name in ("web", "web-backup", "wcm"):
            assert calls(bureau.lab[name], cut) == []

    bureau.ready(30)
    unnoticed(visitor)
    assert bureau.moves() == []
    oracle.check()
    # And it is a monitor again, with fresh eyes.
    bureau.until(lambda status: all(check["standing"] == "up" for check in status["checks"]), 30)
    bureau.lab.web.kill_service("nginx")
    visitor.await_host("web-backup", within=30)


def test_all_servers_down_at_once_means_the_network_or_the_mains_and_people_are_told(
    bureau: Bureau, oracle: Oracle, visitor: Visitor, phone: Phone
) -> None:
    servers = ("web", "web-backup", "wcm")
    ordered = len(bureau.lab.outlets.orders) if bureau.lab.outlets else 0
    bureau.lab.each(lambda host: host.power_off(), servers)
    phone.await_page("website is down", within=20)
    bureau.until_plan("at once", 20)
    time.sleep(5)
    assert bureau.moves() == []
    assert bureau.lab.outlets
    assert not [order for order in bureau.lab.outlets.orders[ordered:] if order.startswith("off")]

    # When the mains are back the site comes back: from web, or from web-backup where that is up sooner.
    bureau.lab.each(lambda host: host.boot(), servers)
    visitor.await_until(lambda visitor: visitor.sees("web") or visitor.sees("web-backup"), within=40)
    bureau.until(lambda status: all(one["state"] == "ok" for one in status["addresses"]), 40)
    print(bureau.moves())
    oracle.check()
