"""Addresses that can't move, or that would take something else with them."""

from __future__ import annotations

import ipaddress

from failover.config.model import SiteConfig
from failover.config.references import Found
from failover.recover.address import Address, FenceProof


def crosscheck(site: SiteConfig) -> Found:
    """All of it."""
    for look in (_managed, _twice, _not_an_address, _only_by_fence):
        yield from look(site)


def _managed(site: SiteConfig) -> Found:
    managed = {server.ssh.host: name for name, server in site.servers.items()}
    for name, address in site.addresses.items():
        if address.host in managed:
            server = managed[address.host]
            yield (
                ("addresses", name, "ip"),
                f"{address.host} is where the monitor reaches {server}: when it moves, {server} can't be reached any "
                f"more; give {server} a second address and write that one as its ssh",
            )
        if address.host in site.monitor:
            yield ("addresses", name, "ip"), f"{address.host} is the monitor's own; no server can take it over"


def _twice(site: SiteConfig) -> Found:
    seen: dict[str, str] = {}
    for name, address in site.addresses.items():
        if address.host in seen:
            yield ("addresses", name, "ip"), f"{address.host} is the address {seen[address.host]} already"
        seen.setdefault(address.host, name)


def _not_an_address(site: SiteConfig) -> Found:
    for name, address in site.addresses.items():
        only = ipaddress.ip_address(address.host)
        if only.is_multicast or only.is_unspecified or only.is_link_local or "%" in address.host:
            yield ("addresses", name, "ip"), f"{address.host} is no address at which visitors could reach a server"
            continue
        if address.prefix is None:
            continue
        network = ipaddress.ip_interface(address.ip).network
        own = ipaddress.ip_address(address.host)
        if network.num_addresses > 2 and own == network.network_address:
            yield ("addresses", name, "ip"), f"{address.host} is the network {network} itself, no address in it"
        elif network.version == 4 and network.num_addresses > 2 and own == network.broadcast_address:
            yield ("addresses", name, "ip"), f"{address.host} is the broadcast address of {network}"


def _only_by_fence(site: SiteConfig) -> Found:
    for name, address in site.addresses.items():
        if {type(proof) for proof in address.release} != {FenceProof}:
            continue
        for server in _servers_of(site, name):
            if site.servers[server].fence is None:
                yield ("addresses", name, "release"), f"only a fence may prove the release, and {server} has none"


def another_segment(site: SiteConfig) -> Found:
    """Addresses of a network in which no server is known to be: right where management has a network of its own."""
    for name, address in site.addresses.items():
        servers = _servers_of(site, name)
        if servers and not any(_reaches(address, server.ssh.host) for server in site.servers.values()):
            network = ipaddress.ip_interface(address.ip).network
            own = " nor ".join(f"{server} ({site.servers[server].ssh.host})" for server in servers)
            yield (
                ("addresses", name, "ip"),
                f"{address.host} is in the network {network}, and neither {own} nor any other server is: an address "
                f"moves within one network segment, so {address.interface} of both servers has to be in that one",
            )


def _servers_of(site: SiteConfig, address: str) -> list[str]:
    """The servers that can hold it."""
    roles = [role for role in site.roles.values() if address in role.address]
    names = dict.fromkeys(server for role in roles for server in (role.home, role.standby))
    return [name for name in names if name in site.servers]


def _reaches(address: Address, host: str) -> bool:
    """Whether ``host`` is in the address's network, or that can't be told."""
    if address.prefix is None:
        return True
    network = ipaddress.ip_interface(address.ip).network
    try:
        own = ipaddress.ip_address(host)
    except ValueError:
        return True
    return own.version != network.version or own in network or network.num_addresses == 1
