"""A link to a helper through SSH: paramiko with everything off that guesses, and a hard end for everything that waits.

paramiko's own timeouts don't cover every wait (``exec_command`` has none, and a frozen peer held it past keep-alive and
``settimeout``; paramiko issues 1815, 2599). So one deadline stands over the whole of opening, and shuts the socket.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import paramiko
from paramiko.ssh_exception import AuthenticationException, SSHException

from failover.errors import HostKeyChanged
from failover.model import format_span
from failover.servers.keeper import OpenFailed
from failover.servers.lines import clean
from failover.servers.monitor_key import OPEN_TO_WHOM, TOO_OPEN
from failover.servers.pins import HostKey

CIPHERS = ("aes256-gcm@openssh.com", "aes128-gcm@openssh.com", "aes256-ctr", "aes192-ctr", "aes128-ctr")
MACS = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-512", "hmac-sha2-256")
HOST_KEYS = (
    "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "rsa-sha2-512", "rsa-sha2-256",
)  # fmt: skip
KEX = (
    "mlkem768x25519-sha256", "curve25519-sha256@libssh.org", "ecdh-sha2-nistp256", "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521", "diffie-hellman-group16-sha512",
)  # fmt: skip
COMMAND = "failover-helper"
"""Only a name: the forced command of ``authorized_keys`` runs, whatever is asked for."""
TCP_USER_TIMEOUT_SECONDS = 15
LOGIN_KNOCK_SECONDS = 5.0
CHANGED_KNOCK_SECONDS = 5.0
LOG = "failover.servers.paramiko"

logging.getLogger(LOG).setLevel(logging.CRITICAL)  # each failure is told by us, once, as a sentence


@dataclass(frozen=True, slots=True)
class Door:
    """Where and as whom to log in, and whom to believe."""

    host: str
    port: int
    user: str
    key: Path
    pins: Sequence[HostKey]


class LoginRefused(OpenFailed):
    """The server doesn't take our key. Trying again soon would look like an attack."""


class SshLink:
    """The streams of one channel, and the transport that carries only this."""

    def __init__(self, sock: socket.socket, transport: paramiko.Transport, channel: paramiko.Channel) -> None:
        self._sock = sock
        self._transport = transport
        self._channel = channel

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self._channel.sendall(data)

    def receive(self) -> bytes:
        """Some bytes of stdout."""
        return self._channel.recv(65536)

    def receive_errors(self) -> bytes:
        """Some bytes of stderr."""
        return self._channel.recv_stderr(65536)

    def cut(self) -> None:
        """End the TCP connection: it wakes every thread that waits for the peer."""
        cut(self._sock, self._transport)

    def epitaph(self) -> str:
        """The helper's exit code, which may come a moment after the end of its output."""
        self._channel.status_event.wait(0.2)
        if not self._channel.exit_status_ready():
            return ""
        code = self._channel.recv_exit_status()
        return "" if code < 0 else f"exit code {code}"


def open_ssh_link(door: Door, within_seconds: float) -> SshLink:
    """Connect, check the host key, log in, start the helper: all within the time.

    Raises:
        OpenFailed: nothing was sent to a helper; says which part failed. Its ``error`` is HostKeyChanged when another
            host key than the pinned one is shown: then not even the user's name was sent.
        LoginRefused: the key isn't taken.
    """
    deadline = time.monotonic() + within_seconds
    key = _load_key(door.key)
    sock = connect(door, within_seconds)
    transport: paramiko.Transport | None = None
    stage = "its SSH greeting"
    try:
        with end_at(deadline, sock) as late:
            try:
                transport = make_transport(sock, door)
                transport.start_client(timeout=within_seconds)
                _check_host_key(transport, door)
                stage = "its answer to our login"
                further = transport.auth_publickey(door.user, key)
                if further:
                    raise AuthenticationException(f"it asks for {' and '.join(further)} as well")
                stage = "a channel"
                channel = transport.open_session(timeout=within_seconds)
                channel.exec_command(COMMAND)
            except AuthenticationException as error:
                if late():
                    raise _overdue(stage, within_seconds) from None
                if "saw EOF" in str(error):  # sshd died or hung up: no word about our key
                    raise OpenFailed("it hung up in the middle of the login", knock_after=LOGIN_KNOCK_SECONDS) from None
                raise LoginRefused(_login_sentence(door, error), knock_after=LOGIN_KNOCK_SECONDS) from None
            except (SSHException, EOFError, OSError) as error:
                if late():
                    raise _overdue(stage, within_seconds) from None
                why = clean(str(error), 300) or type(error).__name__
                raise OpenFailed(f"waiting for {stage}: {why}") from None
    except BaseException:
        cut(sock, transport)
        raise
    return SshLink(sock, transport, channel)


