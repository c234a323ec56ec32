"""Run a program of the monitor's own, bounded in time and output, without a shell."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, cast

from failover.model import format_span
from failover.servers.lines import clean

MAX_OUTPUT_BYTES = 64 << 10
LOOK_SECONDS = 0.1
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}


class NotStarted(Exception):
    """The program could not even be started."""


class TookTooLong(Exception):
    """It was killed, with its children, before its end."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended; each stream is cut to 64 KiB."""

    code: int
    out: str
    err: str

    def sentence(self) -> str:
        """``ended with exit code 1: no such outlet``."""
        how = f"exit code {self.code}" if self.code >= 0 else signal.Signals(-self.code).name
        said = clean(self.err, 300) or clean(self.out, 300)
        return f"ended with {how}" + (f": {said}" if said else "")


def run_bounded(
    argv: Sequence[str], within_seconds: float, ending: threading.Event | None = None, *,
    stdin: bytes = b"", inherit: bool = False,
) -> Ended:  # fmt: skip
    """Run it to its end; all its processes are killed at the deadline, or when ``ending`` is set.

    Args:
        argv: the program and its words.
        within_seconds: its time.
        ending: ends it before.
        stdin: what it reads.
        inherit: give it our environment, folder and terminal, like a program that the operator typed.

    Raises:
        NotStarted, TookTooLong: see there.
    """
    deadline = time.monotonic() + within_seconds
    # A file of memory: a pipe would have to be fed while the program runs, and secrets don't belong on a disk.
    with open(os.memfd_create("stdin"), "w+b") as given:
        given.write(stdin)
        given.seek(0)
        try:
            process = subprocess.Popen(
                list(argv), stdin=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                env=None if inherit else ENVIRONMENT, cwd=None if inherit else "/",
                start_new_session=not inherit,
            )  # fmt: skip
        except OSError as error:
            raise NotStarted(f"{argv[0]} can't be started: {error.strerror}") from None
    caught = {"out": bytearray(), "err": bytearray()}
    with process:
        try:
            with selectors.DefaultSelector() as streams:
                streams.register(cast("IO[bytes]", process.stdout), selectors.EVENT_READ, "out")
                streams.register(cast("IO[bytes]", process.stderr), selectors.EVENT_READ, "err")
                # The process's end counts, not that of its streams, which a child of it may keep open for ever.
                while process.poll() is None and time.monotonic() < deadline and not (ending and ending.is_set()):
                    _catch(streams, caught, min(LOOK_SECONDS, max(0.0, deadline - time.monotonic())))
                _catch(streams, caught, 0)
            if process.poll() is None:
                raise TookTooLong(f"{argv[0]} had not ended within {format_span(within_seconds)} and was killed")
        except BaseException:
            _kill(process, group=not inherit)
            raise
        finally:
            for stream in (process.stdout, process.stderr):
                if stream:
                    stream.close()
    return Ended(process.returncode, *(bytes(part).decode(errors="replace") for part in caught.values()))


def _catch(streams: selectors.BaseSelector, caught: dict[str, bytearray], wait_seconds: float) -> None:
    if not streams.get_map():
        time.sleep(min(wait_seconds, 0.005))
        return
    for key, _ in streams.select(wait_seconds):
        data = os.read(key.fd, MAX_OUTPUT_BYTES)
        if not data:
            streams.unregister(key.fileobj)
        kept = caught[key.data]
        kept += data[: MAX_OUTPUT_BYTES - len(kept)]


def _kill(process: subprocess.Popen[bytes], *, group: bool) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL) if group else process.kill()
    except ProcessLookupError:
        pass  # nothing of it is left
