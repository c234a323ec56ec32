"""The oracle and the visitor tell good from bad: each has to fail on a violation planted for it."""

import time
from collections.abc import Iterator

import pytest

from tests.lab import Lab, Oracle, Visitor
from tests.lab.fixtures import shared_lab
from tests.lab.site import build_site

pytestmark = pytest.mark.lab
lab = shared_lab("client", "web", "web-backup")

ADDRESS, ADDRESS6 = "10.77.0.100", "fd77::100"


@pytest.fixture(autouse=True)
def as_at_the_start(lab: Lab) -> Iterator[None]:
    """A test that failed half-way must not make the next ones fail: both addresses on `web`, build-1 in its folder."""
    yield
    lab.heal()
    for host in (lab.web_backup, lab.web):
        if not host.on:
            host.boot()
        host.thaw()
        for address in (f"{ADDRESS}/24", f"{ADDRESS6}/64"):
            host.run(f"ip addr del {address} dev eth0", check=False)
            if host is lab.web:
                host.add_address(address)
    lab.publish("build-1", on="web")


def test_the_oracle_is_content_with_a_clean_move(lab: Lab) -> None:
    with Oracle(lab) as oracle:
        lab.web.del_address(f"{ADDRESS}/24")
        lab.web_backup.add_address(f"{ADDRESS}/24")
        time.sleep(0.3)
        assert oracle.holders(ADDRESS) == ["web-backup"]
        assert oracle.answering(ADDRESS) == {"web-backup"}
        assert oracle.answering(ADDRESS6) == {"web"}
        lab.web_backup.del_address(f"{ADDRESS}/24")
        lab.web.add_address(f"{ADDRESS}/24")
    assert [span.host for span in oracle.held(ADDRESS)] == ["web", "web-backup", "web"]
    assert oracle.overlap_seconds(ADDRESS) == 0
    oracle.check()


@pytest.mark.parametrize("address", [f"{ADDRESS}/24", f"{ADDRESS6}/64"])
def test_the_oracle_sees_two_holders_and_measures_them(lab: Lab, address: str) -> None:
    with Oracle(lab) as oracle:
        lab.web_backup.add_address(address, announce=False)
        time.sleep(0.5)
        lab.web_backup.del_address(address)
    ip = address.partition("/")[0]
    assert 0.5 <= oracle.overlap_seconds(ip) < 2
    assert len(oracle.quarrels(ip)) >= 5
    with pytest.raises(AssertionError, match=f"both held {ip} for .*both answered for {ip}"):
        oracle.check()


def test_the_oracle_sees_two_holders_even_for_a_moment(lab: Lab) -> None:
    with Oracle(lab) as oracle:
        lab.web_backup.run(f"ip addr add {ADDRESS}/24 dev eth0; ip addr del {ADDRESS}/24 dev eth0")
    assert 0 < oracle.overlap_seconds(ADDRESS) < 1
    with pytest.raises(AssertionError, match="both held"):
        oracle.check()


def test_a_frozen_host_still_holds_its_address_and_the_oracle_knows(lab: Lab) -> None:
    with Oracle(lab) as oracle:
        lab.web.freeze()
        lab.web_backup.add_address(f"{ADDRESS}/24")
        time.sleep(0.2)
        lab.web_backup.del_address(f"{ADDRESS}/24")
        lab.web.thaw()
    assert oracle.overlap_seconds(ADDRESS) > 0.15


def test_a_power_cut_ends_holding_and_a_boot_with_an_old_config_begins_it_again(lab: Lab) -> None:
    lab.web.boot_addresses(f"{ADDRESS}/24", f"{ADDRESS6}/64")
    with Oracle(lab) as oracle:
        lab.web.power_off()
        lab.web_backup.add_address(f"{ADDRESS}/24")
        time.sleep(0.2)
        oracle.check()
        assert [span.host for span in oracle.held(ADDRESS)] == ["web", "web-backup"]
        lab.web.boot()
        time.sleep(0.2)
        lab.web_backup.del_address(f"{ADDRESS}/24")
    assert [span.host for span in oracle.held(ADDRESS)] == ["web", "web-backup", "web"]
    assert oracle.overlap_seconds(ADDRESS) > 0.2
    lab.web.boot_addresses()


