"""The addresses of the containers: fixed, of their network, everybody's own, and the same ones as in the config."""

import ipaddress
import re
from collections.abc import Iterator
from typing import Any

from tests.containers.shape import Compose, Pool, Service

IPV4 = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])")
EVERYWHERE = {"127.0.0.1", "0.0.0.0"}


def servers(compose: Compose) -> dict[str, Service]:
    """The services that are servers: those that let an operator in."""
    return {name: one for name, one in compose.services.items() if any(m.endswith(":/doors:ro") for m in one.volumes)}


def places(compose: Compose) -> dict[str, str]:
    """The fixed address of each service."""
    return {
        name: str(plug.ipv4_address)
        for name, service in compose.services.items()
        for plug in service.networks.values()
        if plug.ipv4_address
    }


def pool(compose: Compose) -> Pool:
    """The servers' network."""
    network = compose.networks["servers"]
    assert network.ipam, "the servers' network has no subnet of its own"
    return network.ipam.config[0]


def found(compose: Compose, config: dict[str, Any]) -> Iterator[str]:
    """Addresses that aren't fixed, are taken or outside, and those that the config has otherwise."""
    yield from _among_themselves(compose)
    yield from _beside_the_config(compose, config)


def _among_themselves(compose: Compose) -> Iterator[str]:
    net = pool(compose)
    if not compose.networks["servers"].internal:
        yield "the servers' network has a way out"
    taken = {str(net.gateway): "the gateway", str(net.subnet.network_address): "the network itself"}
    taken[str(net.subnet.broadcast_address)] = "everybody"
    if net.gateway not in net.subnet:
        yield f"the gateway {net.gateway} is outside {net.subnet}"
    for name, service in compose.services.items():
        if "servers" in service.networks and service.networks["servers"].ipv4_address is None:
            yield f"{name}: has no fixed address among the servers"
    for name, ip in places(compose).items():
        address = ipaddress.ip_address(ip)
        if address not in net.subnet:
            yield f"{name}: {ip} is outside {net.subnet}"
        if address in net.ip_range:
            yield f"{name}: {ip} is in {net.ip_range}, which the engine gives away"
        if ip in taken:
            yield f"{name}: {ip} is {taken[ip]} already"
        taken.setdefault(ip, name)


def _beside_the_config(compose: Compose, config: dict[str, Any]) -> Iterator[str]:
    where = places(compose)
    wanted = {name: section["ssh"] for name, section in config["servers"].items()}
    there = {name: where.get(name, "no address") for name in servers(compose)}
    for name in sorted({*wanted, *there}):
        if wanted.get(name) != there.get(name):
            yield f"{name}: {wanted.get(name)} in the config, {there.get(name)} among the containers"
    for name, service in servers(compose).items():
        if service.hostname != name:
            yield f"{name}: calls itself {service.hostname}"
    if set(config["monitor"]) != {where.get("failover"), where.get("enroll")}:
        yield f"the config's monitor {config['monitor']} isn't where failover and enroll are"
    net = pool(compose)
    for name, section in config["addresses"].items():
        interface = ipaddress.ip_interface(section["ip"])
        if interface.network != net.subnet:
            yield f"address {name}: {section['ip']} isn't of {net.subnet}"
        if interface.ip in net.ip_range or str(interface.ip) in {*where.values(), str(net.gateway)}:
            yield f"address {name}: {section['ip']} may be somebody else's"


def strangers(compose: Compose, config: dict[str, Any], name: str, text: str) -> Iterator[str]:
    """Addresses in one of our files that are nobody's."""
    net = pool(compose)
    known = {*places(compose).values(), *EVERYWHERE, str(net.gateway)}
    known |= {str(net.subnet.network_address), str(net.ip_range.network_address)}
    known |= {section["ip"].partition("/")[0] for section in config["addresses"].values()}
    yield from (f"{name}: {ip} is nobody's address" for ip in sorted(set(IPV4.findall(text)) - known))