def _overdue(stage: str, within_seconds: float) -> OpenFailed:
    return OpenFailed(f"it accepts connections, but {stage} didn't come within {format_span(within_seconds)}")


def _login_sentence(door: Door, error: Exception) -> str:
    why = clean(str(error), 200).rstrip(".")
    return f"it refuses the login of {door.user} with the key {door.key.name}: {why}; run failover enroll --check"


def _load_key(path: Path) -> paramiko.PKey:
    try:
        if (mode := path.stat().st_mode & 0o777) & TOO_OPEN:
            raise OpenFailed(f"the key {path} has mode {mode:04o}: {OPEN_TO_WHOM}")
        return paramiko.PKey.from_path(path)
    except (OSError, ValueError, SSHException) as error:
        raise OpenFailed(f"the key {path} can't be used: {error}") from None


def connect(door: Door, within_seconds: float) -> socket.socket:
    """A TCP connection that notices by itself when the other side is gone.

    Raises:
        OpenFailed: there is none to be had.
    """
    try:
        sock = socket.create_connection((door.host, door.port), within_seconds)
    except OSError as error:
        why = f"no answer within {format_span(within_seconds)}" if isinstance(error, TimeoutError) else error.strerror
        raise OpenFailed(f"connecting to {door.host} port {door.port}: {why or error}") from None
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 5)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, TCP_USER_TIMEOUT_SECONDS * 1000)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def make_transport(sock: socket.socket, door: Door) -> paramiko.Transport:
    """A transport that offers modern algorithms only, and isn't started yet."""
    transport = paramiko.Transport(sock)
    transport.daemon = True
    transport.set_log_channel(LOG)
    options = transport.get_security_options()
    pinned = {key.kind for key in door.pins}
    # Pinned kinds first, so that a server with several keys shows the one we know.
    options.key_types = sorted(HOST_KEYS, key=lambda kind: _family(kind) not in pinned)
    options.ciphers = [name for name in CIPHERS if name in options.ciphers]
    options.digests = [name for name in MACS if name in options.digests]
    options.kex = [name for name in KEX if name in options.kex]
    return transport


def _family(kind: str) -> str:
    return "ssh-rsa" if kind.startswith("rsa-sha2") else kind


def _check_host_key(transport: paramiko.Transport, door: Door) -> None:
    shown_key = transport.get_remote_server_key()
    shown = HostKey(shown_key.get_name(), shown_key.get_base64())
    if shown in door.pins:
        return
    if not door.pins:
        raise OpenFailed(f"no host key is pinned for {door.host} port {door.port}: run failover enroll")
    known = " or ".join(f"{key.kind} {key.fingerprint}" for key in door.pins)
    raise OpenFailed(
        f"{door.host} port {door.port} shows the host key {shown.kind} {shown.fingerprint}, but {known} is pinned: "
        "somebody else may be answering there; nothing was sent",
        error=HostKeyChanged,
        knock_after=CHANGED_KNOCK_SECONDS,
    )


@contextmanager
def end_at(deadline: float, sock: socket.socket) -> Iterator[Callable[[], bool]]:
    """Shut the socket down at the deadline, unless left before; gives a function that says whether that happened."""
    over = threading.Event()

    def end() -> None:
        over.set()
        _shut(sock)

    timer = threading.Timer(max(0.0, deadline - time.monotonic()), end)
    timer.daemon = True
    timer.start()
    try:
        yield over.is_set
    finally:
        timer.cancel()


def cut(sock: socket.socket, transport: paramiko.Transport | None) -> None:
    """End both at once, from any thread."""
    _shut(sock)  # closing alone doesn't wake a thread that reads
    if transport is not None:
        transport.close()
    sock.close()


def _shut(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it is gone already
