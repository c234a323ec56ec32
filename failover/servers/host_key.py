"""Look at the host key that a server shows, before anybody trusts it: no login, no name, nothing is sent."""

from __future__ import annotations

import time
from pathlib import Path

from paramiko.ssh_exception import SSHException

from failover.servers.access import AccessError
from failover.servers.keeper import OpenFailed
from failover.servers.lines import clean
from failover.servers.pins import HostKey
from failover.servers.ssh_link import Door, connect, cut, end_at, make_transport


def look_at_host_key(
    host: str, port: int, within_seconds: float = 10.0, known: tuple[HostKey, ...] = ()
) -> tuple[HostKey, str]:
    """The key, and the address of ours from which the server was reached.

    Args:
        host: the server.
        port: of its sshd.
        within_seconds: the time for all of it.
        known: keys of it that are pinned already; a server with several keys then shows one of these kinds, if it can.

    Raises:
        AccessError: nobody answers there, or not with SSH.
    """
    door = Door(host, port, "", Path(), known)
    try:
        sock = connect(door, within_seconds)
    except OpenFailed as error:
        raise AccessError(error.sentence) from None
    transport = None
    try:
        with end_at(time.monotonic() + within_seconds, sock):
            transport = make_transport(sock, door)
            transport.start_client(timeout=within_seconds)
            shown = transport.get_remote_server_key()
            return HostKey(shown.get_name(), shown.get_base64()), sock.getsockname()[0]
    except (SSHException, EOFError, OSError) as error:
        raise AccessError(f"{host} port {port} doesn't answer with SSH: {clean(str(error), 200)}") from None
    finally:
        cut(sock, transport)
