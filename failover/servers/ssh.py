"""A server reached over SSH: one session, kept warm, with pinned host keys and nothing that guesses."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from failover.errors import ConfigError, HostKeyChanged
from failover.model import Span
from failover.servers.keeper import OpenFailed, WarmServer
from failover.servers.pins import read_pins
from failover.servers.ssh_link import Door, LoginRefused, SshLink, open_ssh_link

_WORDS = re.compile(r"(?:(?P<user>[^@\s]+)@)?(?P<host>\[[^\]\s]+\]|[^:@\s]+|[0-9A-Fa-f:]+)(?::(?P<port>\d+))?")
_NAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?:\.(?!-)[A-Za-z0-9-]{1,63})*\.?")
SECOND_LOGIN_SECONDS = 60.0
"""From the second refusal on. OpenSSH's PerSourcePenalties adds 5 s for each and bans from 15 s on (sshd_config(5))."""

SecurityAlarm = Callable[[str, str], None]
"""Called with the server's name and a sentence, in the session's own thread."""


class SshSettings(BaseModel):
    """Where a server's sshd is: ``10.77.0.11``, ``10.77.0.11:2222``, ``[fd77::11]:22``, or these keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(min_length=1, max_length=253, description="Its management address; an IP needs no name service.")
    port: int = Field(default=22, ge=1, le=65535, description="The port of its sshd.")
    user: str = Field(default="failover", pattern=r"^[a-z_][a-z0-9_-]{0,31}$", description="The account of the helper.")
    open_timeout: Span = Field(default=10.0, gt=0, le=60, description="For connecting, login and hello together.")
    ping_every: Span = Field(default=5.0, ge=0.5, le=60, description="Silence after which a sign of life is asked for.")
    ping_timeout: Span = Field(default=4.0, ge=0.5, le=60, description="How long that sign may take.")

    @field_validator("host")
    @classmethod
    def _is_host(cls, value: str) -> str:
        if _NAME.fullmatch(value):
            return value
        try:
            return str(ipaddress.ip_address(value))
        except ValueError:
            raise ValueError(f"{value!r} is neither an IP address nor a host name") from None

    @model_validator(mode="before")
    @classmethod
    def _from_words(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if not (match := _WORDS.fullmatch(value)):
            raise ValueError(f"{value!r} is no place for ssh; write 10.77.0.11, 10.77.0.11:2222 or [fd77::11]:2222")
        found = {key: text for key, text in match.groupdict().items() if text}
        return found | {"host": found["host"].strip("[]")}


class SshServer(WarmServer):
    """A server whose helper is reached over SSH.

    Args:
        name: in the config.
        settings: where it is.
        known_hosts: failover's own file of pinned host keys; read at every attempt, so that enrolling needs no restart.
        key: the private key for this server.
        alarm: told once about every wrong host key that the server shows.
    """

    def __init__(
        self, name: str, settings: SshSettings, *, known_hosts: Path, key: Path, alarm: SecurityAlarm | None = None
    ) -> None:
        self.settings = settings
        self._known_hosts = known_hosts
        self._key = key
        self._alarm = alarm
        self._alarmed = ""
        self._refusals = 0
        super().__init__(
            name,
            open_seconds=settings.open_timeout,
            ping_seconds=settings.ping_every,
            patience_seconds=settings.ping_timeout,
        )

    def _open_link(self, within_seconds: float) -> SshLink:
        try:
            pins = read_pins(self._known_hosts, self.settings.host, self.settings.port)
        except (OSError, ConfigError) as error:
            raise OpenFailed(f"the pinned host keys can't be read: {error}") from None
        door = Door(self.settings.host, self.settings.port, self.settings.user, self._key, pins)
        try:
            link = open_ssh_link(door, within_seconds)
        except LoginRefused as refused:
            self._refusals += 1
            if self._refusals > 1:
                refused.knock_after = SECOND_LOGIN_SECONDS
            raise
        except OpenFailed as failed:
            if failed.error is HostKeyChanged and failed.sentence != self._alarmed:
                self._alarmed = failed.sentence
                if self._alarm is not None:
                    self._alarm(self.name, failed.sentence)
            raise
        self._refusals = 0
        self._alarmed = ""
        return link