def test_an_address_whose_duplicate_detection_fails_is_never_held(lab: Lab) -> None:
    with Oracle(lab) as oracle:
        lab.web_backup.run(f"ip addr add {ADDRESS6}/64 dev eth0")  # with detection, and `web` has it
        deadline = time.monotonic() + 5
        while "dadfailed" not in lab.web_backup.run("ip -6 addr show dev eth0").out:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert [span.host for span in oracle.held(ADDRESS6)] == ["web"]
    oracle.check()


def test_the_oracle_teaches_nobody_who_has_an_address(lab: Lab) -> None:
    """Without an announcement the router goes on asking the old holder, watched or not."""
    lab.router.run(f"ping -c1 -W1 {ADDRESS}")
    with Oracle(lab):
        lab.web.del_address(f"{ADDRESS}/24")
        lab.web_backup.add_address(f"{ADDRESS}/24", announce=False)
        time.sleep(0.5)
        assert lab.web.cards[0].mac in lab.router.run(f"ip neigh show {ADDRESS}").out


def test_a_visitor_of_a_healthy_site_sees_no_outage_and_no_mixture(lab: Lab) -> None:
    with Visitor(lab.client) as visitor:
        visitor.await_host("web", within=5)
        time.sleep(1)
    assert len(visitor.good) > 50
    assert visitor.outages(0.4) == []
    visitor.check_whole()
    assert {reply.builds for reply in visitor.good} == {("build-1",)}


def test_a_visitor_measures_an_outage(lab: Lab) -> None:
    with Visitor(lab.client) as visitor:
        visitor.await_host("web", within=5)
        with lab.cut("web"):
            time.sleep(0.5)
        visitor.await_host("web", within=5)
        refused = time.time()
        lab.web.run("systemctl stop nginx")
        time.sleep(0.4)
        lab.web.run("systemctl start nginx")
        visitor.await_until(lambda seen: seen.good[-1].began > refused + 0.4, within=5)
    (cut, stopped) = visitor.outages(0.3)
    assert 0.45 < cut.seconds < 3  # a lost handshake is repeated after a second (RFC 6298)
    assert 0.4 < stopped.seconds < 2
    assert stopped.failed > 20
    assert any("ConnectionRefused" in reply.error for reply in visitor.replies)


def test_an_outage_that_still_lasts_counts(lab: Lab) -> None:
    with Visitor(lab.client) as visitor, lab.cut("web"):
        time.sleep(1.3)
        assert visitor.outages()[-1].seconds > 1
    assert visitor.outage_seconds() > 1


def test_a_visitor_sees_a_copy_that_is_switched_file_by_file(lab: Lab) -> None:
    new = build_site("build-2")
    with Visitor(lab.client) as visitor:
        visitor.await_host("web", within=5)
        lab.web.write("/srv/site/page/0.html", new["page/0.html"])
        time.sleep(0.3)
        lab.publish("build-2", on="web")
        visitor.await_until(lambda seen: seen.last.builds == ("build-2",), within=5)
    assert visitor.mixed()
    with pytest.raises(AssertionError, match=r"replies had mixed content:\n  /.*builds build-1"):
        visitor.check_whole()


def test_a_visitor_may_see_an_older_build_while_that_is_said_and_not_after(lab: Lab) -> None:
    def show(visitor: Visitor, build: str) -> None:
        lab.publish(build, on="web")
        visitor.await_until(lambda seen: seen.last.builds == (build,), within=5)

    with Visitor(lab.client) as visitor:
        show(visitor, "build-2")
        with visitor.may_see_older():
            show(visitor, "build-1")
        show(visitor, "build-2")
        assert visitor.mixed() == []
        show(visitor, "build-1")
        visitor.await_until(lambda seen: bool(seen.mixed()), within=5)


@pytest.mark.parametrize("spoilt", ["cut short", "two builds"])
def test_a_visitor_sees_a_torn_page(lab: Lab, spoilt: str) -> None:
    whole = build_site("build-1")["page/7.html"]
    other = build_site("build-2")["page/7.html"]
    torn = whole[:900] if spoilt == "cut short" else whole[:900] + other[900:]
    with Visitor(lab.client) as visitor:
        lab.web.write("/srv/site/page/7.html", torn)
        visitor.await_until(lambda seen: any(reply.torn for reply in seen.good), within=5)
    with pytest.raises(AssertionError, match="mixed content"):
        visitor.check_whole()
