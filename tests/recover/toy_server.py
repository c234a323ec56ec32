"""A toy's helper. What it answers is what the real one answers; what it refuses, the real one refuses: older tokens,
another boot, requests past their ``not_after``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from failover.errors import ChangeFailed, OutcomeUnknown, Refused, ServerError, Unreachable
from failover.model import Token
from failover.servers.base import Answer, Progress
from tests.recover.toy_content import ToyContent
from tests.recover.toy_databases import ToyDatabases
from tests.recover.toy_world import TRIP_SECONDS, Host, World, address_of


class ToyServer(ToyContent, ToyDatabases):
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


def _quietly(act: Callable[[], Answer]) -> None:
    try:
        act()
    except ServerError:
        pass  # nobody hears a late refusal
