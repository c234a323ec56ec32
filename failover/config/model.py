"""The config as its users write it. A probe, a step and a channel *is* its own settings; here they come together."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, field_validator

from failover.backups import AnyBackupSet
from failover.model import Span
from failover.notify import AnyChannel
from failover.probes import AnyProbe
from failover.probes.http import HttpProbe
from failover.probes.ping import PingProbe
from failover.probes.tcp import TcpProbe
from failover.recover.address import Address
from failover.recover.databases import NAME as DATABASE_NAME
from failover.recover.databases import Database, Engine
from failover.recover.plan import Plan
from failover.servers.fence import FenceSettings
from failover.servers.ssh import SshSettings

NAME = r"^[A-Za-z0-9\u4e00-\u9fff][A-Za-z0-9\u4e00-\u9fff_.-]{0,62}$"  # editors read it too, whose \w is ASCII
Name = Annotated[str, Field(pattern=NAME)]
"""What people call a server, role, check, plan: letters, digits, ``-``, ``_`` and ``.``; Chinese too."""

Witness = Annotated[HttpProbe | PingProbe | TcpProbe, Field(discriminator="kind")]
"""Something outside of the site that is there when the network is."""

Witnesses = Annotated[
    Annotated[tuple[Witness, ...], Tag("list")] | Annotated[dict[Name, Witness], Tag("mapping")],
    Discriminator(lambda value: "mapping" if isinstance(value, Mapping) else "list"),
]
"""A list, or a mapping that gives each a name."""

Command = Annotated[tuple[str, ...], Field(min_length=1)]


def _one_or_many(value: object) -> object:
    return (value,) if isinstance(value, str) else value


class Section(BaseModel):
    """Part of the config: frozen, and nothing unknown passes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SiteSection(Section):
    """Who this is."""

    name: str = Field(min_length=1, max_length=100, description="The site's name as people know it.")
    language: Literal["zh", "en"] = Field(default="en", description="The language of pages and messages.")
    timezone: str = Field(default="UTC", description="The time zone that people read times in, as `Asia/Shanghai`.")

    @field_validator("name")
    @classmethod
    def _is_plain(cls, value: str) -> str:
        # It names the folder of the site's keys too, which no other site may share.
        if "/" in value or value.startswith(".") or value != value.strip() or not value.isprintable():
            raise ValueError(f"{value!r} can't be a site's name: no '/', no '.' or blank at its start, only printable")
        return value

    @field_validator("timezone")
    @classmethod
    def _is_known(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"{value!r} is no time zone; write it as Asia/Shanghai or UTC") from None
        return value


class ServerSection(Section):
    """One managed machine."""

    ssh: SshSettings = Field(description="Where its sshd is, on an address that never moves.")
    fence: FenceSettings | None = Field(default=None, description="How to cut it off from outside, and be told so.")
    commands: dict[Name, Command] = Field(
        default_factory=dict, description="Programs of the site's own that its helper may run, by name."
    )


class DatabaseSection(Section):
    """The database that a role is there for."""

    engine: Engine = Field(description="What runs it: `postgresql` or `mariadb`.")
    name: str = Field(pattern=DATABASE_NAME, description="The database's name, as the WCM has it in its settings.")
    owner: str = Field(pattern=DATABASE_NAME, description="The account that owns it, which the WCM connects as.")
    user: str = Field(
        default="failover",
        pattern=DATABASE_NAME,
        description="The account that makes and restores backups; it may create databases and act for the owner.",
    )
    port: int | None = Field(
        default=None, ge=1, le=65535, description="Where it listens; by default 5432 or 3306, as its engine has it."
    )
    password_file: str = Field(
        default="/etc/failover-helper/db-password", description="The file on the servers with the user's password."
    )
    queries: dict[Name, str] = Field(
        default_factory=dict, description="Questions that a good copy answers with something that isn't empty or 0."
    )

    @field_validator("password_file")
    @classmethod
    def _is_absolute(cls, value: str) -> str:
        if not value.startswith("/") or {"", ".", ".."} & set(value[1:].split("/")):
            raise ValueError(f"{value!r} is not an absolute path without '.', '..' and a slash at its end")
        return value

    @property
    def listens_on(self) -> int:
        """The port, where the config leaves it out the engine's own."""
        return self.port if self.port is not None else {"postgresql": 5432, "mariadb": 3306}[self.engine]

    @property
    def database(self) -> Database:
        """As the steps of a plan see it."""
        return Database(self.engine, self.name, self.owner, self.user, self.listens_on, self.queries)


class RoleSection(Section):
    """What a server does for the site, and which two can do it."""

    home: Name = Field(description="The server that has the role on ordinary days.")
    standby: Name = Field(description="The server that takes the role over.")
    address: Annotated[tuple[Name, ...], BeforeValidator(_one_or_many)] = Field(
        default=(), description="The address, or addresses, that go with the role."
    )
    path: str | None = Field(default=None, description="Where the role's content lies, on both servers.")
    owner: str = Field(default="root", description="Whose the content is on the servers that it is copied to.")
    group: str | None = Field(default=None, description="The content's group; by default the owner's name.")
    unit: str | None = Field(default=None, description="The systemd unit that does the role's work.")
    database: DatabaseSection | None = Field(default=None, description="The database that the role is there for.")

    @field_validator("path")
    @classmethod
    def _is_plain(cls, value: str | None) -> str | None:
        if value is not None and (not value.startswith("/") or {"", ".", ".."} & set(value[1:].split("/"))):
            raise ValueError(f"{value!r} is not an absolute path without '.', '..' and a slash at its end")
        return value


