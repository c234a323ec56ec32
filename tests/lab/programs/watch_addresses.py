"""Prints every IP address that this network namespace has, gains and loses, as JSON lines (rtnetlink(7)).

``{"at": 1700000000.123, "held": true, "address": "10.77.0.100"}``; after the first listing
``{"at": .., "ready": true}``.
An IPv6 address counts as held once duplicate detection is over, and not if it failed.
"""

import errno
import json
import os
import socket
import struct
import sys
import time
from collections.abc import Iterator

RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR = 0x10, 0x100
NLMSG_DONE, RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 3, 20, 21, 22
NLM_F_REQUEST, NLM_F_DUMP = 0x1, 0x300
IFA_ADDRESS, IFA_LOCAL, IFA_FLAGS = 1, 2, 8
IFA_F_DADFAILED, IFA_F_TENTATIVE, IFA_F_OPTIMISTIC = 0x08, 0x40, 0x04


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, body) of each netlink message."""
    while len(data) >= 16:
        length, kind = struct.unpack_from("=IH", data)
        yield kind, data[16:length]
        data = data[(length + 3) & ~3 :]


def address_of(body: bytes) -> tuple[str, bool]:
    """(address, is it usable) of one address message."""
    family, _, flags = struct.unpack_from("=BBB", body)
    found: dict[int, bytes] = {}
    data = body[8:]
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        found[kind] = data[4:length]
        data = data[(length + 3) & ~3 :]
    if IFA_FLAGS in found:
        flags = struct.unpack("=I", found[IFA_FLAGS])[0]
    raw = found.get(IFA_LOCAL) or found[IFA_ADDRESS]
    waiting = flags & IFA_F_TENTATIVE and not flags & IFA_F_OPTIMISTIC
    return socket.inet_ntop(family, raw), not (waiting or flags & IFA_F_DADFAILED)


def say(at: float, **what: object) -> None:
    """One line, at once."""
    sys.stdout.write(json.dumps({"at": at, **what}) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Subscribe first, then ask for what is there: nothing falls between the two."""
    os.nice(-10)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        line.bind((0, RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR))
        ask = struct.pack("=IHHIIB7x", 24, RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, 1, 0, socket.AF_UNSPEC)
        line.sendto(ask, (0, 0))
        while True:
            try:
                data = line.recv(1 << 16)
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    say(time.time(), lost=True)
                    continue
                raise
            at = time.time()
            for kind, body in messages(data):
                if kind == NLMSG_DONE:
                    say(at, ready=True)
                elif kind in (RTM_NEWADDR, RTM_DELADDR):
                    address, usable = address_of(body)
                    say(at, held=kind == RTM_NEWADDR and usable, address=address)


main()
