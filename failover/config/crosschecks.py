"""What no single key can tell: names that name nothing, timers that contradict each other, plans that can't work."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator

from failover.config.messages import did_you_mean
from failover.config.model import CommonConfig, SiteConfig
from failover.config.strict_yaml import Path
from failover.model import Mode, format_span
from failover.recover.address import FenceProof, ReadBack
from failover.recover.steps import AddressHeld, Answers, ContentSynced, Released, ServiceRunning

Found = Iterator[tuple[Path, str]]


def crosscheck(site: SiteConfig, common: CommonConfig | None) -> Iterable[tuple[Path, str]]:
    """Every contradiction in a site, with the place to mend it."""
    for look in (_servers, _roles, _addresses, _checks, _cycles, _plans, _steps, _automation):
        yield from look(site)
    if common is not None and not common.channels and any(plan.mode is not Mode.OFF for plan in site.plans.values()):
        yield ("plans",), "somebody has to be told when a plan runs or can't: there are no channels"


def crosscheck_common(common: CommonConfig) -> Iterable[tuple[Path, str]]:
    """Every contradiction in what all sites share."""
    if common.channels and not any(
        channel.least.rank >= 0 and channel.after == 0 for channel in common.channels.values()
    ):
        yield ("channels",), "every channel waits before it sends, so that nobody is told at once; give one no 'after'"


def _unknown(what: str, name: str, known: Iterable[str]) -> str:
    return f"there is no {what} {name!r}{did_you_mean(name, known)}"


def _servers(site: SiteConfig) -> Found:
    seen: dict[tuple[str, int], str] = {}
    for name, server in site.servers.items():
        place = (server.ssh.host, server.ssh.port)
        if place in seen:
            yield ("servers", name, "ssh"), f"{server.ssh.host} is the server {seen[place]} already"
        seen.setdefault(place, name)


def _roles(site: SiteConfig) -> Found:
    taken: dict[str, str] = {}
    for name, role in site.roles.items():
        for part, server in (("home", role.home), ("standby", role.standby)):
            if server not in site.servers:
                yield ("roles", name, part), _unknown("server", server, site.servers)
        if role.home == role.standby:
            yield ("roles", name, "standby"), f"{role.standby} can't stand by for itself"
        for address in role.address:
            if address not in site.addresses:
                yield ("roles", name, "address"), _unknown("address", address, site.addresses)
            elif address in taken:
                yield ("roles", name, "address"), f"{address} goes with the role {taken[address]} already"
            taken.setdefault(address, name)


def _addresses(site: SiteConfig) -> Found:
    managed = {server.ssh.host: name for name, server in site.servers.items()}
    seen: dict[str, str] = {}
    for name, address in site.addresses.items():
        if address.host in managed:
            server = managed[address.host]
            yield (
                ("addresses", name, "ip"),
                f"{address.host} is where the monitor reaches {server}: when it moves, {server} can't be reached any "
                f"more; give {server} a second address and write that one as its ssh",
            )
        if address.host in seen:
            yield ("addresses", name, "ip"), f"{address.host} is the address {seen[address.host]} already"
        seen.setdefault(address.host, name)
        roles = [role for role in site.roles.values() if name in role.address]
        kinds = {type(proof) for proof in address.release}
        for role in roles:
            for server in (role.home, role.standby):
                if kinds == {FenceProof} and server in site.servers and site.servers[server].fence is None:
                    yield ("addresses", name, "release"), f"only a fence may prove the release, and {server} has none"
        for role in roles:
            for server in (role.home, role.standby):
                yield from _in_one_network(name, address.ip, server, site)


def _in_one_network(name: str, ip: str, server: str, site: SiteConfig) -> Found:
    if "/" not in ip or server not in site.servers:
        return
    network = ipaddress.ip_interface(ip).network
    try:
        own = ipaddress.ip_address(site.servers[server].ssh.host)
    except ValueError:
        return  # a host name; the helper looks at the interface itself
    if own.version == network.version and own not in network and network.num_addresses > 1:
        yield (
            ("addresses", name, "ip"),
            f"{ip} isn't in the network of {server} ({own}): an address can only move within one network segment",
        )


def _checks(site: SiteConfig) -> Found:
    for name, check in site.checks.items():
        where = ("checks", name)
        if check.role is not None and check.role not in site.roles:
            yield (*where, "role"), _unknown("role", check.role, site.roles)
        if check.server is not None and check.server not in site.servers:
            yield (*where, "server"), _unknown("server", check.server, site.servers)
        for number, other in enumerate(check.depends_on):
            if other not in site.checks:
                yield (*where, "depends_on", number), _unknown("check", other, site.checks)
        if check.kind == "address" and (address := getattr(check, "address", None)) not in site.addresses:
            yield (*where, "address"), _unknown("address", str(address), site.addresses)
        if check.confirm_every > check.every:
            yield (
                (*where, "confirm_every"),
                f"a failed look is confirmed every {format_span(check.confirm_every)}, which is slower than the "
                f"ordinary {format_span(check.every)}",
            )


def _cycles(site: SiteConfig) -> Found:
    def goes_round(start: str) -> bool:
        todo, seen = list(site.checks[start].depends_on), set()
        while todo:
            name = todo.pop()
            if name == start:
                return True
            if name not in seen and name in site.checks:
                seen.add(name)
                todo += site.checks[name].depends_on
        return False

    for name in site.checks:
        if goes_round(name):
            yield (
                ("checks", name, "depends_on"),
                f"{name} depends on itself by way of what it depends on: no cause is first",
            )


def _plans(site: SiteConfig) -> Found:
    for name, plan in site.plans.items():
        role = plan.role or name
        if role not in site.roles:
            where = ("plans", name, "role") if plan.role else ("plans", name)
            yield where, f"{_unknown('role', role, site.roles)}; a plan moves the role of its name, or says 'role: …'"
        condition = plan.condition
        for check in condition.checks if condition else ():
            if check not in site.checks:
                yield ("plans", name, "when"), _unknown("check", check, site.checks)
            elif not site.checks[check].fails_over:
                yield ("plans", name, "when"), f"{check} only alarms people (fails_over: false); it can't start a plan"
        if plan.mode is not Mode.OFF and plan.when is None:
            yield ("plans", name), "it has no 'when', so nothing ever starts it; give it one, or 'mode: off'"


def _steps(site: SiteConfig) -> Found:
    for name, plan in site.plans.items():
        role = site.roles.get(plan.role or name)
        for number, step in enumerate(plan.steps):
            where: Path = ("plans", name, "steps", number)
            if isinstance(step, Released | AddressHeld):
                if step.address not in site.addresses:
                    yield where, _unknown("address", step.address, site.addresses)
                elif role is not None and step.address not in role.address:
                    yield where, f"the address {step.address} doesn't go with the role {plan.role or name}"
            elif isinstance(step, ContentSynced):
                if step.source not in site.roles:
                    yield where, _unknown("role", step.source, site.roles)
            elif isinstance(step, Answers) and step.check not in site.checks:
                yield where, _unknown("check", step.check, site.checks)
            elif isinstance(step, ServiceRunning) and step.heals is not None and step.heals not in site.checks:
                yield where, _unknown("check", step.heals, site.checks)
        if role is not None:
            yield from _can_release(site, name, role.home)


def _can_release(site: SiteConfig, name: str, home: str) -> Found:
    plan = site.plans[name]
    if plan.mode is not Mode.AUTO or home not in site.servers:
        return
    for number, step in enumerate(plan.steps):
        address = site.addresses.get(step.address) if isinstance(step, Released) else None
        if address is None:
            continue
        kinds = {type(proof) for proof in address.release}
        if kinds <= {ReadBack} and site.servers[home].fence is None:
            yield (
                ("plans", name, "steps", number),
                f"if {home} is switched off, nothing can prove that it let go of the address, and no person may "
                "say so: add 'person' to the address's release, or give it a fence",
            )


def _automation(site: SiteConfig) -> Found:
    if any(plan.mode is Mode.AUTO for plan in site.plans.values()) and not site.witnesses:
        yield (
            ("plans",),
            "a plan acts by itself (mode: auto), so the monitor needs a witness that shows it isn't cut off: "
            "add 'witnesses'",
        )
