"""Commands on lab hosts: how to get into a host's namespaces, and what becomes of a command there."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import LabTimeout

Command = str | Sequence[str]


@dataclass(frozen=True)
class Done:
    """A command that ended on a host."""

    code: int
    out: str
    err: str
    seconds: float


class Background:
    """A command that runs on a host until it ends, is stopped, or the host loses power."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self._process = process
        self._output = output

    @property
    def running(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def output(self) -> str:
        """What it has written so far, both streams together."""
        return self._output.read_text(errors="replace")

    def wait(self, timeout: float) -> int:
        """Its return code, or `LabTimeout` after so many seconds."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise LabTimeout(f"still running after {timeout} s: {self._output.name}") from None

    def stop(self) -> None:
        """Kill it with all its children."""
        kill_group(self._process)


def beside(pid: int, program: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a Python program of this machine in the network and process namespaces of a process of the lab."""
    command = [*enter(pid, "-n", "-p"), sys.executable, "-I", "-S", str(program), *arguments]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True)


def enter(pid: int, *spaces: str) -> list[str]:
    """The command line that goes into these namespaces (options of nsenter(1)) of a process."""
    where = ["--wdns=/"] if "-m" in spaces else []
    return ["nsenter", "-t", str(pid), *spaces, *where, "--"]


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all its children, and reap it."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it ended by itself
    process.wait(10)
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            stream.close()


def shown(command: Command) -> str:
    """The command as people would type it."""
    return command if isinstance(command, str) else shlex.join(command)
