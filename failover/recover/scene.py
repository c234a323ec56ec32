"""What the steps of one run may see of the world: which role moves from whom to whom, and through whom to reach them.

Steps speak of roles, ``old`` and ``new``, never of "the backup": that is why failback is the same plan run the other way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from failover.model import Reading, RunKind, utc_now
from failover.recover.address import Address
from failover.servers.base import Server, Servers


@dataclass(frozen=True, slots=True)
class RoleNow:
    """A role and who holds it, at the moment the run was opened."""

    name: str
    holder: str
    standby: str
    addresses: tuple[str, ...] = ()
    path: str | None = None
    """Where the role's content lies, for roles that have content."""


@dataclass(frozen=True, slots=True)
class Word:
    """A named person's word, given for this run."""

    word: str
    by: str
    why: str
    at: datetime


@dataclass(frozen=True)
class Scene:
    """The world as one run sees it. Frozen but for what the engine feeds in through the callables."""

    site: str
    kind: RunKind
    role: RoleNow
    old: str
    """The server that the role leaves."""
    new: str
    """The server that the role goes to."""
    roles: Mapping[str, RoleNow]
    addresses: Mapping[str, Address]
    servers: Servers
    """Every server by name, and every fence as ``fence:NAME``."""
    hosts: Mapping[str, str]
    """The IP of each server, as the other servers reach it (management address)."""
    look: Callable[[str], Reading]
    """Looks at a check of the config now, from the monitor."""
    word: Callable[[str], Word | None] = field(default=lambda _word: None)
    """A person's word given for this run, for example ``released:www``."""
    outcome: Callable[[str, str], Mapping[str, object] | None] = field(default=lambda _server, _verb: None)
    """What the journal holds as the confirmed outcome of a change that this run made: server, verb. For what facts can't tell."""
    note: Callable[[str], None] = field(default=lambda _text: None)
    """Says something that people should know of this run, for example the age of a copy."""
    now: Callable[[], datetime] = utc_now
    silent_since: Callable[[str], datetime | None] = field(default=lambda _server: None)
    """Since when a server has been silent on every path (ssh, ping, its checks, seen from others), or None."""

    def server(self, name: str) -> Server:
        """The server of that name."""
        return self.servers[name]
