"""Fixtures of the helper's tests: a home, a speaker, a network segment, two servers; and the Pythons to run it with."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.servers.segment import Segment
from tests.servers.speak import Home, Speaker
from tests.servers.two_servers import TwoServers, two_servers

COMMANDS = {
    "touch": ["/usr/bin/touch"],
    "hello": ["/bin/echo", "hello"],
    "nap": ["/bin/sleep", "30"],
    "nest": ["/bin/sh", "-c", "(setsid sleep 31 & ) ; sleep 32 & sleep 33"],
    "flood": ["/bin/sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x"],
    "leave": ["/bin/sh", "-c", "echo left; sleep 29 &"],
    "fail": ["/bin/sh", "-c", "echo why; exit 3"],
}
"""What a server's policy lets be called by name."""


def pythons() -> list[str]:
    """This Python, and the oldest that servers have, where there is one."""
    old = [shutil.which("python3.6"), *map(str, Path.home().glob(".pyenv/versions/3.6*/bin/python3.6"))]
    works = [
        path for path in old if path and subprocess.run([path, "-V"], capture_output=True, check=False).returncode == 0
    ]
    return [sys.executable, *works[:1]]


@contextmanager
def small_disk(at: Path, options: str) -> Iterator[None]:
    """A disk of its own at a folder, in memory; ``options`` of tmpfs(5), e.g. ``size=3m``."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(at)], check=True, timeout=10)
    try:
        yield
    finally:
        subprocess.run(["umount", str(at)], check=True, timeout=10)


def need_root() -> None:
    """Fail in CI, skip elsewhere, without root."""
    if os.geteuid() != 0:
        sentence = "namespaces and users need root"
        if os.environ.get("CI"):
            pytest.fail(sentence, pytrace=False)
        pytest.skip(sentence)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A server's root, whose policy names these commands, loopback to look at, and a unit."""
    stamp = ["/bin/sh", "-c", f"date +%s.%N >> {tmp_path}/stamps; sleep 0.3; date +%s.%N >> {tmp_path}/stamps"]
    return Home(tmp_path / "root", commands={**COMMANDS, "stamp": stamp}, see=["127.0.0.0/8"], units=["nginx"])


def alive(pattern: str) -> list[int]:
    """Processes with that command line."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        except OSError:
            continue
        if words == pattern:
            found.append(int(folder.name))
    return found


@pytest.fixture
def speak() -> Iterator[Callable[..., Speaker]]:
    """Starts helper processes that end with the test."""
    started: list[Speaker] = []

    def start(*args: Any, **more: Any) -> Speaker:
        started.append(Speaker(*args, **more))
        return started[-1]

    yield start
    for speaker in started:
        speaker.hang_up()


@pytest.fixture
def segment() -> Iterator[Segment]:
    """A network segment in namespaces."""
    need_root()
    made = Segment()
    yield made
    made.end()


@pytest.fixture
def two() -> Iterator[TwoServers]:
    """A source and a destination with a real sshd between."""
    need_root()
    with two_servers() as made:
        yield made


class Syslog:
    """Hears what helpers send to syslog."""

    def __init__(self, home: Home) -> None:
        (home.root / "dev").mkdir()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(home.root / "dev/log"))
        self._socket.settimeout(0.2)
        self._heard: list[str] = []

    @property
    def lines(self) -> list[str]:
        """Everything heard so far."""
        while True:
            try:
                self._heard.append(self._socket.recv(65536).decode())
            except TimeoutError:
                return self._heard

    def close(self) -> None:
        """Hear no more."""
        self._socket.close()


@pytest.fixture
def syslog(home: Home) -> Iterator[Syslog]:
    """Of the home."""
    made = Syslog(home)
    yield made
    made.close()
