"""A bureau in memory: servers with state, requests that get lost or come late, time that only this file moves.

The :class:`Oracle` sees what no server can: who answers for an address, always.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from failover.model import Reading, State, Token
from failover.recover.control import Clock
from tests.recover.toy_databases import Backup, Db

MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)
TRIP_SECONDS = 0.004


class Killed(BaseException):
    """``kill -9`` of the daemon at this very line."""


@dataclass
class Host:
    """One machine, as it really is."""

    name: str
    mac: str
    on: bool = True
    boot: int = 1
    held: dict[str, tuple[str, int]] = field(default_factory=dict)
    parked: set[str] = field(default_factory=set)
    services: dict[str, str] = field(default_factory=dict)
    alone: set[str] = field(default_factory=set)
    """Units that only one server may run, and that a boot would start: the policy has the guard park them."""
    parked_units: set[str] = field(default_factory=set)
    unfit: list[str] = field(default_factory=list)
    """What keeps any unit from being started."""
    guard_works: bool = True
    files: dict[str, dict[str, str]] = field(default_factory=dict)
    """By path, the settings in a file that a program reads at its start."""
    before: dict[tuple[str, int], dict[str, str]] = field(default_factory=dict)
    """By path and run, a file before its first edit."""
    commands: dict[str, Callable[[], str]] = field(default_factory=dict)
    """By name, what a command of the site's own does and prints."""
    broken: set[str] = field(default_factory=set)
    """Units that don't serve though they run; a restart heals them unless they are ``hopeless``."""
    hopeless: bool = False
    content: dict[str, dict[str, Any]] = field(default_factory=dict)
    releases: dict[str, list[tuple[float, dict[str, Any]]]] = field(default_factory=dict)
    """By path, all that was ever served there, and since when."""
    free_bytes: int = 10**12
    newest: Token = field(default_factory=lambda: Token(0, 0))
    lacks: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=lambda: {"nginx": "1.22.1"})
    helper: dict[str, str] = field(default_factory=dict)
    """The sha256 of the helper and of its policy, as they lie on the machine."""
    policy: dict[str, Any] = field(default_factory=dict)
    boot_config: dict[str, tuple[str, int]] = field(default_factory=dict)
    databases: dict[str, Db] = field(default_factory=dict)
    db_version: str = "15.20"
    db_room: int = 10**12
    db_account: bool = True
    backups: dict[str, dict[str, Backup]] = field(default_factory=dict)

    def runs(self, unit: str) -> bool:
        return self.on and self.services.get(unit) == "active"

    def answers_for(self, ip: str) -> bool:
        return self.on and ip in self.held and ip not in self.parked


class Oracle:
    """Every moment at which more than one machine answered for an address (I1)."""

    def __init__(self) -> None:
        self.overlaps: list[str] = []
        self.holders: list[tuple[float, str, tuple[str, ...]]] = []

    def look(self, at: float, hosts: Mapping[str, Host]) -> None:
        for ip in {ip for host in hosts.values() for ip in host.held}:
            holders = tuple(sorted(name for name, host in hosts.items() if host.answers_for(ip)))
            if not self.holders or self.holders[-1][1:] != (ip, holders):
                self.holders.append((at, ip, holders))
            if len(holders) > 1:
                self.overlaps.append(f"at {at:.3f} s {ip} is answered by {' and '.join(holders)}")
        for unit in {unit for host in hosts.values() for unit in host.alone}:
            run = sorted(name for name, host in hosts.items() if host.runs(unit) and unit in host.alone)
            if len(run) > 1:
                self.overlaps.append(f"at {at:.3f} s {unit} runs on {' and '.join(run)}")


