"""A bureau in memory: servers with state, requests that get lost or come late, time that only this file moves.

What a toy answers is what the real helper answers; what it refuses, the real one refuses: older tokens, another boot,
requests past their ``not_after``. The :class:`Oracle` sees what no server can: who answers for an address, always.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from failover.errors import ChangeFailed, OutcomeUnknown, Refused, ServerError, Unreachable
from failover.model import Reading, State, Token
from failover.recover.control import Clock
from failover.servers.base import Answer, Progress
from tests.recover.toy_databases import Backup, Db, ToyDatabases

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


class ToyServer(ToyDatabases):
    """A server behind its helper, as the monitor sees it."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    @property
    def host(self) -> Host:
        return self.world.hosts[self._name]

    def warm(self) -> bool:
        return self.host.on

    def close(self) -> None:
        pass

    def _reached(self, within_seconds: float) -> None:
        if not self.host.on or not self.world.reach("monitor", self._name):
            self.world.pass_time(min(within_seconds, 0.3))
            raise Unreachable(self._name, "no session")
        self.world.pass_time(TRIP_SECONDS)

    def ask(self, verb: str, /, *, within_seconds: float = 5.0, **args: Any) -> Answer:
        self.world.at_call(f"before ask {self._name} {verb}")
        self._reached(within_seconds)
        answer = getattr(self, f"_ask_{verb}")(**args)
        self.world.at_call(f"after ask {self._name} {verb}")
        assert isinstance(answer, dict)
        return answer

    def change(
        self, verb: str, args: Mapping[str, Any], /, *, token: Token, within_seconds: float,
        progress: Progress | None = None,
    ) -> Answer:  # fmt: skip
        self.world.at_call(f"before change {self._name} {verb}")
        self.world.calls.append((self._name, verb, dict(args), token))
        fate = self.world.fate_of(verb)
        if fate == "unreachable":
            raise Unreachable(self._name, "no session")
        self._reached(within_seconds)
        not_after, boot = self.world.time + within_seconds, self.host.boot

        def act() -> Answer:
            return self._act(verb, args, token, not_after, boot)

        answer = self._suffer(fate, act, within_seconds)
        self.world.at_call(f"after change {self._name} {verb}")
        return answer

    def _suffer(self, fate: str, act: Callable[[], Answer], within_seconds: float) -> Answer:
        kind, _, detail = fate.partition(":")
        if kind == "refused":
            raise Refused(self._name, detail, f"no: {detail}")
        if kind == "failed":
            raise ChangeFailed(self._name, detail, f"began, then: {detail}")
        if kind == "executed":
            act()
        if kind == "late":  # held up on the way, and carried out at the last moment at which the helper takes it
            self.world.later.append((self.world.time + within_seconds * 0.999, lambda: _quietly(act)))
            self.world.pass_time(within_seconds * 0.5)
            raise OutcomeUnknown(self._name, f"no answer within {within_seconds:g} s")
        if kind in ("executed", "lost"):
            self.world.pass_time(within_seconds)
            raise OutcomeUnknown(self._name, f"no answer within {within_seconds:g} s")
        return act()

    def _act(self, verb: str, args: Mapping[str, Any], token: Token, not_after: float, boot: int) -> Answer:
        if not self.host.on:
            raise Unreachable(self._name, "no session")
        if token < self.host.newest:
            raise Refused(self._name, "stale-token", f"{tuple(token)} is older than {tuple(self.host.newest)}")
        if boot != self.host.boot:
            raise Refused(self._name, "other-boot", "the request is for another boot")
        if self.world.time > not_after:
            raise Refused(self._name, "past-deadline", "the request is late")
        self.host.newest = token
        answer: Answer = getattr(self, f"_change_{verb}")(dict(args))
        self.world.changed()
        return answer

    # address ---------------------------------------------------------------------------------------------------

    def _ask_address(self, ip: str, probe: bool = False) -> Answer:
        interface, prefix = self.host.held.get(ip, (None, None))
        answer: Answer = {
            "held": ip in self.host.held, "interface": interface, "prefix": prefix, "mac": self.host.mac,
            "parked": ip in self.host.parked, "tentative": False, "dadfailed": False,
        }  # fmt: skip
        if probe:
            answer["answered_by"] = self._others(ip)
        return answer

    def _change_address(self, args: dict[str, Any]) -> Answer:
        ip = args["ip"]
        if args["want"] == "released":
            self.host.parked.add(ip)
            self.host.held.pop(ip, None)
        else:
            if others := self._others(ip):
                raise Refused(self._name, "address-taken", f"{others[0]} answers for {ip}")
            self.host.parked.discard(ip)
            self.host.held[ip] = (args["interface"], args["prefix"] or 24)
        return self._ask_address(ip)

    def _others(self, ip: str) -> list[str]:
        """Everybody else who answers for it, as an ARP probe finds them."""
        others = [host.mac for host in self.world.hosts.values() if host is not self.host and self._hears(host, ip)]
        return others + [mac for stranger, mac in self.world.strangers.items() if stranger == ip]

    def _hears(self, other: Host, ip: str) -> bool:
        return other.answers_for(ip) and self.world.reach(self._name, other.name)

    # service ---------------------------------------------------------------------------------------------------

    def _ask_service(self, unit: str, fit: bool = False) -> Answer:
        state = self.host.services.get(unit)
        parked = unit in self.host.parked_units if unit in self.host.alone else None
        answer = {"load": "loaded" if state else "not-found", "active": state or "inactive", "sub": "", "main_pid": 1}
        return {**answer, "parked": parked, **({"hindrances": list(self.host.unfit)} if fit else {})}

    def _change_service(self, args: dict[str, Any]) -> Answer:
        unit, want, host = args["unit"], args["want"], self.host
        if want == "restarted" and unit in host.parked_units:
            raise Refused(self._name, "unit-parked", f"{unit} isn't restarted: it is parked")
        if want != "stopped" and host.unfit and host.services.get(unit) != "active":
            raise Refused(self._name, "not-fit", "; ".join(host.unfit))
        if want == "stopped":
            host.parked_units |= host.alone & {unit}
        else:
            host.parked_units.discard(unit)
            self.world.started(host, unit)
        host.services[unit] = "inactive" if want == "stopped" else "active"
        if want == "restarted":
            if host.hopeless:
                host.services[unit] = "failed"
            else:
                host.broken.discard(unit)
        return {**self._ask_service(unit), "removed": []}

    # connect and command ---------------------------------------------------------------------------------------

    def _ask_connect(self, file: str) -> Answer:
        if file not in self.host.files:
            raise Refused(self._name, "no-such-file", f"{file} can't be read: No such file or directory")
        kept = [f"{file}.before-{run}" for path, run in self.host.before if path == file]
        return {"values": dict(self.host.files[file]), "kept": kept}

    def _change_connect(self, args: dict[str, Any]) -> Answer:
        file, run = args["file"], args["run"]
        was = dict(self._ask_connect(file)["values"])
        if args.get("want") == "restored" and (file, run) not in self.host.before:
            raise Refused(self._name, "no-such-file", f"{file} wasn't changed by run {run}")
        now = self.host.before[file, run] if "want" in args else {**was, **args["set"]}
        if now != was:
            self.host.before.setdefault((file, run), was)
            self.host.files[file] = dict(now)
        return {**self._ask_connect(file), "before": was, "after": dict(now), "changed": now != was}

    def _change_command(self, args: dict[str, Any]) -> Answer:
        if args["name"] not in self.host.commands:
            raise Refused(self._name, "not-in-policy", f"the command {args['name']!r} is not in this server's policy")
        try:
            output = self.host.commands[args["name"]]()
        except ValueError as error:
            raise ChangeFailed(self._name, "command-failed", str(error), {"exit": 1, "output": ""}) from None
        return {"exit": 0, "output": output, "truncated": False, "seconds": 0.01}

    # content ---------------------------------------------------------------------------------------------------

    def _ask_manifest(self, path: str) -> Answer:
        if path not in self.host.content:
            raise Refused(self._name, "no-such-path", f"there is no {path}")
        return {key: self.host.content[path][key] for key in ("digest", "files", "bytes")}

    def _ask_content(self, path: str, verify: bool = False, since: float = 0.0, **against: Any) -> Answer:
        if not against:
            return {"current": self.host.content.get(path), "releases": [], "staging": None}
        source = self.world.hosts[against["source"]]
        if not source.on or not self.world.reach(self._name, source.name):
            raise Refused(self._name, "source-unreachable", f"{source.name} can't be reached")
        if source.content[path]["digest"] != against["digest"]:
            raise Refused(self._name, "changed-during-copy", "the source changed")
        kept = self.host.releases.get(path) or [(0.0, self.host.content.get(path, {}))]
        here = files_of(next((content for at, content in reversed(kept) if at <= since), kept[0][1]))
        there = files_of(source.content[path])
        changed = {name for name in set(here) & set(there) if here[name] != there[name]}
        new = (set(there) - set(here)) | changed
        return {
            "added": len(new - changed), "changed": len(changed), "removed": len(set(here) - set(there)),
            "bytes": 10 * len(new), "of": None,
        }  # fmt: skip

    def _change_content(self, args: dict[str, Any]) -> Answer:
        source, path = self.world.hosts[args["source"]], args["path"]
        self.world.pass_time(0.05)
        if not source.on or not self.world.reach(self._name, source.name):
            raise ChangeFailed(self._name, "source-unreachable", f"{source.name} can't be reached")
        found = source.content[path]
        if found["digest"] != args["digest"]:
            raise ChangeFailed(self._name, "changed-during-copy", "the source changed")
        have = self.host.content.get(path, {"files": 0})
        if have["files"] and found["files"] < have["files"] * (1 - args["max_loss_percent"] / 100):
            raise Refused(self._name, "source-suspect", f"{found['files']} files instead of {have['files']}")
        if found["bytes"] > self.host.free_bytes:
            raise ChangeFailed(self._name, "no-space", "the disk is full")
        releases = self.host.releases.setdefault(path, [(0.0, self.host.content.get(path, {}))])
        releases.append((self.world.now().timestamp(), found))
        self.host.content[path] = {**found, "verified_at": self.world.now().isoformat(), "source": source.name}
        return {**found, "seconds": 0.05}

    # the rest --------------------------------------------------------------------------------------------------

    def _ask_see(self, timeout_seconds: float = 1.0, **args: Any) -> Answer:
        no: Answer = {"seen": False, "reason": "no answer", "status": None, "headers": {}, "seconds": 0.0, "mac": None}
        if "url" not in args:
            target = self._target(args["ip"])
            return {**no, "seen": target is not None, "reason": "answered" if target else "no answer"}
        ip = args["url"].split("/")[2]
        host = self._target(ip)
        hidden = host is not None and host.name in self.world.unseen and ip in host.held
        if host is None or hidden or not self.world.serves(host):
            return no
        text = str(host.content["/srv/site"].get("text", ""))
        if args.get("contains") and args["contains"] not in text:
            return {**no, "reason": f"the page doesn't contain {args['contains']!r}"}
        return {
            **no,
            "seen": True,
            "reason": "200 OK",
            "status": 200,
            "headers": {"x-served-by": host.name},
            "mac": host.mac,
        }

    def _target(self, ip: str) -> Host | None:
        host = self.world.holder(ip) or self.world.hosts.get(ip.removeprefix("at-"))
        host = host or next(
            (host for host in self.world.hosts.values() if address_of(host.name, self.world) == ip), None
        )
        return host if host is not None and host.on and self.world.reach(self._name, host.name) else None

    def _ask_fitness(self) -> Answer:
        return {"lacks": list(self.host.lacks), "versions": dict(self.host.versions), "policy": self.host.policy}

    def _ask_facts(self, sections: list[str]) -> Answer:
        own = address_of(self._name, self.world)
        return {
            "helper": dict(self.host.helper),
            "interfaces": [{"name": "eth0", "mac": self.host.mac, "up": True, "carrier": True}],
            "addresses": [{"interface": "eth0", "ip": own, "prefix": 24, "mac": self.host.mac}],
            "disks": {
                "/": {"size_bytes": 10**12, "free_bytes": self.host.free_bytes, "free_inodes": 9, "read_only": False}
            },
        }


