"""Whether each service address is where the journal says, judged from what the servers say. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from failover.monitor.setup import Setup
from failover.monitor.world import ServerNow

FRESH = timedelta(seconds=15)


class Place(StrEnum):
    """Where an address is, compared with where it should be."""

    OK = "ok"
    MISSING = "missing"
    """The holder is there and doesn't have it, and nobody else has it either."""
    ELSEWHERE = "elsewhere"
    TWICE = "twice"
    UNPARKED = "unparked"
    """The holder has it; a server that doesn't hold the role could answer for it once it takes it."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class AddressNow:
    """A service address: where it should be, and where it is."""

    name: str
    ip: str
    role: str
    expected: str
    held_by: tuple[str, ...]
    place: Place
    reason: str
    at_large: bool = False
    """Whether the role's other server is heard and nothing keeps it from answering: nobody ever parked it."""

    @property
    def drift(self) -> bool:
        """Whether the world contradicts the journal, so that nothing is moved by itself meanwhile."""
        return self.place in (Place.ELSEWHERE, Place.TWICE)


def judge(
    setup: Setup,
    holders: Mapping[str, str],
    servers: Mapping[str, ServerNow],
    now: datetime,
    moved_at: datetime | None = None,
) -> tuple[AddressNow, ...]:
    """Every service address of the site, in the config's order.

    What was heard before ``moved_at``, when a run last changed something, was said of another world.
    """
    return tuple(
        _judge_one(setup, name, role, holders[role], servers, now, moved_at)
        for role, its in setup.roles.items()
        for name in its.addresses
    )


def _judge_one(
    setup: Setup,
    name: str,
    role: str,
    holder: str,
    servers: Mapping[str, ServerNow],
    now: datetime,
    moved_at: datetime | None,
) -> AddressNow:
    ip = setup.addresses[name].host
    fresh = {
        server: seen
        for server, seen in servers.items()
        if seen.reachable
        and seen.heard is not None
        and timedelta(0) <= now - seen.heard <= FRESH
        and (moved_at is None or seen.heard >= moved_at)
    }
    held_by = tuple(server for server, seen in fresh.items() if ip in seen.held)
    strangers = [server for server in held_by if server != holder]
    other = setup.roles[role].other(holder)
    at_large = other in fresh and ip not in fresh[other].parked
    if strangers and holder in held_by:
        place, reason = Place.TWICE, f"{' and '.join(held_by)} hold it at once; {holder} should alone"
    elif strangers:
        place, reason = Place.ELSEWHERE, f"{' and '.join(strangers)} holds it; {holder} should"
    elif holder not in fresh:
        seen = servers.get(holder)
        place, reason = Place.UNKNOWN, _not_heard(holder, seen)
    elif holder not in held_by:
        place, reason = Place.MISSING, f"{holder} should hold it and doesn't, nor does anybody else"
    elif at_large:
        place, reason = Place.UNPARKED, f"{other} isn't kept from answering for it"
    else:
        place, reason = Place.OK, f"{holder} holds it"
    return AddressNow(name, ip, role, holder, held_by, place, reason, at_large)


def _not_heard(holder: str, seen: ServerNow | None) -> str:
    if seen is not None and seen.reachable:
        return f"{holder} is being asked again"
    return f"{holder} can't be asked: {seen.reason if seen else 'no such server'}"
