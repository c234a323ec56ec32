"""The same helper through a pipe, for the machine that failover itself runs on."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Mapping, Sequence

from failover.servers.keeper import OpenFailed, WarmServer

END_SECONDS = 2.0
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}


class PipeLink:
    """The streams of a process of ours: sockets, because shutting one down wakes whoever waits on it."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        self._ours, theirs = socket.socketpair()
        self._errors, their_errors = socket.socketpair()
        try:
            self._process = subprocess.Popen(
                list(argv), stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=their_errors.fileno(),
                env=dict(environment), cwd="/", start_new_session=True,
            )  # fmt: skip
        except OSError:
            self._ours.close()
            self._errors.close()
            raise
        finally:
            theirs.close()
            their_errors.close()

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self._ours.sendall(data)

    def receive(self) -> bytes:
        """Some bytes of stdout."""
        return self._ours.recv(65536)

    def receive_errors(self) -> bytes:
        """Some bytes of stderr."""
        return self._errors.recv(65536)

    def cut(self) -> None:
        """Hang up; a process that doesn't end by itself then is killed, with its children, in the background."""
        for sock in (self._ours, self._errors):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # the process hung up first
        threading.Thread(target=self._reap, name="reap", daemon=True).start()

    def epitaph(self) -> str:
        """The exit code."""
        try:
            code = self._process.wait(0.2)
        except subprocess.TimeoutExpired:
            return ""
        return f"exit code {code}" if code >= 0 else signal.Signals(-code).name

    def _reap(self) -> None:
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait(END_SECONDS)
            except (ProcessLookupError, PermissionError, subprocess.TimeoutExpired):
                pass  # a helper under sudo is root's: it ends when its streams do
        self._ours.close()
        self._errors.close()


class LocalServer(WarmServer):
    """A server whose helper is a process of this machine, for example ``sudo -n /usr/libexec/failover-helper``.

    Args:
        name: in the config.
        argv: the command, as a list of words; no shell reads it.
        environment: of the process; a bare ``PATH`` and ``LC_ALL=C`` unless given.
    """

    def __init__(
        self, name: str, argv: Sequence[str], *, environment: Mapping[str, str] = ENVIRONMENT,
        open_seconds: float = 10.0, ping_seconds: float = 5.0, patience_seconds: float = 4.0,
    ) -> None:  # fmt: skip
        self.argv = tuple(argv)
        self._environment = environment
        super().__init__(name, open_seconds=open_seconds, ping_seconds=ping_seconds, patience_seconds=patience_seconds)

    def _open_link(self, within_seconds: float) -> PipeLink:
        try:
            return PipeLink(self.argv, self._environment)
        except OSError as error:
            raise OpenFailed(f"{self.argv[0]} can't be started: {error.strerror}") from None