class WatchSection(Section):
    """How the monitor looks at the world as a whole."""

    grace: Span = Field(default=10.0, ge=0, description="After its start the daemon only looks for this long.")
    world_every: Span = Field(default=3.0, gt=0, description="How often every server is asked for its facts.")
    ready_every: Span = Field(default=60.0, gt=0, description="How often it is asked whether the plans would work.")
    not_ready_after: Span = Field(
        default=1800.0, gt=0, description="A plan that wouldn't work for so long is an incident that pages people."
    )
    ahead_every: Span = Field(default=300.0, gt=0, description="How often content is copied ahead to the standby.")
    settle: Span = Field(default=300.0, ge=0, description="How long things must work until an incident closes.")


class PersonSection(Section):
    """Somebody who is told."""

    name: str | None = Field(default=None, min_length=1, max_length=100, description="As colleagues call them.")
    email: str = Field(pattern=r"^[^@\s]+@[^@\s]+$", description="Where mails reach them.")


class StoreSection(Section):
    """Where the daemon keeps what it must not forget."""

    path: str = Field(default="/var/lib/failover", description="The folder of the journal.")
    keys: str = Field(default="/etc/failover/keys", description="The folder of the keys that open the helpers.")
    known_hosts: str = Field(default="/etc/failover/known_hosts", description="The pinned host keys.")


class ConsoleSection(Section):
    """Where the daemon can be asked."""

    socket: str = Field(default="/run/failover/api.sock", description="For the command line; who asks is known there.")
    listen: str | None = Field(
        default="127.0.0.1:9180", description="For /metrics, /healthz and /readyz; a loopback address, or null."
    )

    @field_validator("listen")
    @classmethod
    def _is_loopback(cls, value: str | None) -> str | None:
        if value is None:
            return None
        host, colon, port = value.rpartition(":")
        try:
            loopback = ipaddress.ip_address(host.strip("[]")).is_loopback
        except ValueError:
            loopback = False
        if not colon or not loopback or not port.isdigit() or not 1 <= int(port) <= 65535:
            raise ValueError(f"{value!r} is not a loopback address with a port, as 127.0.0.1:9180 or [::1]:9180")
        return value


class SiteConfig(Section):
    """Everything about one site; its names are its own."""

    site: SiteSection = Field(description="Who this is.")
    monitor: tuple[str, ...] = Field(
        default=(), description="Addresses that the monitor comes from; the servers' helpers let only these in."
    )
    servers: dict[Name, ServerSection] = Field(min_length=1, description="The machines, by name.")
    roles: dict[Name, RoleSection] = Field(min_length=1, description="What they do for the site.")
    addresses: dict[Name, Address] = Field(default_factory=dict, description="The IPs that visitors use.")
    checks: dict[Name, AnyProbe] = Field(min_length=1, description="What is looked at, how often, how patiently.")
    witnesses: Witnesses = Field(
        default=(), description="Things outside the site that show that the monitor isn't cut off: the gateway first."
    )
    plans: dict[Name, Plan] = Field(default_factory=dict, description="What to do when it fails.")
    backups: dict[Name, AnyBackupSet] = Field(
        default_factory=dict, description="What is backed up, where to, when, and how long it is kept."
    )
    automation: Literal["on", "off"] = Field(
        default="on", description="`off`: plans of mode `auto` only propose, whatever their own mode."
    )
    profile: Literal["default", "fast"] = Field(
        default="default",
        description="How quick the checks are that plans wait for (`when`), where they don't say it themselves.",
    )
    watch: WatchSection = Field(default=WatchSection(), description="How the monitor looks at the world as a whole.")

    @field_validator("monitor")
    @classmethod
    def _are_addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            try:
                ipaddress.ip_network(text)
            except ValueError:
                raise ValueError(f"{text!r} is neither an IP address nor a network") from None
        return value

    @property
    def name(self) -> str:
        """How the site is called in the journal, metrics and commands."""
        return self.site.name

    @property
    def named_witnesses(self) -> dict[str, Any]:
        """The witnesses with a name each: their own, or kind and place."""
        if isinstance(self.witnesses, dict):
            return dict(self.witnesses)
        found: dict[str, Any] = {}
        for number, probe in enumerate(self.witnesses, start=1):
            where = getattr(probe, "address", None) or getattr(probe, "url", None) or probe.server or str(number)
            port = f":{probe.port}" if isinstance(probe, TcpProbe) else ""
            found[f"{probe.kind} {where}{port}"] = probe
        return found


class CommonConfig(Section):
    """What all sites of a daemon share."""

    people: dict[Name, PersonSection] = Field(
        default_factory=dict, description="Who is told; a channel's `to` may name them."
    )
    channels: dict[Name, AnyChannel] = Field(default_factory=dict, description="How people are told.")
    store: StoreSection = Field(default=StoreSection(), description="Where the daemon keeps what it must not forget.")
    console: ConsoleSection = Field(default=ConsoleSection(), description="Where the daemon can be asked.")


class WholeConfig(SiteConfig, CommonConfig):
    """One file that holds everything."""
