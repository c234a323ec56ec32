"""Webhooks, against a real HTTP server on loopback."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from failover.errors import NotificationError
from failover.notify import Message, Severity, WebhookChannel
from tests.notify.sinks import WebSink

MESSAGE = Message("bureau", "run/3/waiting", Severity.PAGE, 'run 3 "waits"', "is web off?\n{title}")


@pytest.fixture
def web() -> Iterator[WebSink]:
    with WebSink().listening() as sink:
        yield sink


async def test_the_default_body_holds_everything(web: WebSink) -> None:
    await WebhookChannel(url=web.url).send(MESSAGE)
    assert web.got[0] == {
        "severity": "page", "site": "bureau", "title": 'run 3 "waits"', "text": "is web off?\n{title}",
        "key": "bureau/run/3/waiting", "at": MESSAGE.at.isoformat(timespec="seconds"),
    }  # fmt: skip
    assert web.headers[0]["Idempotency-Key"] == "bureau/run/3/waiting"


async def test_a_robots_template_is_filled_and_no_text_changes_its_shape(web: WebSink) -> None:
    body = {"msgtype": "text", "text": {"content": "{severity}: {title} / {text}"}, "at": {"isAtAll": True}}
    await WebhookChannel(url=web.url, body=body).send(MESSAGE)
    assert web.got[0] == {
        "msgtype": "text",
        "text": {"content": 'page: run 3 "waits" / is web off?\n{title}'},
        "at": {"isAtAll": True},
    }


@pytest.mark.parametrize(
    ("answer", "permanent"),
    [
        (b'{"errcode": 310000, "errmsg": "sign not match"}', True),
        (b'{"errcode": 90030, "errmsg": "over limit"}', False),
        (b'{"code": 19021, "msg": "sign match fail"}', True),
        (b'{"code": 9499, "msg": "too many requests"}', False),
    ],
)
async def test_a_no_with_http_200_is_a_no(web: WebSink, answer: bytes, permanent: bool) -> None:
    web.answer = answer
    with pytest.raises(NotificationError) as caught:
        await WebhookChannel(url=web.url).send(MESSAGE)
    assert caught.value.permanent is permanent


@pytest.mark.parametrize("answer", [b'{"errcode": 0, "errmsg": "ok"}', b'{"code":0}', b"", b"ok", b"[1]"])
async def test_a_yes_is_a_yes(web: WebSink, answer: bytes) -> None:
    web.answer = answer
    assert (await WebhookChannel(url=web.url).send(MESSAGE)).startswith("HTTP 200")


@pytest.mark.parametrize(("status", "permanent"), [(404, True), (408, False), (429, False), (500, False), (302, False)])
async def test_http_says_no_too(web: WebSink, status: int, permanent: bool) -> None:
    web.status = status
    with pytest.raises(NotificationError, match=f"HTTP {status}") as caught:
        await WebhookChannel(url=web.url).send(MESSAGE)
    assert caught.value.permanent is permanent


async def test_the_key_in_the_url_is_told_to_nobody(
    web: WebSink, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    secret = tmp_path / "url"
    secret.write_text(web.url + "\n")
    secret.chmod(0o600)
    channel = WebhookChannel(url_file=secret)
    with caplog.at_level(logging.DEBUG):
        await channel.send(MESSAGE)
        secret.write_text("http://127.0.0.1:1/robot?key=CANARY")
        with pytest.raises(NotificationError) as caught:
            await channel.send(MESSAGE)
        secret.write_text("http://[/robot?key=CANARY")
        with pytest.raises(NotificationError) as worse:
            await channel.send(MESSAGE)
    assert "CANARY" not in caplog.text + str(caught.value) + str(worse.value) + repr(channel)


async def test_a_black_hole_takes_no_longer_than_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as hole:
        began = time.monotonic()
        with pytest.raises(NotificationError, match=r"didn't answer within 0\.4 s"):
            await WebhookChannel(url=f"http://127.0.0.1:{hole.getsockname()[1]}/", timeout="400ms").send(MESSAGE)
        assert time.monotonic() - began < 2


async def test_long_text_is_cut_between_characters(web: WebSink) -> None:
    long = Message("s", "k", Severity.INFO, "t", "统" * 2000)
    await WebhookChannel(url=web.url, max_text=101).send(long)
    text = web.got[0]["text"]
    assert len(text.encode()) <= 101
    assert text == "统" * 32 + "…"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "give either url or url_file"),
        ({"url": "http://x/", "url_file": "y"}, "give either url or url_file"),
        ({"url": "ftp://x/"}, "should match pattern"),
        ({"url": "http://x/", "body": {"a": ["{titel}"]}}, "unknown placeholder {titel}"),
    ],
)
def test_a_config_that_can_not_work_is_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        WebhookChannel(**settings)
