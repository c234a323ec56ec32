"""E-mail over SMTP, for people and for gateways that turn a mail into a call or a text message."""

from __future__ import annotations

import asyncio
import hashlib
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from pathlib import Path
from typing import Literal

import aiosmtplib
from pydantic import Field, field_validator, model_validator

from failover.errors import NotificationError
from failover.notify.base import Channel, Message, plain, read_secret


class EmailChannel(Channel):
    """``{kind: email, server: mail.example.cn, from: failover@example.cn, to: [duty@example.cn]}``."""

    kind: Literal["email"] = "email"
    server: str = Field(min_length=1, description="Name or IP of the mail server.")
    port: int | None = Field(default=None, ge=1, le=65535, description="587 for starttls, 465 for tls, else 25.")
    security: Literal["starttls", "tls", "none"] = Field(
        default="starttls", description="`none` sends everything in clear: only to a mail server on this machine."
    )
    sender: str = Field(alias="from", description="The address that mails come from.")
    to: tuple[str, ...] = Field(min_length=1, max_length=50, description="Who gets them.")
    username: str | None = Field(default=None, description="For mail servers that ask for a login.")
    password_file: Path | None = Field(default=None, description="File that holds the password, mode 0600.")

    ca_file: Path | None = Field(default=None, description="Certificate authorities to trust instead of the system's.")

    @field_validator("sender", "to")
    @classmethod
    def _are_addresses(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for address in (value,) if isinstance(value, str) else value:
            if "@" not in parseaddr(address)[1] or not address.isprintable():
                raise ValueError(f"{address!r} is not a mail address; write it as duty@example.cn")
        return value

    @model_validator(mode="after")
    def _login_is_whole_and_safe(self) -> EmailChannel:
        if (self.username is None) != (self.password_file is None):
            raise ValueError("username and password_file go together")
        if self.username is not None and self.security == "none":
            raise ValueError("a password is not sent in clear: use security starttls or tls")
        return self

    def mail(self, message: Message) -> EmailMessage:
        """The message as a mail; a second copy has the same Message-ID and can be told by it (RFC 5322 3.6.4)."""
        mail = EmailMessage()
        mail["From"] = self.sender
        mail["To"] = ", ".join(self.to)
        mail["Subject"] = plain(f"[{message.severity}] {message.site}: {message.title}", one_line=True)[:200]
        mail["Date"] = format_datetime(message.at)
        host = parseaddr(self.sender)[1].rpartition("@")[2]
        digest = hashlib.sha256(f"{message.scoped_key} {message.at.isoformat()}".encode()).hexdigest()[:32]
        mail["Message-ID"] = f"<{digest}@{host}>"
        mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday answers, please
        if message.severity.rank == 0:
            mail["Importance"] = "high"
        mail.set_content(plain(message.text or message.title) + "\n")
        return mail

    async def send(self, message: Message) -> str:
        """Hand the mail to the server within ``timeout``, all of it: connection, TLS, login, data."""
        password = read_secret(self.password_file) if self.password_file else None
        where = f"mail server {self.server}"
        try:
            async with asyncio.timeout(self.timeout):
                refused, answer = await aiosmtplib.send(
                    self.mail(message),
                    hostname=self.server,
                    port=self.port,
                    use_tls=self.security == "tls",
                    start_tls=self.security == "starttls",
                    username=self.username,
                    password=password,
                    cert_bundle=str(self.ca_file) if self.ca_file else None,
                    timeout=self.timeout,
                )
        except TimeoutError as error:
            raise NotificationError(f"{where} didn't take the mail within {self.timeout:g} s") from error
        except aiosmtplib.SMTPRecipientsRefused as error:
            refusals = [f"{r.recipient}: {r.code} {plain(r.message, one_line=True)}" for r in error.recipients]
            permanent = all(r.code >= 500 for r in error.recipients)
            raise NotificationError(
                f"{where} takes no recipient: {'; '.join(refusals)}", permanent=permanent
            ) from error
        except aiosmtplib.SMTPResponseException as error:
            sentence = f"{where} answered {error.code} {plain(error.message, one_line=True)}"
            raise NotificationError(sentence, permanent=error.code >= 500) from error
        except (aiosmtplib.SMTPException, OSError) as error:
            raise NotificationError(f"{where}: {plain(str(error), one_line=True) or type(error).__name__}") from error
        if refused:  # the others have it: sending again would double it for them
            return f"taken, but not for {', '.join(refused)}"
        return plain(answer, one_line=True)[:200]
