"""Enroll a server: put failover's helper on it, let the monitor in to that and nothing else, and see what drifted.

The work is done by ``enroll_program.py`` through the operator's own access; this says what is wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from failover.errors import ConfigError, FailoverError, Refused, ServerError
from failover.servers.access import Access
from failover.servers.base import Server
from failover.servers.enroll_plan import GUARD, EnrollPlan, helper_sha256, items
from failover.servers.lines import clean
from failover.servers.monitor_key import key_drift, monitor_key
from failover.servers.pins import HostKey, read_pins, write_pins
from failover.servers.policy import Policy

Say = Callable[[str], None]
HOST_KEY = "host key"


class EnrollError(FailoverError):
    """Enrolling could not be finished; what was done before stays, and is taken up again by the next try."""


@dataclass(frozen=True, slots=True)
class Drift:
    """One thing on a server that isn't as failover installs it."""

    kind: str
    name: str
    says: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name} {self.says}"


@dataclass(frozen=True, slots=True)
class EnrollResult:
    """What enrolling did. ``content_key`` is the public half of the server's content key, if it has one."""

    server: str
    changed: tuple[str, ...]
    drift: tuple[Drift, ...]
    content_key: str | None
    python: str

    @property
    def done(self) -> bool:
        """Whether everything is as wanted now."""
        return not self.drift


def pin(plan: EnrollPlan, shown: HostKey, agree: Callable[[str], bool], say: Say) -> None:
    """Pin the host key that the server shows, if the operator agrees that it's the right one.

    Args:
        plan: whose server.
        shown: the key.
        agree: asked with a question in words; True pins it.
        say: told what was done.

    Raises:
        EnrollError: they don't agree; nothing was sent to the server.
    """
    old = read_pins(plan.known_hosts, plan.ssh.host, plan.ssh.port)
    if shown in old:
        return
    where = f"{plan.server} ({plan.ssh.host} port {plan.ssh.port})"
    question = f"{where} shows the host key {shown.kind} {shown.fingerprint}. Is that its key?"
    if old:
        known = ", ".join(f"{key.kind} {key.fingerprint}" for key in old)
        question = (
            f"{where} was pinned to {known} and now shows {shown.kind} {shown.fingerprint}. Was its key replaced?"
        )
    if not agree(question):
        raise EnrollError(f"{plan.server}: the host key {shown.fingerprint} was not agreed to; nothing was sent")
    write_pins(plan.known_hosts, plan.ssh.host, plan.ssh.port, [shown])
    say(f"pinned the host key {shown.kind} {shown.fingerprint}")


def enroll(plan: EnrollPlan, access: Access, say: Say) -> EnrollResult:
    """Make everything on the server as wanted; safe to do again, then nothing changes.

    Raises:
        AccessError: the operator's access doesn't get there. EnrollError: something can't be made so. KeyTrouble.
    """
    public_key = monitor_key(plan.key, f"failover monitor of {plan.site} to {plan.server}")
    report = access.run({"mode": "install", "items": items(plan, public_key)})
    changed = tuple(f"{_name(entry)} ({_text(entry.get('was'))})" for entry in _entries(report, "changed"))
    for line in changed:
        say(f"set {line}")
    trouble = [str(drift) for drift in _drift(report, "trouble")]
    if trouble:
        raise EnrollError(f"{plan.server}: {'; '.join(trouble)}")
    content_key = _content_key(report)
    if content_key and plan.content_key_copy is not None:
        plan.content_key_copy.parent.mkdir(parents=True, exist_ok=True)
        plan.content_key_copy.write_text(content_key + "\n")
    for awaited in _awaited(plan):
        say(str(awaited))
    return EnrollResult(plan.server, changed, tuple(_drift(report, "drift")), content_key, _text(report.get("python")))


def check(plan: EnrollPlan, shown: HostKey, access: Access) -> list[Drift]:
    """Everything that isn't as wanted, on the server and on the monitor; changes nothing.

    A server that shows another host key than the pinned one isn't logged in to.

    Raises:
        AccessError: the operator's access doesn't get there.
    """
    found = _monitor_drift(plan, shown)
    if any(drift.kind == HOST_KEY and drift.name == plan.server for drift in found):
        return found
    try:
        public_key = plan.key.with_name(plan.key.name + ".pub").read_text().strip()
    except OSError:
        return found
    report = access.run({"mode": "check", "items": items(plan, public_key)})
    return [*found, *_drift(report, "drift"), *_drift(report, "trouble")]


