"""What no single key can tell: names twice, causes that go round, witnesses that prove nothing; one function each."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence

from failover.config import (
    crosschecks_addresses,
    crosschecks_backups,
    crosschecks_checks,
    crosschecks_databases,
    crosschecks_plans,
    crosschecks_policy,
    crosschecks_services,
    references,
    timers,
)
from failover.config.model import CommonConfig, SiteConfig
from failover.config.references import Declared, Found
from failover.config.strict_yaml import Path
from failover.decide.when import RESERVED_WORDS
from failover.model import Mode

SITE_ITSELF = "site"
"""The word by which maintenance windows mean all of it."""


def crosscheck(site: SiteConfig, common: CommonConfig | None, declared: Declared) -> Found:
    """Every contradiction in a site, with the place to mend it; ``site`` may lack what is wrong by itself."""
    yield from references.unknown_names(site, declared)
    yield from references.unknown_units(site)
    for look in (_names, _servers, _roles, _cycles, _witnesses, _files):
        yield from look(site)
    yield from crosschecks_addresses.crosscheck(site)
    yield from crosschecks_plans.crosscheck(site, declared)
    yield from crosschecks_checks.crosscheck(site)
    yield from crosschecks_backups.crosscheck(site)
    yield from crosschecks_databases.crosscheck(site)
    yield from crosschecks_policy.crosscheck(site)
    yield from crosschecks_services.crosscheck(site)
    yield from timers.crosscheck(site)
    acts = any(plan.mode is not Mode.OFF for plan in site.plans.values())
    if common is not None and not common.channels and acts and "channels" not in declared:
        yield ("plans",), "somebody has to be told when a plan runs or can't: there are no channels"


def crosscheck_common(common: CommonConfig) -> Found:
    """Every contradiction in what all sites share."""
    if common.channels and all(channel.after > 0 for channel in common.channels.values()):
        yield ("channels",), "every channel waits before it sends, so that nobody is told at once; give one no 'after'"


def crosscheck_sites(sites: Sequence[tuple[str, SiteConfig]]) -> Iterator[tuple[int, Path, str]]:
    """What two sites can't both have, with the number of the site that has it second."""
    names: dict[str, str] = {}
    ips: dict[str, str] = {}
    for number, (file, site) in enumerate(sites):
        if site.site is not None:
            if site.name in names:
                yield number, ("site", "name"), f"the site {site.name!r} is in {names[site.name]} already"
            names.setdefault(site.name, file)
        for name, address in site.addresses.items():
            if ips.get(address.host, file) != file:
                yield number, ("addresses", name, "ip"), f"{address.host} is a service address in {ips[address.host]}"
            ips.setdefault(address.host, file)


def _names(site: SiteConfig) -> Found:
    for name in site.checks:
        if name in RESERVED_WORDS:
            yield ("checks", name), f"no check can be called {name!r}: it is a word of plans' 'when'"
    for section, names in (("servers", site.servers), ("roles", site.roles)):
        if SITE_ITSELF in names:
            yield (section, SITE_ITSELF), "nothing can be called 'site': a maintenance window of 'site' means all of it"


def _servers(site: SiteConfig) -> Found:
    seen: dict[str, str] = {}
    for name, server in site.servers.items():
        host = server.ssh.host
        if host in seen:
            yield ("servers", name, "ssh"), f"{host} is the server {seen[host]} already"
        seen.setdefault(host, name)
        if host in site.monitor:
            yield (
                ("servers", name, "ssh"),
                f"{host} is the monitor, which can't be one of the servers that it judges",
            )
        try:
            ipaddress.ip_address(host)
        except ValueError:
            yield (
                ("servers", name, "ssh"),
                f"{host!r} is a name; write the IP address, so that a failure of the name service stops no recovery",
            )


def _roles(site: SiteConfig) -> Found:
    taken: dict[str, str] = {}
    for name, role in site.roles.items():
        if role.home == role.standby:
            yield ("roles", name, "standby"), f"{role.standby} can't stand by for itself"
        for number, address in enumerate(role.address):
            if address in taken:
                yield (
                    ("roles", name, "address", number),
                    f"the address {address} goes with the role {taken[address]} already",
                )
            taken.setdefault(address, name)


def _cycles(site: SiteConfig) -> Found:
    for name in site.checks:
        todo, seen = list(site.checks[name].depends_on), set[str]()
        while todo:
            other = todo.pop()
            if other == name:
                yield (
                    ("checks", name, "depends_on"),
                    f"{name} depends on itself by way of what it depends on: no cause is first",
                )
                break
            if other not in seen and other in site.checks:
                seen.add(other)
                todo += site.checks[other].depends_on


def _witnesses(site: SiteConfig) -> Found:
    moving = {address.host: name for name, address in site.addresses.items()}
    seen: set[str] = set()
    named = site.witnesses.items() if isinstance(site.witnesses, dict) else enumerate(site.witnesses)
    for key, probe in named:
        where: Path = ("witnesses", key)
        place = getattr(probe, "address", None)
        if probe.role is not None:
            yield (*where, "role"), "a witness stays where it is; a role moves from server to server"
        if probe.server is not None and probe.server not in site.servers:
            yield (*where, "server"), references.unknown("server", probe.server, site.servers)
        if place in moving:
            yield (
                (*where, "address"),
                f"{place} is the address {moving[place]}, which may be what has failed: a witness stands outside",
            )
        what = probe.model_dump_json(include={"kind", "address", "url", "port", "server"})
        if what in seen:
            yield where, "it is a witness already; each has to see for itself"
        seen.add(what)


def _files(site: SiteConfig) -> Found:
    for name, check in site.checks.items():
        ca_file = getattr(check, "ca_file", None)
        if ca_file is not None and not ca_file.is_absolute():
            yield ("checks", name, "ca_file"), f"{str(ca_file)!r} is not an absolute path"
