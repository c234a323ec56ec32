"""The verb ``facts``: how this server is."""

import hashlib
import os
import re
import socket
import struct
import sys
import time
from typing import Any, Callable, Dict, List

from . import parking
from .arguments import Verb
from .clock import boot_id, boottime
from .errors import Answer, Args, Refused
from .gate import Gate
from .netlink import (
    IFA_F_DADFAILED,
    IFA_F_TENTATIVE,
    NLM_DUMP,
    RTM_GETROUTE,
    addresses,
    attributes,
    links,
    mac_text,
    netlink,
)
from .park import parked
from .places import PROGRAM, VERSION
from .units import units_state
from .values import texts
from .work import Work


def fact_services(work: Work) -> Answer:
    """The policy's units; ``parked`` is null for those that more than one server may run."""
    try:
        found = units_state(work, sorted(work.policy.units))
        alone = parking.parking_units(work.policy)
        for unit, state in found.items():
            state["parked"] = parking.parked(work.places, unit, state) if parking.full(unit) in alone else None
        return found
    except Refused as error:
        return {
            unit: {
                "load": "unknown",
                "active": "unknown",
                "sub": "unknown",
                "enabled": None,
                "since": None,
                "problem": str(error),
            }
            for unit in work.policy.units
        }


def fact_addresses(_: Work) -> List[Answer]:
    """Every address, loopback left out."""
    names = {link.index: link for link in links().values()}
    return [
        {
            "interface": names[held.index].name,
            "ip": held.ip,
            "prefix": held.prefix,
            "mac": mac_text(names[held.index].mac),
            "tentative": bool(held.flags & IFA_F_TENTATIVE),
            "dadfailed": bool(held.flags & IFA_F_DADFAILED),
        }
        for held in addresses()
        if held.index in names and not names[held.index].flags & 8
    ]


def fact_parked(_: Work) -> List[str]:
    """Silenced addresses."""
    try:
        return parked()
    except Refused:
        return []  # what can't be shown to be silenced isn't


def fact_interfaces(_: Work) -> List[Answer]:
    """Every network interface."""
    return [
        {"name": link.name, "mac": mac_text(link.mac), "up": bool(link.flags & 1), "carrier": link.carrier}
        for link in links().values()
    ]


def fact_routes(_: Work) -> List[Answer]:
    """Routes of the main tables, two hundred at most."""
    names = {link.index: link.name for link in links().values()}
    found: List[Any] = []
    for family in (socket.AF_INET, socket.AF_INET6):
        for body in netlink(RTM_GETROUTE, NLM_DUMP, struct.pack("=BBBBBBBBI", family, 0, 0, 0, 0, 0, 0, 0, 0)):
            more = attributes(body, 12)
            if body[0] != family or body[4] != 254 or 4 not in more or body[7] != 1:
                continue
            where = (
                socket.inet_ntop(family, more[1]) if 1 in more else ("::" if family == socket.AF_INET6 else "0.0.0.0")  # noqa: S104 - a route, no listener
            )
            via = socket.inet_ntop(family, more[5]) if 5 in more else None
            interface = names.get(struct.unpack("=i", more[4])[0])
            found.append({"to": f"{where}/{body[1]}", "via": via, "interface": interface})
    return found[:200]


def fact_disks(work: Work) -> Answer:
    """Space and inodes where anything of ours is written."""
    found = {}
    for path in ["/", work.places.state, work.places.run] + sorted(set(work.policy.paths) | work.policy.serve):
        there = path
        while not os.path.exists(there):
            there = os.path.dirname(there)
        disk = os.statvfs(there)
        found[path] = {
            "size_bytes": disk.f_blocks * disk.f_frsize,
            "free_bytes": disk.f_bavail * disk.f_frsize,
            "free_inodes": disk.f_favail if disk.f_files else None,
            "read_only": bool(disk.f_flag & os.ST_RDONLY),
        }
    return found


def fact_memory(_: Work) -> Answer:
    """Memory, with what the kernel could free."""
    with open("/proc/meminfo") as file:
        lines = dict(line.split(":") for line in file)
    available = lines.get("MemAvailable", lines["MemFree"])
    return {"total_bytes": int(lines["MemTotal"].split()[0]) << 10, "available_bytes": int(available.split()[0]) << 10}


def fact_versions(work: Work) -> Answer:
    """Versions of what the helper works with."""
    found = {"kernel": os.uname().release, "python": sys.version.split()[0]}
    for name, argv in (
        ("rsync", ["rsync", "--version"]),
        ("nft", ["nft", "--version"]),
        ("systemd", ["systemctl", "--version"]),
    ):
        try:
            said = re.search(r"\d+(\.\d+)*", work.run(argv)[1])
        except OSError:
            said = None
        found[name] = said.group() if said else ""
    return found


SECTIONS: Dict[str, Callable[[Work], Any]] = {
    "addresses": fact_addresses,
    "parked": fact_parked,
    "routes": fact_routes,
    "interfaces": fact_interfaces,
    "services": fact_services,
    "disks": fact_disks,
    "load": lambda _: list(os.getloadavg()),
    "cpus": lambda _: os.cpu_count(),
    "memory": fact_memory,
    "versions": fact_versions,
    "token": lambda work: Gate(work.places).newest(),
    "helper": lambda work: {"version": VERSION, "sha256": own_sha256(), "policy_sha256": work.policy.sha256},
}


def pulse() -> Answer:
    """What every answer about facts has."""
    return {"hostname": socket.gethostname(), "boot_id": boot_id(), "boottime": boottime(), "time": time.time()}


def ask_facts(work: Work, args: Args) -> Answer:
    """How this server is; ``sections`` limits it to what is asked for."""
    sections = args.get("sections", list(SECTIONS))
    unknown = [
        name for name in sections if name not in SECTIONS and name not in ("hostname", "boot_id", "boottime", "time")
    ]
    if unknown:
        raise Refused("bad-request", "there is no section {!r}; there are {}".format(unknown[0], ", ".join(SECTIONS)))
    answer = {name: SECTIONS[name](work) for name in sections if name in SECTIONS}
    answer.update(pulse())
    return answer


def own_sha256() -> str:
    """Of this file as it lies there."""
    with open(PROGRAM, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


ASKS = {"facts": Verb(ask_facts, {}, {"sections": texts})}
