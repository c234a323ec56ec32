"""Echo requests to thousands of addresses over one socket for each address family.

The socket is there only while someone waits for an answer, so nothing has to be closed when a loop ends. Answers are
told apart by eight bytes that each request carries and nobody can guess, whatever else pings from this machine.
"""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import socket
import struct
import time
from typing import Any
from weakref import WeakKeyDictionary

from failover.errors import Undecidable, Unhealthy
from failover.probes.resolve import SockAddress
from failover.probes.wire import judged

ECHO_REQUEST, ECHO_REPLY = 8, 0
ECHO_REQUEST_V6, ECHO_REPLY_V6 = 128, 129
_SOL_RAW = 255  # linux/socket.h
_ICMP_FILTER = 1  # socket option of linux/icmp.h
_ICMP6_FILTER = 1  # RFC 3542, 3.2
_RECEIVE_BUFFER_BYTES = 4 << 20
_DRAIN_EVERY = 64
_MARK = b"failover"


class Echoer:
    """Sends echo requests of one address family and hands each answer to the one who waits for it."""

    def __init__(self, family: int) -> None:
        self._v6 = family == socket.AF_INET6
        self._family = family
        self._sock: socket.socket | None = None
        self._raw = False
        self._waiting: dict[bytes, tuple[str, asyncio.Future[float]]] = {}
        self._sent = 0

    async def echo(self, address: SockAddress, count: int, pause_seconds: float) -> tuple[float, int]:
        """Seconds from the request that was answered to its answer, and how many requests before it were lost.

        Sends up to ``count`` requests, ``pause_seconds`` apart, and then waits for as long as the caller lets it.

        Raises:
            Unhealthy: the network says at once that there's no such host.
            Undecidable: this machine may not send, has no route, or has no resources left.
        """
        where = str(address[1][0])
        loop = asyncio.get_running_loop()
        token = secrets.token_bytes(8)
        answered: asyncio.Future[float] = loop.create_future()
        sent_at: list[float] = []
        later: asyncio.TimerHandle | None = None

        def send() -> None:
            nonlocal later
            sent_at.append(time.monotonic())
            try:
                self._send(token, address, where)
            except (Unhealthy, Undecidable) as error:
                if not answered.done():
                    answered.set_exception(error)
                return
            if len(sent_at) < count:
                later = loop.call_later(pause_seconds, send)

        self._open(loop)
        self._waiting[token] = (where.partition("%")[0], answered)
        try:
            send()
            came = await answered
        finally:
            if later is not None:
                later.cancel()
            del self._waiting[token]
            if not self._waiting:
                self._close(loop)
        before = [each for each in sent_at if each <= came]
        return came - before[-1], len(before) - 1

    def _open(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._sock is not None:
            return
        protocol = socket.IPPROTO_ICMPV6 if self._v6 else socket.IPPROTO_ICMP
        try:
            # Unprivileged where net.ipv4.ping_group_range lets this group; the kernel then filters for us (icmp(7)).
            sock, self._raw = socket.socket(self._family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, protocol), False
        except PermissionError:
            try:
                sock, self._raw = socket.socket(self._family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol), True
            except PermissionError as error:
                raise Undecidable(
                    "this monitor may not ping: it needs CAP_NET_RAW, or its group in net.ipv4.ping_group_range"
                ) from error
        except OSError as error:
            raise judged(error, "any host by ping") from error
        try:
            if self._raw:
                self._let_only_replies_through(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        except OSError as error:
            sock.close()
            raise judged(error, "any host by ping") from error
        self._sock = sock
        loop.add_reader(sock.fileno(), self._read)

    def _let_only_replies_through(self, sock: socket.socket) -> None:
        """A raw socket is given a copy of every ICMP message; the kernel drops the rest more cheaply than we do."""
        if self._v6:
            blocked = [0xFFFFFFFF] * 8
            blocked[ECHO_REPLY_V6 >> 5] &= ~(1 << (ECHO_REPLY_V6 & 31))
            sock.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, struct.pack("=8I", *blocked))
        else:
            sock.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("=I", ~(1 << ECHO_REPLY) & 0xFFFFFFFF))

    def _close(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._sock is not None:
            loop.remove_reader(self._sock.fileno())
            self._sock.close()
            self._sock = None

    def _send(self, token: bytes, address: SockAddress, where: str) -> None:
        assert self._sock is not None  # noqa: S101 - opened by the caller, closed by the last one to leave
        self._sent += 1
        packet = self._packet(token)
        try:
            self._sock.sendto(packet, (*address[1][:1], 0, *address[1][2:]))
        except BlockingIOError:
            pass  # the send buffer is full: counts as lost, and the next request follows
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise judged(error, where) from error
        if self._sent % _DRAIN_EVERY == 0:
            self._read()  # thousands sent in one turn of the loop would overflow the receive buffer with their answers

    def _packet(self, token: bytes) -> bytes:
        kind = ECHO_REQUEST_V6 if self._v6 else ECHO_REQUEST
        identity, sequence = os.getpid() & 0xFFFF, self._sent & 0xFFFF
        body = token + _MARK
        head = struct.pack("!BBHHH", kind, 0, 0, identity, sequence)
        if self._raw and not self._v6:  # the kernel fills in every other checksum
            head = struct.pack("!BBHHH", kind, 0, checksum(head + body), identity, sequence)
        return head + body

    def _read(self) -> None:
        while self._sock is not None:
            try:
                packet, sender = self._sock.recvfrom(2048)
            except BlockingIOError:
                return
            except OSError:
                return  # an error queued for some earlier request; its sender runs out of time
            self._take(packet, sender, time.monotonic())

    def _take(self, packet: bytes, sender: tuple[Any, ...], now: float) -> None:
        if self._raw and not self._v6:  # raw(7): with its IP header
            packet = packet[(packet[0] & 0x0F) * 4 :] if packet else b""
        if len(packet) < 24 or packet[0] != (ECHO_REPLY_V6 if self._v6 else ECHO_REPLY) or packet[16:24] != _MARK:
            return
        target, answered = self._waiting.get(packet[8:16], ("", None))
        if answered is not None and not answered.done() and str(sender[0]).partition("%")[0] == target:
            answered.set_result(now)


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071) of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


_echoers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[int, Echoer]] = WeakKeyDictionary()


def echoer(family: int) -> Echoer:
    """The one that all probes of the running loop share."""
    ours = _echoers.setdefault(asyncio.get_running_loop(), {})
    if family not in ours:
        ours[family] = Echoer(family)
    return ours[family]
