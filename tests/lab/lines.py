"""Reads the JSON lines of a program that runs beside the lab, in a thread, for as long as it runs."""

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from .errors import LabTimeout
from .host import Host

Line = dict[str, Any]


class Lines:
    """Calls ``take`` with each line, and ``ended`` with the time at which the program was gone."""

    def __init__(
        self, process: subprocess.Popen[bytes], take: Callable[[Line], None],
        ended: Callable[[float], None] = lambda at: None,
    ) -> None:  # fmt: skip
        self._process = process
        self._take = take
        self._ended = ended
        self._first = threading.Event()
        self._thread = threading.Thread(target=self._read, name="lab-lines", daemon=True)
        self._thread.start()

    def wait_first(self, timeout: float = 10) -> None:
        """Until the first line has come."""
        if not self._first.wait(timeout):
            raise LabTimeout(f"nothing seen from {self._process.args!r} within {timeout} s")

    def stop(self) -> None:
        """End the program, and read what it still had to say."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)
        self._thread.join(10)

    def _read(self) -> None:
        assert self._process.stdout
        with self._process.stdout as stream:
            for raw in stream:
                with contextlib.suppress(json.JSONDecodeError):  # the last line of a program that was killed
                    self._take(json.loads(raw))
                    self._first.set()
        self._ended(time.time())


class Beside:
    """A person beside the lab, as a program there that tells what it meets, for as long as its ``with`` block lasts."""

    def __init__(self, host: Host, program: Path, arguments: Sequence[str]) -> None:
        self._host = host
        self._program = program
        self._arguments = arguments
        self._lock = threading.Lock()
        self._lines: Lines | None = None

    def __enter__(self) -> Self:
        self._lines = Lines(self._host.beside(self._program, *self._arguments), self._take)
        self._lines.wait_first()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Go home. What was seen stays known; an attempt that is under way is unknown for ever."""
        if self._lines:
            self._lines.stop()
            self._lines = None

    def _take(self, line: Line) -> None:
        """Remember what the program tells."""
        raise NotImplementedError