class ToyFence:
    """Cuts a toy's power. Honest unless told otherwise."""

    def __init__(self, world: World, server: str, *, works: bool = True, lies: bool = False) -> None:
        self.world = world
        self.server = server
        self.works = works
        self.lies = lies

    @property
    def name(self) -> str:
        return f"fence:{self.server}"

    def warm(self) -> bool:
        return True

    def close(self) -> None:
        pass

    def ask(self, verb: str, /, *, within_seconds: float = 5.0, **args: Any) -> Answer:
        self.world.pass_time(0.2)
        if not self.works:
            raise Unreachable(self.name, "the power strip doesn't answer")
        return {"off": not self.world.hosts[self.server].on}

    def change(
        self, verb: str, args: Mapping[str, Any], /, *, token: Token, within_seconds: float,
        progress: Progress | None = None,
    ) -> Answer:  # fmt: skip
        self.world.at_call(f"before change {self.name} {verb}")
        self.world.calls.append((self.name, verb, dict(args), token))
        fate = self.world.fate_of(verb)
        self.world.pass_time(0.5)
        if not self.works:
            raise Unreachable(self.name, "the power strip doesn't answer")
        if fate not in ("lost", "unreachable"):
            self.world.power_off(self.server)
        if fate:
            raise OutcomeUnknown(self.name, "no answer")
        self.world.at_call(f"after change {self.name} {verb}")
        return {"off": True}


def address_of(name: str, world: World) -> str:
    """The management address of a toy."""
    return f"10.77.0.{10 + sorted(world.hosts).index(name)}"


def files_of(content: Mapping[str, Any]) -> dict[str, str]:
    """By name, what stands in a file of some content; without names it is one file."""
    found: dict[str, str] = content.get("paths", {"index.html": content["digest"]} if content else {})
    return found


def _quietly(act: Callable[[], Answer]) -> None:
    try:
        act()
    except ServerError:
        pass  # nobody hears a late refusal
