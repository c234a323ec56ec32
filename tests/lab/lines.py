"""Reads the JSON lines of a program that runs beside the lab, in a thread, for as long as it runs."""

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

from .errors import LabTimeout

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