def check_through(plan_policy: Policy, server: Server) -> list[Drift]:
    """What can be seen through the helper alone, without the operator: the helper's bytes, the policy, the boot guard.

    Raises:
        ServerError: the helper can't be reached.
    """
    facts = server.ask("facts", sections=["helper"])
    said = facts.get("helper")
    said = said if isinstance(said, dict) else {}
    found = []
    for kind, key, wanted in (("helper", "sha256", helper_sha256()), ("policy", "policy_sha256", plan_policy.sha256)):
        if said.get(key) != wanted:
            seen = clean(str(said.get(key)), 64)[:12]
            found.append(Drift(kind, server.name, f"has the sha256 {seen}…, this failover installs {wanted[:12]}…"))
    if plan_policy.addresses:
        try:
            guard = server.ask("service", unit=GUARD)
            if guard.get("enabled") not in (True, "enabled"):
                found.append(Drift("unit", GUARD, "isn't enabled"))
        except Refused as error:
            found.append(Drift("unit", GUARD, error.sentence))
    return found


def remove(plan: EnrollPlan, access: Access, say: Say) -> EnrollResult:
    """Take away all that enrolling put there, and the pin; the monitor's key pair for the server is deleted as well.

    Raises:
        AccessError, EnrollError: as :func:`enroll`.
    """
    public_key = plan.key.with_name(plan.key.name + ".pub")
    text = public_key.read_text().strip() if public_key.exists() else "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5"
    report = access.run({"mode": "remove", "items": items(plan, text)})
    changed = tuple(_name(entry) for entry in _entries(report, "changed"))
    for line in changed:
        say(f"removed {line}")
    if trouble := [str(drift) for drift in _drift(report, "trouble")]:
        raise EnrollError(f"{plan.server}: {'; '.join(trouble)}")
    for path in (plan.key, public_key, plan.content_key_copy):
        if path is not None:
            path.unlink(missing_ok=True)
    write_pins(plan.known_hosts, plan.ssh.host, plan.ssh.port, [])
    return EnrollResult(plan.server, changed, (), None, _text(report.get("python")))


def verify(server: Server) -> Iterable[Drift]:
    """Whether the monitor itself gets in now, through its own key."""
    try:
        server.ask("facts", sections=["helper"], within_seconds=15)
    except ServerError as error:
        yield Drift("login", server.name, f"doesn't work: {error.sentence}")


def _monitor_drift(plan: EnrollPlan, shown: HostKey) -> list[Drift]:
    found = []
    if said := key_drift(plan.key):
        found.append(Drift("key", str(plan.key), said))
    try:
        pins = read_pins(plan.known_hosts, plan.ssh.host, plan.ssh.port)
        if not pins:
            found.append(Drift(HOST_KEY, plan.server, "isn't pinned"))
        elif shown not in pins:
            known = ", ".join(key.fingerprint for key in pins)
            found.append(Drift(HOST_KEY, plan.server, f"is {shown.fingerprint}, but {known} is pinned"))
    except ConfigError as error:
        found.append(Drift(HOST_KEY, plan.server, f"can't be read: {error}"))
    return [*found, *_awaited(plan)]


def _awaited(plan: EnrollPlan) -> list[Drift]:
    again = f"enroll it, then {plan.server} again"
    keys = [
        Drift("content key", f"of {name}", f"isn't known to {plan.server} yet: {again}")
        for name in plan.awaited_readers
    ]
    pins = [Drift(HOST_KEY, f"of {name}", f"isn't pinned yet: {again}") for name in plan.awaited_sources]
    return [*keys, *pins]


def _content_key(report: Mapping[str, Any]) -> str | None:
    public = report.get("public")
    text = (
        next((value for value in public.values() if isinstance(value, str)), None) if isinstance(public, dict) else None
    )
    if text is None:
        return None
    try:
        return f"{HostKey.parse(text)} failover-content"  # what the server wrote behind the key isn't passed on
    except ValueError as error:
        raise EnrollError(f"the server's content key can't be used: {error}") from None


def _entries(report: Mapping[str, Any], part: str) -> list[dict[str, Any]]:
    value = report.get(part)
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _drift(report: Mapping[str, Any], part: str) -> list[Drift]:
    return [
        Drift(_text(entry.get("kind")), _text(entry.get("name")), _text(entry.get("says")))
        for entry in _entries(report, part)
    ]


def _name(entry: Mapping[str, Any]) -> str:
    return f"{_text(entry.get('kind'))} {_text(entry.get('name'))}"


def _text(value: object) -> str:
    return clean(str(value), 500) if value is not None else ""