class World(Clock):
    """The machines, the wires between them, and the time."""

    def __init__(self, *names: str) -> None:
        self.time = 0.0
        self.serving: str | None = None
        """The server whose database serves since the last swap."""
        self.unsound: list[str] = []
        """Every database that was put in place and isn't what a good backup holds (I8)."""
        self.hosts = {name: Host(name, f"02:00:00:00:00:{at:02x}") for at, name in enumerate(names, start=1)}
        self.oracle = Oracle()
        self.cut: set[tuple[str, str]] = set()
        """Pairs that can't reach each other; the monitor is ``monitor``."""
        self.unseen: set[str] = set()
        """Hosts whose service addresses a switch hides from everybody but the monitor (ARP inspection)."""
        self.strangers: dict[str, str] = {}
        """Machines of nobody that answer for an address: ip -> mac."""
        self.later: list[tuple[float, Callable[[], None]]] = []
        self.at_call: Callable[[str], object] = lambda _where: None
        """Called before and after every call of a server; a test may kill or change the world there."""
        self.fates: list[tuple[str, str]] = []
        """``(verb, fate)`` of the next changes: ``executed lost late unreachable failed:KIND refused:KIND``."""
        self.calls: list[tuple[str, str, dict[str, Any], Token]] = []
        self.on_wait: Callable[[float], None] = lambda _seconds: None
        self.loaded: dict[str, dict[str, dict[str, str]]] = {}
        """By host, the settings that its WCM read when it started; what is edited later it doesn't know."""

    # time ------------------------------------------------------------------------------------------------------

    def monotonic(self) -> float:
        return self.time

    def now(self) -> datetime:
        return MIDNIGHT + timedelta(seconds=self.time)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        self.on_wait(seconds)
        if not event.is_set():
            self.pass_time(seconds)
        return event.is_set()

    def pass_time(self, seconds: float) -> None:
        end = self.time + seconds
        while due := sorted((entry for entry in self.later if entry[0] <= end), key=lambda entry: entry[0]):
            at, act = due[0]
            self.later.remove(due[0])
            self.time = max(self.time, at)
            act()
            self.oracle.look(self.time, self.hosts)
        self.time = max(self.time, end)

    def fate_of(self, verb: str) -> str:
        """What becomes of the next request of that verb; each fate is met once."""
        for entry in self.fates:
            if entry[0] == verb:
                self.fates.remove(entry)
                return entry[1]
        return ""

    # the world -------------------------------------------------------------------------------------------------

    def changed(self) -> None:
        self.oracle.look(self.time, self.hosts)

    def power_off(self, name: str) -> None:
        self.hosts[name].on = False
        self.changed()

    def boot(self, name: str) -> None:
        """Boot again, with the guard that parks every service address before the network comes up."""
        host = self.hosts[name]
        host.boot += 1
        host.parked |= {ip for other in self.hosts.values() for ip in (*other.held, *other.boot_config, *other.parked)}
        host.held = dict(host.boot_config)
        host.parked_units = set(host.alone) if host.guard_works else set()
        host.services |= dict.fromkeys(host.alone, "inactive" if host.guard_works else "active")
        host.on = True
        self.changed()

    def started(self, host: Host, unit: str) -> None:
        """A program starts, and reads its settings."""
        if unit in host.alone:
            self.loaded[host.name] = {path: dict(values) for path, values in host.files.items()}

    def reach(self, one: str, other: str) -> bool:
        return (one, other) not in self.cut and (other, one) not in self.cut

    def served(self, name: str, db: Db) -> None:
        self.serving = name
        if not db.sound:
            self.unsound.append(f"at {self.time:.3f} s {name} serves what is only half of {db.note}")

    def unserved(self, name: str) -> None:
        self.serving = None

    def holder(self, ip: str) -> Host | None:
        return next((host for host in self.hosts.values() if host.answers_for(ip)), None)

    def serves(self, host: Host) -> bool:
        return host.services.get("nginx") == "active" and "nginx" not in host.broken and "/srv/site" in host.content

    def look(self, check: str, server: str) -> Reading:
        """The check ``website``, from the monitor."""
        self.pass_time(TRIP_SECONDS)
        host = self.holder("10.77.0.100")
        if "monitor" in {end for pair in self.cut for end in pair} and ("monitor", "*") in self.cut:
            return Reading(check, State.UNKNOWN, "the monitor is cut off", self.now())
        if host is None or not self.reach("monitor", host.name):
            return Reading(check, State.DOWN, "nobody answers", self.now())
        if not self.serves(host):
            return Reading(check, State.DOWN, f"{host.name} doesn't serve", self.now())
        return Reading(check, State.UP, f"served by {host.name}", self.now())


def address_of(name: str, world: World) -> str:
    """The management address of a toy."""
    return f"10.77.0.{10 + sorted(world.hosts).index(name)}"
