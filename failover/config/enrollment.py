"""What each server's helper may touch, and who may come in, derived from the config: the least that its plans need."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from pathlib import Path

from failover.config import backups_policy, databases_policy, services_policy
from failover.config.config import Config
from failover.config.model import SiteConfig
from failover.errors import NotFound
from failover.probes.host import HostProbe
from failover.recover.plan import Plan
from failover.recover.steps import ContentSynced
from failover.servers.enroll_plan import ContentReader, EnrollPlan
from failover.servers.pins import read_pins
from failover.servers.policy import Policy, PolicyAddress, PolicyPath, PolicySource


def key_file(config: Config, site: SiteConfig, server: str) -> Path:
    """Where the monitor keeps its private key for a server."""
    return Path(config.common.store.keys) / _folder(site) / server


def known_hosts_file(config: Config) -> Path:
    """Where the pinned host keys are."""
    return Path(config.common.store.known_hosts)


def content_key_file(config: Config, site: SiteConfig, server: str) -> Path:
    """Where the monitor keeps the public half of a server's content key."""
    return Path(config.common.store.keys) / _folder(site) / f"{server}.content.pub"


def plan_for(config: Config, site: SiteConfig, server: str, monitor_addresses: Sequence[str] = ()) -> EnrollPlan:
    """How a server is to be enrolled.

    Args:
        config: the whole one.
        site: one of its sites.
        server: its name there.
        monitor_addresses: where the monitor comes from; the config's ``monitor`` unless given.

    Raises:
        NotFound: the site has no such server.
        ConfigError: the pinned host keys can't be read.
    """
    if server not in site.servers:
        raise NotFound(f"{site.name} has no server {server!r}; it has {', '.join(site.servers)}")
    addresses = {name: _comes_from(site, name) for name in _readers(site, server)}
    keys = {name: content_key_file(config, site, name) for name in addresses}
    there = sorted(name for name in keys if keys[name].exists())
    readers = (ContentReader(name, keys[name].read_text().strip(), addresses[name]) for name in there)
    return EnrollPlan(
        site=site.name,
        server=server,
        ssh=site.servers[server].ssh,
        policy=policy_for(config, site, server),
        monitor_addresses=tuple(monitor_addresses) or site.monitor,
        key=key_file(config, site, server),
        known_hosts=known_hosts_file(config),
        readers=tuple(readers),
        awaited_readers=tuple(sorted(set(keys) - set(there))),
        awaited_sources=tuple(name for name in _sources(site, server) if not _pin(config, site, name)),
        content_key_copy=content_key_file(config, site, server) if _sources(site, server) else None,
    )


def policy_for(config: Config, site: SiteConfig, server: str) -> Policy:
    """The policy file of a server: only what the roles that it can hold, and their plans, speak of.

    Raises:
        ConfigError: the pinned host keys can't be read.
    """
    plans = [plan for _, plan in _plans(site, server)]
    roles = [role for role in site.roles.values() if server in (role.home, role.standby)]
    addresses = {name for role in roles for name in role.address} | set(_named(plans, "address"))
    units = {role.unit for role in roles if role.unit} | set(_named(plans, "unit")) | set(_watched(site, server))
    units |= set(services_policy.restarted(site, server))
    sources = {name: _pin(config, site, name) for name in _sources(site, server)}
    return Policy(
        site=site.name,
        server=server,
        addresses=tuple(
            PolicyAddress(name, address.host, address.interface, address.prefix)
            for name, address in site.addresses.items()
            if name in addresses
        ),
        units=tuple(units),
        paths=tuple(_paths(site, server)),
        serve=(
            *(step.path for _, step in _copies(site) if server in _holders(site, step.source)),
            *backups_policy.served(site, server),
        ),
        sources={
            name: PolicySource(site.servers[name].ssh.host, pin, port=site.servers[name].ssh.port)
            for name, pin in sources.items()
            if pin
        },
        see=tuple(f"{ip}/{ip.max_prefixlen}" for ip in sorted(_seen(site), key=lambda ip: (ip.version, int(ip)))),
        databases=tuple(databases_policy.entries(site, server)),
        backups=tuple(backups_policy.entries(site, server)),
        services=tuple(services_policy.services(site, server)),
        connect=tuple(services_policy.connect(site, server)),
        commands=site.servers[server].commands,
    )


