"""Mails, against a real SMTP server on loopback."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from pydantic import TypeAdapter, ValidationError

from failover.errors import NotificationError
from failover.notify import AnyChannel, EmailChannel, Message, Severity
from tests.notify.sinks import SmtpSink


def channel(**settings: Any) -> EmailChannel:
    given = {"kind": "email", "server": "127.0.0.1", "from": "failover@example.cn", "to": ["duty@example.cn"]}
    made = TypeAdapter(AnyChannel).validate_python({"security": "none", **given, **settings})
    assert isinstance(made, EmailChannel)
    return made


MESSAGE = Message("统计", "incident/7/opened", Severity.PAGE, "website is down", "connection refused\n第二行")


@pytest.fixture
def smtp() -> Iterator[SmtpSink]:
    with SmtpSink().listening() as sink:
        yield sink


async def test_a_page_arrives_as_a_readable_mail(smtp: SmtpSink) -> None:
    assert "queued as 42" in await channel(port=smtp.port).send(MESSAGE)
    (mail,) = smtp.mails
    assert mail["Subject"] == "[page] 统计: website is down"
    assert mail["Importance"] == "high"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail.get_content().splitlines() == ["connection refused", "第二行"]


async def test_the_same_message_sent_twice_can_be_told_by_its_id(smtp: SmtpSink) -> None:
    for _ in range(2):
        await channel(port=smtp.port).send(MESSAGE)
    assert smtp.mails[0]["Message-ID"] == smtp.mails[1]["Message-ID"]


async def test_what_a_server_says_adds_no_header_and_no_colour(smtp: SmtpSink) -> None:
    evil = Message("s", "k", Severity.INFO, "x\r\nBcc: all@example.cn\x1b[31m", "a\x1b[2Jb\r\n.\r\nQUIT")
    await channel(port=smtp.port).send(evil)
    (mail,) = smtp.mails
    assert mail["Bcc"] is None
    assert "\x1b" not in mail.as_string()
    assert mail.get_content().splitlines() == ["a[2Jb", ".", "QUIT"]


async def test_a_password_goes_through_tls_that_is_checked(tmp_path: Path) -> None:
    ca = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    secret = tmp_path / "password"
    secret.write_text("geheim\n")
    secret.chmod(0o600)
    login = {"security": "starttls", "username": "failover", "password_file": str(secret)}
    with SmtpSink(tls=context).listening() as sink:
        await channel(port=sink.port, ca_file=str(tmp_path / "ca.pem"), **login).send(MESSAGE)
        assert len(sink.logins) == 1
        with pytest.raises(NotificationError, match="certificate verify failed"):
            await channel(port=sink.port, **login).send(MESSAGE)
        assert len(sink.mails) == len(sink.logins) == 1


@pytest.mark.parametrize(
    ("answer", "permanent"),
    [("450 greylisted, come again", False), ("550 no such user", True)],
)
async def test_a_refused_recipient_is_told_with_the_servers_words(smtp: SmtpSink, answer: str, permanent: bool) -> None:
    smtp.answers["RCPT"] = answer
    with pytest.raises(NotificationError, match=answer[4:]) as caught:
        await channel(port=smtp.port).send(MESSAGE)
    assert caught.value.permanent is permanent


@pytest.mark.parametrize("where", ["connect", "MAIL", "DATA"])
async def test_a_hanging_server_takes_no_longer_than_the_timeout(where: str) -> None:
    with SmtpSink(hang_at=where).listening() as sink:
        began = time.monotonic()
        with pytest.raises(NotificationError):
            await channel(port=sink.port, timeout="400ms").send(MESSAGE)
        assert time.monotonic() - began < 2


async def test_nobody_listening_is_a_sentence() -> None:
    with pytest.raises(NotificationError, match=r"mail server 127\.0\.0\.1: .*onnect") as caught:
        await channel(port=1).send(MESSAGE)
    assert not caught.value.permanent


async def test_a_secret_that_others_may_read_is_refused(smtp: SmtpSink, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("CANARY")
    secret.chmod(0o644)
    with pytest.raises(NotificationError, match="mode 0644: others may read it") as caught:
        await channel(port=smtp.port, security="tls", username="u", password_file=str(secret)).send(MESSAGE)
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"to": ["nobody"]}, "'nobody' is not a mail address"),
        ({"from": "a@b\nBcc: c@d"}, "is not a mail address"),
        ({"username": "u"}, "username and password_file go together"),
        ({"username": "u", "password_file": "x"}, "a password is not sent in clear"),
        ({"kind": "fax"}, "does not match any of the expected tags"),
        ({"sevrer": "x"}, "Extra inputs are not permitted"),
    ],
)
def test_a_config_that_can_not_work_is_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        channel(**settings)
