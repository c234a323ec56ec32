"""What the servers themselves say, asked every few seconds: who is there, and which address is where."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from failover.errors import HostKeyChanged, Refused, ServerError
from failover.model import utc_now
from failover.monitor.looks import phase
from failover.monitor.setup import Setup
from failover.monitor.sight import Asker

ASK_SECONDS = 3.0
HANGS_SECONDS = 0.5
"""A warm session answers in milliseconds."""
SECTIONS = ("addresses", "parked", "boot_id")


@dataclass(frozen=True, slots=True)
class ServerNow:
    """A server as it last answered, or failed to."""

    name: str
    reachable: bool | None = None
    """None: not asked yet."""
    since: datetime | None = None
    """Since when it is so."""
    at: datetime | None = None
    """When it was last asked."""
    heard: datetime | None = None
    """When it was last asked something that it answered: what it said is as new as that, or newer."""
    reason: str = "not asked yet"
    boot_id: str | None = None
    held: frozenset[str] = frozenset()
    """The IPs on its interfaces."""
    parked: frozenset[str] = frozenset()
    """The service addresses that are silenced there."""
    key_changed: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict, repr=False)


def heard_from(before: ServerNow, facts: Mapping[str, Any], now: datetime) -> ServerNow:
    """The server after an answer."""
    return replace(
        before,
        reachable=True,
        since=before.since if before.reachable else now,
        at=now,
        heard=now,
        reason="answers",
        boot_id=facts.get("boot_id", before.boot_id),
        held=frozenset(_plain(entry["ip"]) for entry in facts.get("addresses", ())),
        parked=frozenset(_plain(ip) for ip in facts.get("parked", ())),
        key_changed=False,
        facts=facts,
    )


def silent(before: ServerNow, error: ServerError, now: datetime) -> ServerNow:
    """The server after a question without an answer. What it held then is kept: it may hold it still."""
    return replace(
        before,
        reachable=False,
        since=before.since if before.reachable is False else now,
        at=now,
        reason=error.sentence,
        key_changed=isinstance(error, HostKeyChanged),
    )


def _plain(ip: str) -> str:
    return str(ipaddress.ip_address(ip.partition("/")[0].partition("%")[0]))


class World:
    """Keeps a :class:`ServerNow` of each server. Each is asked by a task of its own, and not again while it hangs."""

    def __init__(
        self,
        setup: Setup,
        asker: Asker,
        looked: Callable[[ServerNow, ServerNow], None],
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._setup = setup
        self._asker = asker
        self._looked = looked
        self._now = now
        self.servers = {name: ServerNow(name) for name in setup.machines}
        self._wanted = {name: asyncio.Event() for name in setup.machines}
        self._asked: dict[str, datetime] = {}

    async def run(self) -> None:
        """Ask until cancelled."""
        async with asyncio.TaskGroup() as group:
            for name in self.servers:
                group.create_task(self._watch(name), name=f"facts of {name}")

    def soon(self, name: str | None) -> None:
        """Something about this server failed: ask it now, unless it is being asked."""
        if name in self._wanted:
            self._wanted[name].set()

    def silent_since(self, name: str) -> datetime | None:
        """Since when it gives no answer; None when it does. A question that hangs is silence already, but not the first
        one, for which a session has to be opened."""
        seen = self.servers[name]
        if seen.reachable is False:
            return seen.since
        return self.hangs_since(name) if seen.reachable else None

    def hangs_since(self, name: str) -> datetime | None:
        """When the question was asked that hangs now; None when none does."""
        asked = self._asked.get(name)
        return asked if asked is not None and (self._now() - asked).total_seconds() > HANGS_SECONDS else None

    def met(self, name: str) -> bool:
        """Whether a first question to it has ended, one way or the other."""
        return self.servers[name].reachable is not None

    async def look(self, name: str) -> ServerNow:
        """Ask one server now."""
        before = self.servers[name]
        self._asked[name] = asked = self._now()
        try:
            facts = await self._asker.ask(name, "facts", ASK_SECONDS, sections=list(SECTIONS))
            now = heard_from(self.servers[name], facts, asked)
        except Refused as error:  # it answers, if only to say no
            now = replace(heard_from(before, before.facts, self._now()), reason=error.sentence)
        except ServerError as error:
            now = silent(self.servers[name], error, self._now())
        del self._asked[name]
        self.servers[name] = now
        self._looked(before, now)
        return now

    async def _watch(self, name: str) -> None:
        every = self._setup.world_every
        await asyncio.sleep(phase(name) * min(every, 0.5))
        wanted = self._wanted[name]
        while True:
            wanted.clear()
            await self.look(name)
            try:
                async with asyncio.timeout(every):
                    await wanted.wait()
            except TimeoutError:
                pass