def _folder(site: SiteConfig) -> str:
    return site.name.replace("/", "_").lstrip(".") or "_"


def _holders(site: SiteConfig, role: str) -> tuple[str, ...]:
    found = site.roles.get(role)
    return (found.home, found.standby) if found else ()


def _plans(site: SiteConfig, server: str) -> list[tuple[str, Plan]]:
    """The plans that move a role from or to this server, with the role's name."""
    named = [(plan.role or name, plan) for name, plan in site.plans.items()]
    return [(role, plan) for role, plan in named if server in _holders(site, role)]


def _named(plans: Iterable[Plan], key: str) -> Iterable[str]:
    values = (getattr(step, key, None) for plan in plans for step in plan.steps)
    return [value for value in values if isinstance(value, str)]


def _watched(site: SiteConfig, server: str) -> Iterable[str]:
    """Units that a ``host`` check of this server tells of; a helper tells of no others."""
    for check in site.checks.values():
        if isinstance(check, HostProbe):
            looked_at = (check.server,) if check.server is not None else _holders(site, check.role or "")
            yield from check.services if server in looked_at else ()


def _copies(site: SiteConfig) -> list[tuple[str, ContentSynced]]:
    """Every step that copies content, with the role that the content goes to."""
    return [
        (plan.role or name, step)
        for name, plan in site.plans.items()
        for step in plan.steps
        if isinstance(step, ContentSynced)
    ]


def _sources(site: SiteConfig, server: str) -> list[str]:
    """The servers that this one may have to pull content from."""
    found = {
        name for role, step in _copies(site) if server in _holders(site, role) for name in _holders(site, step.source)
    }
    return sorted((found | backups_policy.sources(site, server)) - {server})


def _readers(site: SiteConfig, server: str) -> list[str]:
    """The servers that may have to pull content from this one."""
    return [name for name in site.servers if server in _sources(site, name)]


def _comes_from(site: SiteConfig, server: str) -> tuple[str, ...]:
    """Where a server's connections to the others come from: its management address, or one that visitors use."""
    roles = [role for role in site.roles.values() if server in (role.home, role.standby)]
    shown = [site.addresses[name].host for role in roles for name in role.address if name in site.addresses]
    return tuple(dict.fromkeys([*_ips([site.servers[server].ssh.host]), *shown]))


def _paths(site: SiteConfig, server: str) -> Iterable[PolicyPath]:
    for role, step in _copies(site):
        if server in _holders(site, role):
            owner = site.roles[role].owner
            yield PolicyPath(step.path, owner, site.roles[role].group or owner)


def _pin(config: Config, site: SiteConfig, server: str) -> str:
    ssh = site.servers[server].ssh
    pins = read_pins(known_hosts_file(config), ssh.host, ssh.port)
    return str(pins[0]) if pins else ""


def _seen(site: SiteConfig) -> set[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """What servers may be asked to look at: each other, the service addresses, the checks' and witnesses' places."""
    places = [section.ssh.host for section in site.servers.values()]
    places += [address.host for address in site.addresses.values()]
    for probe in [*site.checks.values(), *site.named_witnesses.values()]:
        places += [str(getattr(probe, key, None) or "") for key in ("address", "host", "ip")]
        url = str(getattr(probe, "url", None) or "")
        places.append(url.partition("://")[2].partition("/")[0].rpartition("@")[2].rsplit(":", 1)[0].strip("[]"))
    return {ipaddress.ip_address(text) for text in _ips(places)}


def _ips(places: Iterable[str]) -> list[str]:
    """Those that are IP addresses; names are left to name services, which a policy doesn't trust."""
    found = []
    for text in places:
        try:
            found.append(str(ipaddress.ip_address(text)))
        except ValueError:
            continue
    return found
