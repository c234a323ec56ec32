"""The kernel's view of the network, by rtnetlink(7): no tool to start, no disk to read."""

import errno
import ipaddress
import os
import socket
import struct
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR, RTM_GETLINK, RTM_NEWROUTE, RTM_GETROUTE, RTM_GETNEIGH = (
    20,
    21,
    22,
    18,
    24,
    26,
    30,
)
NLM_REQUEST, NLM_ACK, NLM_DUMP, NLM_EXCL, NLM_CREATE = 1, 4, 0x300, 0x200, 0x400
IFA_ADDRESS, IFA_LOCAL, IFA_CACHEINFO, IFA_FLAGS = 1, 2, 6, 8
IFA_F_NODAD, IFA_F_DADFAILED, IFA_F_TENTATIVE = 0x02, 0x08, 0x40
Held = NamedTuple("Held", [("index", int), ("ip", str), ("prefix", int), ("flags", int), ("body", bytes)])
Link = NamedTuple(
    "Link", [("index", int), ("name", str), ("mac", bytes), ("flags", int), ("carrier", bool), ("ethernet", bool)]
)


_open: Dict[Tuple[int, int], socket.socket] = {}
"""By process and protocol: a child neither shares its parent's, nor uses one that it closed when it detached."""


def _socket(protocol: int) -> socket.socket:
    """One a protocol, for as long as this process lives.

    Closing one of netfilter's waits for a grace period of RCU when anything was taken out of a table, also by another
    process; a worker leaves that until after its answer.
    """
    key = os.getpid(), protocol
    if key not in _open:
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
        sock.settimeout(5)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        sock.bind((0, 0))
        _open[key] = sock
    return _open[key]


def netlink(kind: int, flags: int, body: bytes, protocol: int = 0) -> List[bytes]:
    """One request to the kernel's routing, or another protocol of netlink; the bodies that it answers with.

    Raises:
        OSError: as the kernel says it.
    """
    try:
        code, found = _asked(_socket(protocol), kind, flags, body)
    except BaseException:  # whatever it was: an answer that comes late must not be taken for one to the next question
        if (os.getpid(), protocol) in _open:
            _open.pop((os.getpid(), protocol)).close()
        raise
    if code:
        raise OSError(code, os.strerror(code))
    return found


def _asked(sock: socket.socket, kind: int, flags: int, body: bytes) -> Tuple[int, List[bytes]]:
    """The kernel's error number, 0 for none, and its answers."""
    sock.send(struct.pack("=IHHII", 16 + len(body), kind, flags | NLM_REQUEST, 1, 0) + body)
    found: List[bytes] = []
    while True:
        data = sock.recv(1 << 17)
        while len(data) >= 16:
            length, answer, _, _, _ = struct.unpack_from("=IHHII", data)
            payload, data = data[16:length], data[(length + 3) & ~3 :]
            if answer == 2:  # NLMSG_ERROR, which is also how it says that all is well
                return -struct.unpack_from("=i", payload)[0], found
            if answer == 3:  # NLMSG_DONE
                return 0, found
            found.append(payload)


def attributes(body: bytes, start: int) -> Dict[int, bytes]:
    """The attributes of a message, by number."""
    return dict(attribute_list(body, start))


