"""The bureau's WCM: it publishes through its database to the web server, stands by, and says what is wrong."""

import json
import time
from typing import Any

import pytest

from tests.lab import Host, Lab, Visitor
from tests.lab.databases import PROOF_QUERY, ask
from tests.lab.fixtures import shared_lab

pytestmark = pytest.mark.lab
lab = shared_lab("monitor", "client", "web", "wcm", "wcm-backup", "db", "db-backup", wcm="postgresql")

SITE = "http://10.77.0.100"
KEY = "ssh -i /etc/wcm/publish-key -o BatchMode=yes -o UserKnownHostsFile=/etc/wcm/known_hosts root@10.77.0.100"


def health(lab: Lab, host: str = "wcm") -> tuple[int, dict[str, Any]]:
    """Its status and words, as the monitor sees them; 0 without an answer."""
    done = lab.monitor.run(f"curl -s -m 10 -w '\n%{{http_code}}' http://{lab[host].ip}:8000/health", check=False)
    body, _, status = done.out.rpartition("\n")
    return int(status), json.loads(body or "{}")


def await_that(what: Any, within: float) -> None:
    """Until it is true."""
    deadline = time.monotonic() + within
    while not what():
        assert time.monotonic() < deadline, f"not true within {within} s"
        time.sleep(0.1)


def mark(host: Host, text: str) -> dict[str, Any]:
    """What the WCM said to a marker."""
    said: dict[str, Any] = json.loads(host.run(["wcm-marker", text]).out)
    return said


def shown(lab: Lab, path: str) -> str:
    """A page of the website, as visitors get it."""
    return lab.client.run(f"curl -s -m 5 {SITE}{path}").out


def test_its_health_tells_who_it_is_and_which_database_it_really_uses(lab: Lab) -> None:
    assert health(lab) == (
        200,
        {"host": "wcm", "engine": "postgresql", "status": "ok", "database": "10.77.0.31/wcm", "pages": 26},
    )


def test_only_what_a_hosts_role_asks_for_is_started(lab: Lab) -> None:
    services = "wcm wcm-distribute postgresql@15-main mariadb nginx"
    states = {
        name: host.run(f"systemctl is-active {services}", check=False).out.split() for name, host in lab.hosts.items()
    }
    off = "inactive"
    database = [off, off, "active", off, off]
    assert states == {
        "monitor": [off] * 5,
        "client": [off] * 5,
        "router": [off] * 5,
        "web": [off, off, off, off, "active"],
        "wcm": ["active", "active", off, off, off],
        "wcm-backup": [off] * 5,
        "db": database,
        "db-backup": database,
    }


def test_the_website_is_what_the_wcm_has_published_in_chinese(lab: Lab) -> None:
    tree = "cd /srv/site && find . -type f -exec sha256sum {} + | sort -k2"
    published = lab.wcm.run(tree).out
    assert lab.web.run(tree).out == published == lab.wcm_backup.run(tree).out
    assert len(published.splitlines()) == 67
    page = shown(lab, "/page/6.html")
    assert "2019年厦门市国民经济和社会发展统计公报" in page
    assert "地区生产总值" in page
    assert (
        lab.client.run(f"curl -sI {SITE}/media/images/chart-2019.width-600.png").out.splitlines()[0].endswith("200 OK")
    )


def test_a_marker_is_published_by_the_wcms_own_code_and_found_by_its_query(lab: Lab) -> None:
    said = mark(lab.wcm, "证明 1")
    assert (said["marker"], said["host"], said["database"]) == ("证明 1", "wcm", "10.77.0.31/wcm")
    assert ask(lab, lab.db, PROOF_QUERY, "wcm") == [["证明 1"]]
    await_that(lambda: '<p id="marker">证明 1</p>' in shown(lab, "/news/proof.html"), within=10)
    assert shown(lab, "/build-id") == f"revision-{said['revision']}\n"


def test_a_marker_that_is_not_taken_is_an_error_with_its_reason(lab: Lab) -> None:
    too_long = lab.wcm.run(["wcm-marker", "x" * 101], check=False)
    assert too_long.code == 1
    assert "the WCM answered 400: " in too_long.err
    assert lab.wcm_backup.run(["wcm-marker", "x"], check=False).err.startswith("the WCM didn't take the marker: ")
    wrong = lab.monitor.run("curl -s -w ' %{http_code}' -d text=x http://10.77.0.21:8000/markers").out
    assert wrong == '{"problem": "the token is wrong"} 403'


def test_visitors_never_see_a_torn_page_or_an_older_one_while_it_is_published(lab: Lab) -> None:
    paths = ("/news/proof.html", "/page/7.html", "/build-id", "/news/")

    def states(visitor: Visitor) -> set[tuple[str, ...]]:
        return {reply.builds for reply in visitor.good if reply.path == "/news/proof.html"}

    with Visitor(lab.client, paths=paths) as visitor:
        for number in range(5):
            mark(lab.wcm, f"again {number}")
            await_that(lambda n=number: f"again {n}<" in shown(lab, "/news/proof.html"), within=10)
        visitor.await_until(lambda seen: len(states(seen)) >= 6, within=5)  # it asks for other pages in between
    visitor.check_whole()
    assert len(states(visitor)) == 6


