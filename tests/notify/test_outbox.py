"""The queue: real channels against real servers, a real journal."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from failover.journal.journal import Journal
from failover.notify import Message, Severity, WebhookChannel
from failover.notify.outbox import Outbox
from tests.notify.sinks import WebSink
from tests.waiting import wait_until


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path / "journal.db", ballast_bytes=0) as journal:
        yield journal


@pytest.fixture
def web() -> Iterator[WebSink]:
    with WebSink().listening() as sink:
        yield sink


def page(number: int = 1, about: str = "") -> Message:
    return Message("bureau", f"incident/{number}/opened", Severity.PAGE, f"page {number}", about=about)


def notice(number: int) -> Message:
    return Message("bureau", f"notice/{number}", Severity.INFO, f"notice {number}")


def robot(url: str, **settings: object) -> WebhookChannel:
    return WebhookChannel.model_validate({"url": url, "every": "1ms", "timeout": "1s", **settings})


def test_a_message_is_sent_and_journaled(journal: Journal, web: WebSink) -> None:
    with closing(Outbox({"robot": robot(web.url)}, journal)) as outbox:
        outbox.post(page())
        wait_until(lambda: journal.events(kinds=["notification.sent"]))
    (event,) = journal.events()
    assert (event.site, event.data["channel"], event.data["key"]) == ("bureau", "robot", "incident/1/opened")
    assert web.got[0]["title"] == "page 1"


def test_a_black_hole_delays_neither_who_posts_nor_the_other_channel(journal: Journal, web: WebSink) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hole:
        dead = robot(f"http://127.0.0.1:{hole.getsockname()[1]}/", timeout="5s")
        with closing(Outbox({"dead": dead, "robot": robot(web.url)}, journal)) as outbox:
            began = time.monotonic()
            for number in range(100):
                outbox.post(page(number))
            assert time.monotonic() - began < 4
            wait_until(lambda: web.got, 4.5)


def test_a_channel_that_was_down_gets_it_later(journal: Journal, web: WebSink) -> None:
    web.status = 500
    with closing(Outbox({"robot": robot(web.url)}, journal)) as outbox:
        outbox.post(page())
        wait_until(lambda: outbox.states()["robot"].failed)
        assert "HTTP 500" in (outbox.states()["robot"].error or "")
        web.status = 200
        wait_until(lambda: journal.events(kinds=["notification.sent"]))
        assert outbox.states()["robot"].error is None
    failed = journal.events(kinds=["notification.failed"])
    assert [event.data["permanent"] for event in failed] == [False]


def test_a_restart_repeats_nothing_and_sends_what_was_not_sent(journal: Journal, web: WebSink) -> None:
    with closing(Outbox({"robot": robot(web.url)}, journal)) as outbox:
        outbox.post(page(1))
        wait_until(lambda: journal.events(kinds=["notification.sent"]))
        web.status = 500
        outbox.post(page(2))
        wait_until(lambda: outbox.states()["robot"].failed)
    web.status = 200
    web.got.clear()
    with closing(Outbox({"robot": robot(web.url)}, journal)) as outbox:
        outbox.post(page(1))
        outbox.post(page(2))
        outbox.post(page(2))
        wait_until(lambda: web.got)
        time.sleep(0.2)
    assert [got["title"] for got in web.got] == ["page 2"]


def test_what_is_merged_and_sent_is_not_repeated_after_a_restart_either(journal: Journal, web: WebSink) -> None:
    web.status = 500
    with closing(Outbox({"robot": robot(web.url)}, journal)) as outbox:
        outbox.post(notice(0))
        wait_until(lambda: outbox.states()["robot"].failed)
        for number in range(1, 6):
            outbox.post(notice(number))
        web.status = 200
        web.got.clear()
        wait_until(lambda: journal.events(kinds=["notification.sent"]))
    assert len(web.got) == 1
    web.got.clear()
    with closing(Outbox({"robot": robot(web.url)}, journal)) as outbox:
        for number in range(6):
            outbox.post(notice(number))
        time.sleep(0.3)
    assert web.got == []


@pytest.mark.parametrize("pages", [30, 400])
def test_no_page_is_lost_among_a_thousand_notices(journal: Journal, web: WebSink, pages: int) -> None:
    web.status = 500
    with closing(Outbox({"robot": robot(web.url)}, journal)) as outbox:
        outbox.post(notice(9999))
        wait_until(lambda: outbox.states()["robot"].failed)
        for number in range(1000):
            outbox.post(notice(number))
            if number < pages:
                outbox.post(page(number))
        web.got.clear()
        web.status = 200
        wait_until(lambda: outbox.states()["robot"].waiting == 0, 30)
    told = "\n".join(f"{got['title']}\n{got['text']}" for got in web.got).splitlines()
    said = {line.rpartition("] ")[2] for line in told}
    assert {f"page {number}" for number in range(pages)} <= said
    assert "and 1 older notices that were too many to keep" in said
    assert len(web.got) < 100


def test_a_permanent_no_is_final(journal: Journal, web: WebSink) -> None:
    web.answer = b'{"errcode": 310000}'
    with closing(Outbox({"robot": robot(web.url)}, journal)) as outbox:
        outbox.post(page())
        wait_until(lambda: journal.events(kinds=["notification.failed"]))
        assert outbox.states()["robot"].waiting == 0
    (event,) = journal.events()
    assert event.data["permanent"] is True
    assert "310000" in event.data["error"]


def test_who_comes_next_is_called_only_if_nobody_acknowledged(journal: Journal, web: WebSink) -> None:
    with closing(Outbox({"boss": robot(web.url, after="500ms")}, journal)) as outbox:
        outbox.post(page(1, about="incident 1"))
        outbox.post(page(2, about="incident 2"))
        outbox.withdraw("bureau", "incident 1")
        assert web.got == []
        wait_until(lambda: web.got)
        time.sleep(0.3)
    assert [got["title"] for got in web.got] == ["page 2"]


def test_a_channel_gets_only_what_is_urgent_enough_for_it(journal: Journal, web: WebSink) -> None:
    with closing(Outbox({"sms": robot(web.url, least="page")}, journal)) as outbox:
        outbox.post(notice(1))
        outbox.post(page(1))
        wait_until(lambda: web.got)
        time.sleep(0.1)
    assert [got["severity"] for got in web.got] == ["page"]


def test_a_reload_keeps_what_waits(journal: Journal, web: WebSink) -> None:
    with closing(Outbox({"robot": robot("http://127.0.0.1:1/")}, journal)) as outbox:
        outbox.post(page())
        wait_until(lambda: outbox.states()["robot"].failed)
        outbox.replace({"robot": robot(web.url)})
        wait_until(lambda: web.got)


def test_a_journal_that_can_not_be_written_stops_no_page(tmp_path: Path, web: WebSink) -> None:
    journal = Journal.open(tmp_path / "journal.db", ballast_bytes=0)
    with closing(Outbox({"robot": robot(web.url)}, journal)) as outbox:
        journal.close()
        outbox.post(page(1))
        outbox.post(page(2))
        wait_until(lambda: len(web.got) == 2)


def test_a_test_message_says_what_each_channel_answered(journal: Journal, web: WebSink) -> None:
    channels = {"robot": robot(web.url), "dead": robot("http://127.0.0.1:1/")}
    with closing(Outbox(channels, journal)) as outbox:
        tried = {one.channel: one for one in outbox.test(None, page())}
        assert tried["robot"].sent
        assert not tried["dead"].sent
        assert "can't be reached" in tried["dead"].answer
        assert [one.channel for one in outbox.test("robot", page())] == ["robot"]
