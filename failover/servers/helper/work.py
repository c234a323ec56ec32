"""What the process that carries out one request knows."""

import json
import os
import subprocess
from typing import Any, Callable, List, Optional, Tuple

from .clock import boottime
from .errors import Answer, Failed, Refused, Token
from .places import ENVIRONMENT, Places
from .policy import Policy

LONGEST_SECONDS = 6 * 3600.0
TOOL_SECONDS = 10.0


def write_line(fd: int, message: Answer) -> None:
    """One JSON line."""
    data = json.dumps(message).encode() + b"\n"
    while data:
        data = data[os.write(fd, data) :]


class Work:
    """What the process that carries out one request knows: its policy, its time, and how to say how far it is."""

    def __init__(self, places: Places, verb: str, end: float, pipe: int = -1, token: Optional[Token] = None) -> None:
        self.places, self.verb, self.end, self.token = places, verb, end, token
        self.policy = Policy.read(places)
        self.began = False
        self.afterwards: Callable[[], None] = lambda: None
        """What may wait until the answer is said and the next change is let in."""
        self._pipe = pipe
        self._told = 0.0

    def send(self, message: Answer) -> None:
        """A line to the process that speaks with the monitor."""
        if self._pipe >= 0:
            write_line(self._pipe, message)

    def begin(self) -> None:
        """Say that from here on something changes. Refuses when it is too late for that."""
        self.in_time()
        if not self.began:
            self.began = True
            self.send({"began": True})

    def in_time(self) -> None:
        """Asked just before every effect: a frozen machine that thaws must not go on where it was."""
        if boottime() >= self.end:
            late = f"its time was over {boottime() - self.end:.3f} s ago"
            raise (Failed if self.began else Refused)("past-deadline", f"{self.verb} was not carried on: {late}")

    def left(self, most: float = LONGEST_SECONDS) -> float:
        """Seconds that are left, at least a moment."""
        return max(0.01, min(most, self.end - boottime()))

    def progress(self, **what: Any) -> None:
        """Tell the monitor, five times a second at most."""
        if boottime() - self._told >= 0.2:
            self._told = boottime()
            self.send({"progress": what})

    def run(self, argv: List[str], stdin: bytes = b"", within: float = TOOL_SECONDS) -> Tuple[int, str]:
        """A tool's exit code and what it said. No shell; bounded."""
        process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=ENVIRONMENT, cwd="/"
        )
        try:
            out, _ = process.communicate(stdin, timeout=self.left(within))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise (Failed if self.began else Refused)(
                "timeout", f"{argv[0]} took more than {self.left(within):.3g} s"
            ) from None
        return process.returncode, out.decode("utf-8", "replace")
