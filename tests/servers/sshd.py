"""A real sshd on a free port of loopback, with one forced command: toys aside, what runs on a server."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from failover.errors import Unreachable
from failover.model import Token
from failover.servers.pins import HostKey, write_pins
from failover.servers.ssh import SshServer, SshSettings

TOY = Path(__file__).with_name("toy_helper.py")
SSHD = shutil.which("sshd") or "/usr/sbin/sshd"
TOKEN = Token(3, 7)
ME = pwd.getpwuid(os.geteuid()).pw_name


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_key(path: Path) -> Path:
    if not path.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", path.name, "-f", str(path)], check=True)
    return path


class Sshd:
    """One sshd. ``start``, ``stop``, ``freeze``, ``thaw``, and a new host key for it."""

    def __init__(self, folder: Path, extra: str = "", forced: str = "") -> None:
        self.folder = folder
        self.port = free_port()
        self.extra = extra
        self.forced = forced or f"{sys.executable} {TOY} {folder}"
        self.known_hosts = folder / "known_hosts"
        self.key = make_key(folder / "key")
        self.host_key = make_key(folder / "host_key")
        self.log = folder / "sshd.log"
        self.process: subprocess.Popen[bytes] | None = None

    def pin(self) -> None:
        key = HostKey.parse(self.host_key.with_suffix(".pub").read_text())
        write_pins(self.known_hosts, "127.0.0.1", self.port, [key])

    def allow(self, public: Path | None) -> None:
        line = f'restrict,command="{self.forced}" {public.read_text()}' if public else ""
        (self.folder / "authorized_keys").write_text(line)

    def start(self) -> None:
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        config = self.folder / "sshd_config"
        config.write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {self.host_key}\nPidFile none\nUsePAM no\n"
            f"StrictModes no\nAuthorizedKeysFile {self.folder}/authorized_keys\nLogLevel VERBOSE\n"
            f"PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n{self.extra}\n"
        )
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [SSHD, "-D", "-e", "-f", str(config)], stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )
        until = time.monotonic() + 10
        while time.monotonic() < until:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError(f"sshd didn't start: {self.log.read_text()}")

    def stop(self) -> None:
        """Kill it with its sessions, as a power cut would."""
        if self.process is None:
            return
        self.signal(signal.SIGKILL)
        self.process.wait(10)
        self.process = None

    def signal(self, number: int) -> None:
        """To the listener, its sessions (sshd gives each a process group of its own) and their helpers."""
        if self.process is None:
            return
        listener = psutil.Process(self.process.pid)
        listener.suspend()  # it opens no session meanwhile, and buries none
        for process in [*reversed(listener.children(recursive=True)), listener]:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def freeze(self) -> None:
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    def new_host_key(self) -> None:
        for path in (self.host_key, self.host_key.with_suffix(".pub")):
            path.unlink()
        make_key(self.host_key)

    @contextmanager
    def session(self, **settings: object) -> Iterator[SshServer]:
        server = self.server(**settings)
        try:
            yield server
        finally:
            server.close()

    def server(self, alarm: object = None, **settings: object) -> SshServer:
        chosen = SshSettings.model_validate({"host": "127.0.0.1", "port": self.port, "user": ME, **settings})
        return SshServer("web", chosen, known_hosts=self.known_hosts, key=self.key, alarm=alarm)  # type: ignore[arg-type]

    def lines(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []


def seconds(call: Callable[[], object], expected: type[Exception]) -> tuple[float, Exception]:
    """How long it took until that error came, and the error."""
    began = time.monotonic()
    with pytest.raises(expected) as caught:
        call()
    return time.monotonic() - began, caught.value


def wait_for_answer(web: SshServer, within: float = 15) -> bool:
    """Whether it answers again by then."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        try:
            web.ask("echo", within_seconds=2)
        except Unreachable:
            time.sleep(0.2)
        else:
            return True
    return False
