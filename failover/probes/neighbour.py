"""Who on this machine's own segment answers for an address: asks by ARP or Neighbour Discovery and counts the answers.

The kernel's neighbour table keeps one answer and hides the second; two machines with one address look healthy from
there. So the question is put on the wire and every answer within a moment is heard.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import struct
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import psutil

from failover.errors import Undecidable
from failover.probes.wire import judged

_ETH_P_ARP = 0x0806
_ARP_HEAD = struct.pack("!HHBB", 1, 0x0800, 6, 4)  # Ethernet, IPv4 (RFC 826)
_SOLICITATION, _ADVERTISEMENT = 135, 136  # RFC 4861, 4.3 and 4.4
_TARGET_MAC_OPTION = 2
_ICMP6_FILTER = 1  # RFC 3542, 3.2
_MAY_NOT = "this monitor may not ask for neighbours: it needs CAP_NET_RAW"


@dataclass(frozen=True, slots=True)
class Segment:
    """An interface of this machine and the network that it's on."""

    interface: str
    index: int
    mac: str


def segment_of(ip: str) -> Segment | None:
    """The interface whose own network ``ip`` is in, or None when it's only reached through a router."""
    wanted = ipaddress.ip_address(ip)
    for name, addresses in psutil.net_if_addrs().items():
        macs = [each.address for each in addresses if each.family == psutil.AF_LINK]
        if not macs or macs[0] in ("", "00:00:00:00:00:00"):
            continue
        for each in addresses:
            if each.family == psutil.AF_LINK or not each.netmask:
                continue
            own = ipaddress.ip_address(each.address.partition("%")[0])
            bits = bin(int(ipaddress.ip_address(each.netmask))).count("1")
            if own.version == wanted.version and wanted in ipaddress.ip_network(f"{own}/{bits}", strict=False):
                try:
                    return Segment(name, socket.if_nametoindex(name), macs[0].lower())
                except OSError:  # it went away in between
                    continue
    return None


async def who_answers(ip: str, listen_seconds: float) -> list[str]:
    """The MAC addresses of all who answer for ``ip`` within ``listen_seconds``, in order.

    Asks twice, for packets get lost.

    Raises:
        Undecidable: this machine can't ask: it isn't on that segment, may not, or its interface is down.
    """
    segment = segment_of(ip)
    if segment is None:
        raise Undecidable(f"this monitor isn't on the segment of {ip}")
    version = ipaddress.ip_address(ip).version
    ours = _listeners.setdefault(asyncio.get_running_loop(), {})
    listener = ours.get((segment, version))
    if listener is None:
        listener = ours[segment, version] = ArpListener(segment) if version == 4 else NdListener(segment)
    return await listener.ask(ip, listen_seconds)


class Listener:
    """One socket on one segment, shared by all who ask, there only while someone does."""

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self._sock: socket.socket | None = None
        self._heard: dict[bytes, tuple[int, dict[str, None]]] = {}

    async def ask(self, ip: str, listen_seconds: float) -> list[str]:
        """See :func:`who_answers`."""
        loop = asyncio.get_running_loop()
        target = ipaddress.ip_address(ip).packed
        if self._sock is None:
            self._sock = self._opened()
            loop.add_reader(self._sock.fileno(), self._read)
        askers, macs = self._heard.get(target, (0, {}))
        self._heard[target] = askers + 1, macs
        try:
            for _ in range(2):
                try:
                    self._question(self._sock, target)
                except BlockingIOError:
                    pass  # as good as lost on the wire
                except OSError as error:
                    raise judged(error, f"anybody on {self.segment.interface}") from error
                await asyncio.sleep(listen_seconds / 2)
            return list(macs)
        finally:
            askers, _ = self._heard.pop(target)
            if askers > 1:
                self._heard[target] = askers - 1, macs
            if not self._heard and self._sock is not None:
                loop.remove_reader(self._sock.fileno())
                self._sock.close()
                self._sock = None

    def _opened(self) -> socket.socket:
        try:
            sock = self._socket()
        except PermissionError as error:
            raise Undecidable(_MAY_NOT) from error
        except OSError as error:
            raise judged(error, f"anybody on {self.segment.interface}") from error
        try:
            self._ready(sock)
        except OSError as error:
            sock.close()
            raise judged(error, f"anybody on {self.segment.interface}") from error
        return sock

    def _read(self) -> None:
        while self._sock is not None:
            try:
                claim = self._claim(self._sock)
            except BlockingIOError:
                return
            except OSError:
                return  # the interface went down: nobody will be heard
            if claim is None:
                continue
            target, mac = claim
            if target in self._heard and mac != self.segment.mac:
                self._heard[target][1][mac] = None

    def _socket(self) -> socket.socket:
        raise NotImplementedError  # each protocol has its own

    def _ready(self, sock: socket.socket) -> None:
        raise NotImplementedError

    def _question(self, sock: socket.socket, target: bytes) -> None:
        raise NotImplementedError

    def _claim(self, sock: socket.socket) -> tuple[bytes, str] | None:
        """Reads one packet: the address that it claims, and the MAC that claims it."""
        raise NotImplementedError


