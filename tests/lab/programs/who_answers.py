"""Asks the segment again and again who has an address, and prints each answer's hardware address, as JSON lines.

usage: who_answers.py INTERFACE EVERY_SECONDS ADDRESS...
``{"at": .., "round": 7, "address": "10.77.0.100", "mac": "02:00:..."}``, timed by the kernel when the frame came in.
Only answers to us count, not announcements to all: two in one round are two hosts that both feel addressed.

The questions change nobody's mind: an ARP probe (RFC 5227) has no sender's address that a neighbour could learn, and
the neighbour solicitation (RFC 4861) comes from an address that nobody else uses, so the answer goes to us alone. A
test of gratuitous announcements therefore isn't spoilt by being watched.
"""

import ipaddress
import json
import os
import select
import socket
import struct
import sys
import time

ETH_P_ARP, ETH_P_IPV6, ETH_P_ALL = 0x0806, 0x86DD, 0x0003
SO_TIMESTAMPNS = 35
NEIGHBOUR_SOLICITATION, NEIGHBOUR_ADVERTISEMENT = 135, 136
OWN_IPV6 = ipaddress.ip_address("fe80::feed:beef:1").packed


def text(mac: bytes) -> str:
    """A hardware address as people write it."""
    return ":".join(f"{byte:02x}" for byte in mac)


def arp_question(own: bytes, address: bytes) -> bytes:
    """Who has this IPv4 address? Asked by nobody in particular."""
    body = struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, own, bytes(4), bytes(6), address)
    return b"\xff" * 6 + own + struct.pack("!H", ETH_P_ARP) + body


def nd_question(own: bytes, address: bytes) -> bytes:
    """Who has this IPv6 address?"""
    target = ipaddress.ip_address("ff02::1:ff00:0").packed[:13] + address[13:]
    body = struct.pack("!BBHI16sBB6s", NEIGHBOUR_SOLICITATION, 0, 0, 0, address, 1, 1, own)
    pseudo = OWN_IPV6 + target + struct.pack("!II", len(body), 58)
    body = body[:2] + struct.pack("!H", checksum(pseudo + body)) + body[4:]
    header = struct.pack("!IHBB16s16s", 6 << 28, len(body), 58, 255, OWN_IPV6, target)
    return b"\x33\x33" + target[12:] + own + struct.pack("!H", ETH_P_IPV6) + header + body


def checksum(data: bytes) -> int:
    """The internet checksum (RFC 1071)."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def answer(frame: bytes) -> tuple[str, str] | None:
    """(address, mac) if the frame is an answer."""
    kind = struct.unpack_from("!H", frame, 12)[0]
    if kind == ETH_P_ARP and struct.unpack_from("!H", frame, 20)[0] == 2:
        return socket.inet_ntop(socket.AF_INET, frame[28:32]), text(frame[22:28])
    if kind == ETH_P_IPV6 and len(frame) >= 78 and frame[20] == 58 and frame[54] == NEIGHBOUR_ADVERTISEMENT:
        return socket.inet_ntop(socket.AF_INET6, frame[62:78]), text(frame[6:12])
    return None


def main() -> None:
    """Ask, listen, ask again."""
    os.nice(-10)
    interface, every = sys.argv[1], float(sys.argv[2])
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as line:
        line.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        line.bind((interface, ETH_P_ALL))
        line.setblocking(False)
        own = line.getsockname()[4]
        questions = []
        for address in sys.argv[3:]:
            ip = ipaddress.ip_address(address)
            questions.append((arp_question if ip.version == 4 else nd_question)(own, ip.packed))
        due, count = time.monotonic(), 0
        while True:
            left = due - time.monotonic()
            if left <= 0:
                for question in questions:
                    line.send(question)
                due, count = max(due + every, time.monotonic()), count + 1
                continue
            if not select.select([line], [], [], left)[0]:
                continue
            frame, extra, _, sender = line.recvmsg(2048, 256)
            if sender[2] != socket.PACKET_HOST or (found := answer(frame)) is None:
                continue
            seconds, nanos = next(struct.unpack("=qq", data[:16]) for _, kind, data in extra if kind == SO_TIMESTAMPNS)
            line_out = {"at": seconds + nanos / 1e9, "round": count, "address": found[0], "mac": found[1]}
            sys.stdout.write(json.dumps(line_out) + "\n")
            sys.stdout.flush()


main()
