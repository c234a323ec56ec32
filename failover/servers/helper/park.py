"""Silence: parked addresses can't be heard, whoever puts them back on an interface."""

import ipaddress
import socket
import struct
import subprocess
import time
from typing import Iterable, List, Optional, Set

from .clock import boottime
from .errors import Refused
from .netlink import NLM_DUMP, attribute, attribute_list, attributes, netlink
from .places import ENVIRONMENT
from .words import plain
from .work import TOOL_SECONDS, Work

TABLE = "failover_park"
LOOK_SECONDS = 0.0005

_ending: List["subprocess.Popen[bytes]"] = []
"""Those that have done their work and end by themselves, in this process's own last moments or after it."""


def silence_rules(ips: Iterable[str]) -> str:
    """The nftables rules that silence addresses, replacing all earlier ones in one transaction.

    What others say about the address still comes in, so that a parked server can reach the new holder.
    """
    v4 = sorted(ip for ip in ips if "." in ip)
    v6 = sorted(ip for ip in ips if ":" in ip)
    lines = [f"table {family} {TABLE}\ndelete table {family} {TABLE}" for family in ("arp", "inet")]
    hook = "type filter hook {} priority -300; policy accept;"
    if v4:
        lines += [
            f"table arp {TABLE} {{",
            "set v4 {{ type ipv4_addr; elements = {{ {} }}\n}}".format(", ".join(v4)),
            "chain in {",
            hook.format("input"),
            "arp operation request arp saddr ip != @v4 arp daddr ip @v4 drop\n}",
            "chain out {",
            hook.format("output"),
            "arp saddr ip @v4 drop\n}\n}",
        ]
    if v4 or v6:
        came, left = [], []
        lines.append(f"table inet {TABLE} {{")
        for name, kind, word, ips_of in (("v4", "ipv4_addr", "ip", v4), ("v6", "ipv6_addr", "ip6", v6)):
            if ips_of:
                lines.append("set {} {{ type {}; elements = {{ {} }}\n}}".format(name, kind, ", ".join(ips_of)))
                came.append(f"{word} daddr @{name} drop")
                left.append(f"{word} saddr @{name} drop")
        for ip in v6:
            # The target of a solicitation or advertisement: older nft has no name for it; by place (RFC 4861, 4.3).
            target = f"@th,64,128 0x{ipaddress.ip_address(ip).packed.hex()} drop"
            came.append("icmpv6 type nd-neighbor-solicit " + target)
            left.append("icmpv6 type nd-neighbor-advert " + target)
            left.append("ip6 saddr :: icmpv6 type nd-neighbor-solicit " + target)
        lines += (
            ["chain in {", hook.format("input")] + came + ["}", "chain out {", hook.format("output")] + left + ["}\n}"]
        )
    return "\n".join(lines) + "\n"


NETLINK_NETFILTER, NFT_GETSETELEM, NFPROTO_INET, NFPROTO_ARP = 12, 10 << 8 | 13, 1, 3


def set_elements(family: int, name: str) -> List[bytes]:
    """The elements of a set in our nftables table of a family; none when there is no such set or table."""
    body = (
        struct.pack("=BBH", family, 0, 0) + attribute(1, TABLE.encode() + b"\0") + attribute(2, name.encode() + b"\0")
    )
    try:
        answers = netlink(NFT_GETSETELEM, NLM_DUMP, body, NETLINK_NETFILTER)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise Refused("no-nft", f"the kernel doesn't say what is parked: {plain(error)}") from None
    elements = [element for answer in answers for _, element in attribute_list(attributes(answer, 4).get(3, b""))]
    return [attributes(attributes(element, 0)[1], 0)[1] for element in elements]


def parked() -> List[str]:
    """The addresses that are silenced now, as the kernel has it; no tool and no disk needed to know.

    Raises:
        Refused: ``no-nft``: it can't be asked.
    """
    heard = set(set_elements(NFPROTO_ARP, "v4"))
    v4 = [socket.inet_ntop(socket.AF_INET, ip) for ip in set_elements(NFPROTO_INET, "v4") if ip in heard]
    return sorted(v4) + sorted(socket.inet_ntop(socket.AF_INET6, ip) for ip in set_elements(NFPROTO_INET, "v6"))


def set_parked(work: Work, ips: Iterable[str]) -> None:
    """Silence exactly these addresses.

    Goes on as soon as the kernel has them: nft itself ends a grace period of RCU later, some 15 ms. One transaction
    puts all of it in place or nothing, so what the kernel lists is what it enforces.

    Raises:
        Refused: ``not-silenced``.
    """
    wish = set(ips)
    before, until = _parked_or_none(), boottime() + work.left(TOOL_SECONDS)
    try:
        process = subprocess.Popen(
            ["nft", "-f", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=ENVIRONMENT, cwd="/",
        )  # fmt: skip
    except OSError as error:
        raise Refused("not-silenced", f"nft can't be started: {plain(error)}") from None
    assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - asked for
    try:
        process.stdin.write(silence_rules(wish).encode())
        process.stdin.close()
    except OSError:
        pass  # it ended early, and says why
    while process.poll() is None:
        if before is not None and before != wish and _parked_or_none() == wish:
            _ending.append(process)
            return
        if boottime() >= until:
            process.kill()
            process.wait()
            raise Refused("not-silenced", f"nft took more than {TOOL_SECONDS:g} s")
        time.sleep(LOOK_SECONDS)
    if process.returncode:
        said = process.stdout.read().decode("utf-8", "replace").strip()
        raise Refused("not-silenced", f"nft refused: {said[:500]}")


def _parked_or_none() -> Optional[Set[str]]:
    try:
        return set(parked())
    except Refused:
        return None
