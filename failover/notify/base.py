"""What every channel shares: the message, how urgent it is, and the promise that sending is bounded.

A channel only sends: it returns what the other side said, or raises :class:`~failover.errors.NotificationError`.
Queue, retries, grouping and memory are the outbox's; no channel is ever on a recovery's path (I19).
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from failover.errors import NotificationError
from failover.model import Span, utc_now

MAX_TEXT_CHARACTERS = 16_384


class Severity(StrEnum):
    """How urgent a message is, most urgent first."""

    PAGE = "page"
    """Somebody must act now. Never merged away, never dropped, tried for a day."""
    WARNING = "warning"
    """Somebody should look today."""
    INFO = "info"
    """Good to know."""

    @property
    def rank(self) -> int:
        """0 for the most urgent."""
        return list(Severity).index(self)


@dataclass(frozen=True, slots=True)
class Message:
    """One thing that people are told."""

    site: str
    key: str
    """What it is about and in which state, as ``incident/7/opened``: one channel is told once for a key and site."""
    severity: Severity
    title: str
    """One line."""
    text: str = ""
    about: str = ""
    """The incident, plan or run that it belongs to: withdrawn from channels that wait when somebody acknowledges it."""
    at: datetime = field(default_factory=utc_now)

    @property
    def scoped_key(self) -> str:
        """The key, unique over all sites."""
        return f"{self.site}/{self.key}"


def plain(text: str, *, one_line: bool = False) -> str:
    """Text without control characters: what servers and pages say goes into mails and chats (no CRLF, no ANSI)."""
    kept = "".join(c for c in text.replace("\r\n", "\n") if c == "\n" or c == "\t" or c.isprintable())
    return " ".join(kept.split()) if one_line else kept[:MAX_TEXT_CHARACTERS]


def read_secret(path: Path) -> str:
    """The first line of a secret's file.

    Raises:
        NotificationError: it can't be read, others may read it, or it is empty. The sentence never holds the secret.
    """
    try:
        with path.open(encoding="utf-8") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            secret = file.readline(4096).strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise NotificationError(f"secret file {path}: {reason}") from error
    if mode & 0o007:
        raise NotificationError(f"secret file {path} has mode {mode:04o}: others may read it; make it 0600")
    if not secret:
        raise NotificationError(f"secret file {path} is empty")
    return secret


class Channel(BaseModel):
    """A way to reach people as the config writes it. Subclasses add their ``kind`` and settings, and :meth:`send`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    least: Severity = Field(default=Severity.INFO, description="The least urgent severity that is sent here.")
    after: Span = Field(
        default=0.0,
        description="Send only what nobody acknowledged and nothing healed for this long: the next person to call.",
    )
    timeout: Span = Field(default=15.0, description="Total time that one attempt may take.")
    every: Span = Field(
        default=3.0, description="Least time between two messages; what waits meanwhile is merged, pages excepted."
    )

    @property
    def room_bytes(self) -> int:
        """How much text one message can hold: more messages than fit are not merged into one."""
        return MAX_TEXT_CHARACTERS

    def wants(self, message: Message) -> bool:
        """Whether a message is urgent enough for this channel."""
        return message.severity.rank <= self.least.rank

    async def send(self, message: Message) -> str:
        """Send once and return what the other side answered.

        Raises:
            NotificationError: it wasn't taken; ``permanent`` when trying again is of no use.
        """
        raise NotImplementedError  # every kind has its own