def test_a_page_that_goes_back_to_an_older_state_is_noticed(lab: Lab) -> None:
    older = lab.web.read("/srv/site/news/proof.html")
    with Visitor(lab.client, paths=("/news/proof.html",)) as visitor:
        time.sleep(0.2)
        mark(lab.wcm, "newer")
        await_that(lambda: "newer<" in shown(lab, "/news/proof.html"), within=10)
        lab.web.write("/srv/site/news/proof.html", older)
        visitor.await_until(lambda seen: seen.last.builds == seen.good[0].builds, within=5)
    with pytest.raises(AssertionError, match="mixed content"):
        visitor.check_whole()


def test_the_distributions_key_opens_nothing_but_the_published_site(lab: Lab) -> None:
    for command in ("id", "rsync --server --sender -logDtpre.iLsfx . /etc/"):
        assert lab.wcm.run(f"{KEY} {command}", check=False).code != 0
    lab.wcm.run("echo planted > /run/planted")
    lab.wcm.run(f"rsync -e '{KEY.rpartition(' ')[0]}' /run/planted root@10.77.0.100:/etc/", check=False)
    assert not lab.web.exists("/etc/planted")


def test_its_publish_command_brings_back_what_is_missing_and_removes_what_is_no_page(lab: Lab) -> None:
    lab.wcm.run("rm /srv/site/page/3.html; echo defaced > /srv/site/page/4.html; echo planted > /srv/site/planted.html")
    assert lab.wcm.run("wcm-publish").out == "25 pages published\n"
    assert lab.wcm.run(
        "test -e /srv/site/planted.html; echo $?; grep -c defaced /srv/site/page/4.html", check=False
    ).out == ("1\n0\n")
    assert "统计公报" in lab.wcm.read("/srv/site/page/3.html")


def test_without_its_database_it_says_so_and_recovers_by_itself(lab: Lab) -> None:
    lab.db.run("systemctl stop postgresql 'postgresql@*'")  # the first alone doesn't wait for the second
    try:
        status, said = health(lab)
        assert (status, said["status"]) == (503, "no database")
        assert "connection" in said["reason"]
        assert lab.client.run(f"curl -s -o /dev/null -w '%{{http_code}}' {SITE}/query/").out == "500"
        assert "统计公报" in shown(lab, "/page/2.html"), "what is published needs no database"
    finally:
        lab.db.run("systemctl start postgresql")
    await_that(lambda: health(lab)[0] == 200, within=5)
    assert "2019年" in shown(lab, "/query/?q=2019")


@pytest.mark.parametrize("fault", ["power", "hang"])
def test_a_silent_database_server_is_told_in_seconds(lab: Lab, fault: str) -> None:
    assert health(lab)[0] == 200  # so that there is a connection that doesn't know yet
    lab.db.power_off() if fault == "power" else lab.db.freeze()
    try:
        began = time.monotonic()
        status, _ = health(lab)
        told = (status, time.monotonic() - began < 8)
        # One that hangs still acknowledges what an open connection sends; a new connection gives up in time.
        assert told == (503, True) or (fault == "hang" and told == (0, False))
    finally:
        lab.db.boot() if fault == "power" else lab.db.thaw()
    await_that(lambda: health(lab)[0] == 200, within=15)


def test_the_backup_takes_over_and_publishes_what_its_database_holds_and_not_its_old_pages(lab: Lab) -> None:
    mark(lab.wcm, "before")
    await_that(lambda: "before<" in shown(lab, "/news/proof.html"), within=10)
    assert "before<" not in lab.wcm_backup.read("/srv/site/news/proof.html"), "its pages are old"
    with Visitor(lab.client, paths=("/news/proof.html",)) as visitor:
        lab.wcm.run("systemctl stop wcm")
        assert lab.wcm.run("systemctl is-active wcm-distribute", check=False).out == "inactive\n"
        lab.wcm_backup.run("systemctl start wcm")
        try:
            assert health(lab, "wcm-backup")[1]["host"] == "wcm-backup"
            await_that(lambda: lab.wcm_backup.exists("/run/wcm/published"), within=10)
            assert mark(lab.wcm_backup, "after")["host"] == "wcm-backup"
            await_that(lambda: "after<" in shown(lab, "/news/proof.html"), within=10)
            assert "2019年" in shown(lab, "/query/?q=2019"), "the web server finds it by itself"
        finally:
            lab.wcm_backup.run("systemctl stop wcm")
            lab.wcm.run("systemctl start wcm")
    visitor.check_whole()
    assert visitor.outages() == []


def test_it_is_ready_when_its_service_manager_says_so(lab: Lab) -> None:
    lab.wcm.run("systemctl restart wcm")
    assert health(lab)[0] == 200


def test_it_is_there_after_a_power_cut(lab: Lab) -> None:
    lab.wcm.power_off()
    lab.wcm.boot()
    assert health(lab)[0] == 200
    assert mark(lab.wcm, "after the cut")["host"] == "wcm"