class ArpListener(Listener):
    """IPv4: ARP probes, which leave no trace in anybody's table (RFC 5227, 2.1.1)."""

    def _socket(self) -> socket.socket:
        return socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(_ETH_P_ARP))

    def _ready(self, sock: socket.socket) -> None:
        sock.bind((self.segment.interface, _ETH_P_ARP))

    def _question(self, sock: socket.socket, target: bytes) -> None:
        mac = _packed(self.segment.mac)
        frame = b"\xff" * 6 + mac + struct.pack("!H", _ETH_P_ARP)
        frame += _ARP_HEAD + struct.pack("!H", 1) + mac + bytes(4) + bytes(6) + target
        sock.send(frame.ljust(60, b"\0"))

    def _claim(self, sock: socket.socket) -> tuple[bytes, str] | None:
        frame, sender = sock.recvfrom(2048)
        if sender[2] == socket.PACKET_OUTGOING or len(frame) < 42 or frame[14:20] != _ARP_HEAD:
            return None
        # Who sends from an address claims it, in a request no less than in a reply.
        return frame[28:32], frame[22:28].hex(":")


class NdListener(Listener):
    """IPv6: Neighbour Solicitations (RFC 4861, 7.2)."""

    def _socket(self) -> socket.socket:
        return socket.socket(socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMPV6)

    def _ready(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self.segment.interface.encode() + b"\0")
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, self.segment.index)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        blocked = [0xFFFFFFFF] * 8
        blocked[_ADVERTISEMENT >> 5] &= ~(1 << (_ADVERTISEMENT & 31))
        sock.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, struct.pack("=8I", *blocked))

    def _question(self, sock: socket.socket, target: bytes) -> None:
        # The kernel fills in the checksum. Option 1 is our own MAC, so that nobody has to ask back for it.
        packet = struct.pack("!BBHI", _SOLICITATION, 0, 0, 0) + target + b"\x01\x01" + _packed(self.segment.mac)
        group = ipaddress.IPv6Address(bytes.fromhex("ff0200000000000000000001ff") + target[13:])
        sock.sendto(packet, (str(group), 0, 0, self.segment.index))

    def _claim(self, sock: socket.socket) -> tuple[bytes, str] | None:
        packet, notes, _flags, _sender = sock.recvmsg(2048, socket.CMSG_SPACE(4))
        hops = [struct.unpack("=i", data[:4])[0] for level, kind, data in notes if level == socket.IPPROTO_IPV6]
        if hops != [255] or len(packet) < 24 or packet[0] != _ADVERTISEMENT:
            return None  # any other hop limit came from beyond the segment (RFC 4861, 7.1.2)
        options = packet[24:]
        while len(options) >= 8 and options[1]:
            if options[0] == _TARGET_MAC_OPTION:
                return packet[8:24], options[2:8].hex(":")
            options = options[options[1] * 8 :]
        return None


def _packed(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


_listeners: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[Segment, int], Listener]] = WeakKeyDictionary()