def attribute_list(body: bytes, start: int = 0) -> List[Tuple[int, bytes]]:
    """The attributes of a message, in order."""
    found = []
    while start + 4 <= len(body):
        length, kind = struct.unpack_from("=HH", body, start)
        if length < 4:
            break
        found.append((kind & 0x3FFF, body[start + 4 : start + length]))
        start += (length + 3) & ~3
    return found


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded."""
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def addresses() -> List[Held]:
    """Every address on every interface."""
    found: List[Any] = []
    for body in netlink(RTM_GETADDR, NLM_DUMP, bytes(8)):
        family, prefix, flags, _, index = struct.unpack_from("=BBBBI", body)
        if family in (socket.AF_INET, socket.AF_INET6):
            more = attributes(body, 8)
            if IFA_FLAGS in more:
                flags = struct.unpack("=I", more[IFA_FLAGS])[0]
            ip = socket.inet_ntop(family, more.get(IFA_LOCAL) or more[IFA_ADDRESS])
            found.append(Held(index, ip, prefix, flags, body))
    return found


def links() -> Dict[str, Link]:
    """Every interface by name."""
    found = {}
    for body in netlink(RTM_GETLINK, NLM_DUMP, bytes(16)):
        _, kind, index, flags, _ = struct.unpack_from("=BxHiII", body)
        more = attributes(body, 16)
        name = more[3].rstrip(b"\0").decode("utf-8", "replace")
        found[name] = Link(index, name, more.get(1, b""), flags, bool(flags & 0x10000), kind == 1)
    return found


def change_address(kind: int, index: int, ip: str, prefix: int) -> None:
    """Add or remove one address."""
    address = ipaddress.ip_address(ip)
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    body = struct.pack("=BBBBI", family, prefix, 0, 0, index)
    body += attribute(IFA_LOCAL, address.packed) + attribute(IFA_ADDRESS, address.packed)
    if kind == RTM_NEWADDR and address.version == 6:
        # We have just asked the link ourselves (RFC 4862, 5.4, demands it once); the kernel would take a second more.
        body += attribute(IFA_FLAGS, struct.pack("=I", IFA_F_NODAD))
        # Deprecated from the start: it is answered, and never chosen as the source of this server's own connections.
        body += attribute(IFA_CACHEINFO, struct.pack("=IIII", 0, 0xFFFFFFFF, 0, 0))
    netlink(kind, NLM_ACK | (NLM_CREATE | NLM_EXCL if kind == RTM_NEWADDR else 0), body)


def remove_address(held: Held, name: str) -> None:
    """Remove an address and nothing else.

    When the first IPv4 address of a subnet goes, the kernel by default removes the others of that subnet with it
    (``promote_secondaries`` = 0), and then the routes through them: the server's own address, and our way to it.
    """
    before = [other for other in addresses() if other.index == held.index and other.ip != held.ip]
    routes = main_routes()
    switch = f"/proc/sys/net/ipv4/conf/{name}/promote_secondaries"
    was = None
    try:
        with open(switch, "r+") as file:
            was = file.read().strip()
            if was == "0":
                file.seek(0)
                file.write("1")
    except OSError:
        pass  # what was lost is put back below
    try:
        change_address(RTM_DELADDR, held.index, held.ip, held.prefix)
    except OSError as error:
        if error.errno != errno.EADDRNOTAVAIL:
            raise
    finally:
        if was == "0":
            with open(switch, "w") as file:
                file.write(was)
    there = {(other.index, other.ip) for other in addresses()}
    for other in before:
        if (other.index, other.ip) not in there:
            put_back(RTM_NEWADDR, other.body)
    there_now = set(main_routes())
    for route in routes:
        if route not in there_now and attributes(route, 12).get(7) != ipaddress.ip_address(held.ip).packed:
            put_back(
                RTM_NEWROUTE, route[:8] + struct.pack("=I", struct.unpack_from("=I", route, 8)[0] & 4) + route[12:]
            )


def put_back(kind: int, body: bytes) -> None:
    """Give the kernel back what it had."""
    try:
        netlink(kind, NLM_ACK | NLM_CREATE | NLM_EXCL, body)
    except OSError:
        pass  # it came back by itself, or what it needs is gone with the address


def main_routes() -> List[bytes]:
    """IPv4 routes of the main table that somebody set, as the kernel says them."""
    found = netlink(RTM_GETROUTE, NLM_DUMP, struct.pack("=BBBBBBBBI", socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0))
    return [body for body in found if body[4] == 254 and body[5] != 2]


def neighbour(ip: str) -> Optional[str]:
    """The MAC that the kernel has for an address."""
    packed = ipaddress.ip_address(ip).packed
    for body in netlink(RTM_GETNEIGH, NLM_DUMP, bytes(12)):
        more = attributes(body, 12)
        if more.get(1) == packed and len(more.get(2, b"")) == 6 and not struct.unpack_from("=H", body, 8)[0] & 0x21:
            return mac_text(more[2])
    return None


def mac_text(mac: bytes) -> str:
    """02:00:0a:4d:00:11."""
    return ":".join(f"{byte:02x}" for byte in mac)
