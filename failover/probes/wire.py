"""One fresh connection for one look, plain or TLS, and what its errors mean in words.

Plain non-blocking sockets on the running loop: asyncio's streams, transports and ``start_tls`` would cost more CPU than
the whole look does.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl

from failover.errors import Undecidable, Unhealthy
from failover.probes.resolve import SockAddress

_OURS = {
    errno.EMFILE: "this monitor has no file descriptor left",
    errno.ENFILE: "this machine has no file descriptor left",
    errno.ENOBUFS: "this machine has no network buffer left",
    errno.ENOMEM: "this machine has no memory left",
    errno.EADDRNOTAVAIL: "this machine has no free port or address to connect from",
    errno.ENETUNREACH: "this machine has no route there",
    errno.ENETDOWN: "this machine's network interface is down",
    errno.EACCES: "this machine's own firewall forbids it",
    errno.EPERM: "this machine's own firewall forbids it",
    errno.EAFNOSUPPORT: "this machine doesn't speak that address family",
    errno.EINVAL: "this machine can't use that address",
}
"""Errors that are made on this machine; they say nothing about the other one (FAULTS.md, P5 and P7)."""
_THEIRS = {
    errno.ECONNREFUSED: "refuses the connection",
    errno.EHOSTUNREACH: "can't be reached: no route to host",
    errno.ETIMEDOUT: "doesn't answer: connection timed out",
    errno.ECONNRESET: "resets the connection",
    errno.EPIPE: "closed the connection",
    errno.ECONNABORTED: "aborted the connection",
}


def judged(error: OSError, where: str) -> Unhealthy | Undecidable:
    """An operating system's error as a finding: theirs, or ours."""
    number = error.errno or 0
    if number in _OURS:
        return Undecidable(f"can't reach {where}: {_OURS[number]} ({errno.errorcode[number]})")
    return Unhealthy(f"{where} {_THEIRS.get(number) or f'fails: {error}'}")


class Wire:
    """A fresh connection. Its owner closes it; whoever waits on it can be cancelled at any time."""

    __slots__ = ("_fd", "_loop", "_sock", "where")

    def __init__(self, sock: socket.socket, where: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._fd = sock.fileno()
        self.where = where
        """The other end, as sentences name it."""

    @property
    def tls(self) -> ssl.SSLSocket | None:
        """The TLS session, when there is one."""
        return self._sock if isinstance(self._sock, ssl.SSLSocket) else None

    async def connect(self, address: SockAddress) -> None:
        """Connect to ``address``. Raises what :func:`judged` makes of the error."""
        number = self._sock.connect_ex(address[1])
        if number == errno.EINPROGRESS:
            await self._writable()
            number = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            raise judged(OSError(number, os.strerror(number)), self.where)

    async def secure(self, context: ssl.SSLContext, name: str) -> None:
        """Speak TLS from now on, with a server that must prove to be ``name`` if ``context`` says so.

        Raises:
            ssl.SSLCertVerificationError: the certificate won't do; what that means is the caller's to say.
            Unhealthy: the other end doesn't speak TLS.
        """
        try:
            tls = context.wrap_socket(self._sock, server_hostname=name, do_handshake_on_connect=False)
        except OSError as error:  # the other end may be gone already
            raise judged(error, self.where) from error
        self._sock = tls
        while True:
            try:
                tls.do_handshake()
                return
            except ssl.SSLWantReadError:
                await self._readable()
            except ssl.SSLWantWriteError:
                await self._writable()
            except ssl.SSLCertVerificationError:
                raise
            except ssl.SSLError as error:
                raise Unhealthy(f"{self.where} fails the TLS handshake: {_said(error)}") from error
            except OSError as error:
                raise judged(error, f"{self.where}, in the TLS handshake,") from error

    async def send(self, data: bytes) -> None:
        """Send all of ``data``.

        Raises:
            Unhealthy: the other end closed or reset the connection.
        """
        while data:
            try:
                data = data[self._sock.send(data) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                await self._writable()
            except ssl.SSLWantReadError:
                await self._readable()
            except ssl.SSLError as error:
                raise Unhealthy(f"{self.where} breaks TLS: {_said(error)}") from error
            except OSError as error:
                raise judged(error, self.where) from error

    async def receive(self, at_most: int = 65536) -> bytes:
        """What has come, ``at_most`` bytes; empty when the other end has closed.

        Raises:
            Unhealthy: the connection was reset.
        """
        while True:
            try:
                return self._sock.recv(at_most)
            except (BlockingIOError, ssl.SSLWantReadError):
                await self._readable()
            except ssl.SSLWantWriteError:
                await self._writable()
            except ssl.SSLError as error:
                raise Unhealthy(f"{self.where} breaks TLS: {_said(error)}") from error
            except OSError as error:
                raise judged(error, self.where) from error

    async def answer(self, at_most: int = 65536) -> bytes:
        """As :meth:`receive`, for when an answer can't be there yet: spares the vain try."""
        if self.tls is None:
            await self._readable()
        return await self.receive(at_most)

    def close(self) -> None:
        """Let go at once, without farewell: a probe leaves nothing behind."""
        self._sock.close()

    async def _readable(self) -> None:
        ready = self._loop.create_future()
        self._loop.add_reader(self._fd, _wake, ready)
        try:
            await ready
        finally:
            self._loop.remove_reader(self._fd)

    async def _writable(self) -> None:
        ready = self._loop.create_future()
        self._loop.add_writer(self._fd, _wake, ready)
        try:
            await ready
        finally:
            self._loop.remove_writer(self._fd)


def _wake(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def _said(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).replace("_", " ").lower()
