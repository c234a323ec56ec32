"""uvicorn inside our loop: its sockets, its bounds, and who is at the other end.

It must not touch signals (they are the daemon's), nor wait for streams at the end, nor leave a socket behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import grp
import os
import pwd
import socket
import struct
from collections.abc import Generator
from functools import lru_cache
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from failover.console.desk import Person

FIRST_REQUEST_SECONDS = 10.0
MOST_CONNECTIONS = 64


@lru_cache(maxsize=256)
def user_name(uid: int) -> str:
    """The name of a user, or its number in words where the system knows no name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user-{uid}"


class Protocol(HttpToolsProtocol):
    """Asks the kernel who connected, and hangs up on those who connect and send no request."""

    _came = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # uvicorn's own has it so
        """Note the peer's credentials for the app (``request.state.person``)."""
        super().connection_made(transport)
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family == socket.AF_UNIX:
            raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
            pid, uid, _gid = struct.unpack("3i", raw)
            self.app_state = {**self.app_state, "person": Person(uid, pid, user_name(uid))}
        self._hurry = asyncio.get_running_loop().call_later(FIRST_REQUEST_SECONDS, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer."""
        self._hurry.cancel()
        super().connection_lost(exc)

    def _too_slow(self) -> None:
        if not self._came:  # headers that drip in are no request (slowloris)
            self.transport.close()

    def on_headers_complete(self) -> None:
        """A request is whole enough to be answered."""
        self._came = True
        super().on_headers_complete()


class Listener(uvicorn.Server):
    """One embedded server. ``await listener.ready()``, later ``await listener.stop()``."""

    def __init__(self, app: ASGIApp, sock: socket.socket) -> None:
        config = uvicorn.Config(
            app,
            http=Protocol,
            loop="none",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=MOST_CONNECTIONS,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=3,
        )
        super().__init__(config)
        self._sock = sock
        self._task: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave signals to the daemon."""
        yield

    async def ready(self) -> None:
        """Serve; returns once connections are taken."""
        self._task = asyncio.create_task(self.serve(sockets=[self._sock]), name="listener")
        while not self.started:
            if self._task.done():
                self._task.result()
                raise OSError("the HTTP server ended while it started")
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Finish what is being answered, for at most three seconds."""
        self.should_exit = True
        if self._task is not None:
            await asyncio.wait([self._task], timeout=5)
        self._sock.close()


def unix_socket(path: Path, *, group: str | None = None) -> socket.socket:
    """A listening socket at ``path`` with mode 0660, in place of one that nobody answers on.

    Raises:
        OSError: a daemon answers there, or the place can't be written.
    """
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as trial:
        trial.settimeout(1)
        try:
            trial.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            path.unlink(missing_ok=True)
        else:
            raise OSError(errno.EADDRINUSE, "another daemon answers there", str(path))
    sock = socket.socket(socket.AF_UNIX)
    try:
        old = os.umask(0o117)  # 0660 from its first moment
        try:
            sock.bind(str(path))
        finally:
            os.umask(old)
        if group is not None:
            os.chown(path, -1, grp.getgrnam(group).gr_gid)
        sock.listen(128)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def tcp_socket(host: str, port: int) -> socket.socket:
    """A listening socket on a loopback address.

    Raises:
        OSError: the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.create_server((host, port), family=family, backlog=128)
    sock.setblocking(False)
    return sock
