"""Frames on the link: asking who has an address, and saying that we have it."""

import ipaddress
import select
import socket
import struct
import time
from typing import List, Optional, Set

from .netlink import Link, links, mac_text

BROADCAST = b"\xff" * 6
ETH_P_ARP, ETH_P_IPV6 = 0x0806, 0x86DD


def arp(mac: bytes, operation: int, sender: bytes, target_mac: bytes, target: bytes) -> bytes:
    """A broadcast ARP frame (RFC 826)."""
    return (
        BROADCAST
        + mac
        + struct.pack("!HHHBBH", ETH_P_ARP, 1, 0x0800, 6, 4, operation)
        + mac
        + sender
        + target_mac
        + target
    )


def icmp6(mac: bytes, source: bytes, target: bytes, message: bytes) -> bytes:
    """A multicast frame of neighbour discovery (RFC 4861), its checksum filled in."""
    pseudo = source + target + struct.pack("!II", len(message), 58) + message
    total = sum(struct.unpack(f"!{len(pseudo) // 2}H", pseudo))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    message = message[:2] + struct.pack("!H", ~total & 0xFFFF) + message[4:]
    head = struct.pack("!IHBB", 6 << 28, len(message), 58, 255) + source + target
    return b"\x33\x33" + target[-4:] + mac + struct.pack("!H", ETH_P_IPV6) + head + message


def announcements(mac: bytes, ip: str) -> List[bytes]:
    """Frames after which every neighbour sends to us.

    IPv4: both forms, since some listen to requests only and some to replies only (RFC 5227, 3). IPv6: an unsolicited
    advertisement with the override flag (RFC 4861, 7.2.6).
    """
    address = ipaddress.ip_address(ip)
    if address.version == 4:
        return [
            arp(mac, 1, address.packed, bytes(6), address.packed),
            arp(mac, 2, address.packed, BROADCAST, address.packed),
        ]
    advert = struct.pack("!BBHI", 136, 0, 0, 0x20000000) + address.packed + b"\x02\x01" + mac
    return [icmp6(mac, address.packed, ipaddress.ip_address("ff02::1").packed, advert)]


def question(mac: bytes, ip: str) -> bytes:
    """A frame that asks who has an address, and teaches nobody anything: from 0.0.0.0 (RFC 5227, 2.1.1) or ::."""
    address = ipaddress.ip_address(ip)
    if address.version == 4:
        return arp(mac, 1, bytes(4), bytes(6), address.packed)
    group = ipaddress.ip_address("ff02::1:ff00:0").packed[:13] + address.packed[13:]
    return icmp6(mac, bytes(16), group, struct.pack("!BBHI", 135, 0, 0, 0) + address.packed)


def claims(frame: bytes, ip: str) -> Optional[bytes]:
    """The MAC that says in this frame that it has the address."""
    packed = ipaddress.ip_address(ip).packed
    if len(packed) == 4:
        return frame[22:28] if len(frame) >= 42 and frame[12:14] == b"\x08\x06" and frame[28:32] == packed else None
    is_advert = len(frame) >= 78 and frame[20] == 58 and frame[54] == 136
    return frame[6:12] if is_advert and frame[62:78] == packed else None


def packet_socket(name: str, ip: str) -> socket.socket:
    """A raw socket on an interface, for ARP or for IPv6."""
    kind = ETH_P_ARP if "." in ip else ETH_P_IPV6
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)  # deaf until bound: to change what it hears costs 13 ms
    sock.bind((name, kind))
    return sock


def who_answers(link: Link, ip: str, seconds: float, stop_at_first: bool = False) -> List[str]:
    """The MACs, our own left out, that claim an address within so many seconds; it is asked three times."""
    if not link.ethernet:
        return []
    own = {other.mac for other in links().values()}
    found: Set[bytes] = set()
    begin = time.monotonic()
    asks = [begin, begin + seconds / 3, begin + seconds * 2 / 3]
    sock = packet_socket(link.name, ip)
    _lingering.append(sock)
    while True:
        now = time.monotonic()
        if asks and now >= asks[0]:
            asks.pop(0)
            sock.send(question(link.mac, ip))
        if now >= begin + seconds or stop_at_first and found:
            return sorted(mac_text(mac) for mac in found)
        until = asks[0] if asks else begin + seconds
        if select.select([sock], [], [], max(0.0, until - now))[0]:
            mac = claims(sock.recv(2048), ip)
            if mac is not None and mac not in own:
                found.add(mac)


# The kernel takes 10 ms to close a packet socket; a worker leaves that to its end, after its answer.
_lingering: List[socket.socket] = []


def send_frames(link: Link, ip: str) -> None:
    """Say once that the address is here."""
    if link.ethernet:
        sock = _lingering[0] if _lingering else packet_socket(link.name, ip)
        _lingering[:] = [sock]
        for frame in announcements(link.mac, ip):
            sock.send(frame)
