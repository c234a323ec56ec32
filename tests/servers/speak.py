"""Speaks with a real helper process through pipes, as the monitor does through SSH."""

from __future__ import annotations

import atexit
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from failover.servers import helper_program

SOURCES = Path(os.environ.get("FAILOVER_HELPER_UNDER_TEST", helper_program.SOURCES))
"""The package that is tried; another one when somebody plants a bug to see the tests find it."""


def _built() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="helper"))
    folder.chmod(0o755)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    built = folder / "failover-helper"
    built.write_bytes(helper_program.program(SOURCES))
    built.chmod(0o755)
    return built


HELPER = _built()
"""The program as it would lie on a server."""
ADDRESS = {"name": "www", "ip": "10.77.0.100", "interface": "eth0", "prefix": 24}
POLICY: dict[str, Any] = {"site": "test", "server": "web", "addresses": [ADDRESS]}


def boottime() -> float:
    """CLOCK_BOOTTIME in seconds."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Home:
    """A folder that stands for a server's root: policy, state, and a socket that hears what goes to syslog."""

    def __init__(self, root: Path, **policy: Any) -> None:
        self.root = root
        (root / "etc/failover-helper").mkdir(parents=True)
        (root / "var/lib").mkdir(parents=True)
        (root / "run").mkdir()
        self.policy_file = root / "etc/failover-helper/policy.json"
        self.run = root / "run/failover-helper"
        self.state = root / "var/lib/failover-helper"
        self.write_policy(**policy)

    def write_policy(self, **policy: Any) -> None:
        """Write a policy of these keys over the default one."""
        self.policy_file.write_text(json.dumps({**POLICY, **policy}))
        self.policy_file.chmod(0o644)


class Speaker:
    """One helper process. ``ask`` and ``change`` return the final reply; ``send`` and ``reply`` do it in two steps."""

    def __init__(
        self, home: Home, prefix: Sequence[str] = (), python: str = sys.executable, hello: bool = True
    ) -> None:
        self.process = subprocess.Popen(
            [*prefix, python, "-IS", str(HELPER), "--root", str(home.root)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self.home = home
        self.token = (1, 1)
        self.lines: list[dict[str, Any]] = []
        self._numbers = iter(range(1, 10**9))
        self._buffer = b""
        self._lock = threading.Lock()
        if hello:
            self.hello: dict[str, Any] = self.next_line()["hello"]

    def __enter__(self) -> Speaker:
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()

    def hang_up(self, within: float = 10) -> int:
        """Close its stdin and wait for its end."""
        assert self.process.stdin
        assert self.process.stdout
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        try:
            return self.process.wait(within)
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()

    def raw(self, data: bytes) -> None:
        """Send bytes as they are."""
        assert self.process.stdin
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def request(self, verb: str, args: dict[str, Any], **more: Any) -> dict[str, Any]:
        """A request that asks."""
        return {"id": next(self._numbers), "verb": verb, "args": args, **more}

    def stamped(self, verb: str, args: dict[str, Any], seconds: float = 20, **more: Any) -> dict[str, Any]:
        """A request that changes, with the token of this speaker."""
        times = {"boot_id": self.hello["boot_id"], "not_after": boottime() + seconds, "deadline_seconds": seconds}
        return self.request(verb, args, **{"epoch": self.token[0], "run": self.token[1], **times, **more})

    def send(self, request: dict[str, Any]) -> Any:
        """Send a request; its id."""
        self.raw(json.dumps(request).encode() + b"\n")
        return request["id"]

    def next_line(self, within: float = 20) -> dict[str, Any]:
        """The next line that it says."""
        assert self.process.stdout
        end = time.monotonic() + within
        while b"\n" not in self._buffer:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                raise TimeoutError(f"nothing said within {within} s")
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                raise EOFError("the helper ended")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found

    def reply(self, number: Any, within: float = 20) -> dict[str, Any]:
        """The final reply to a request; ``progress`` lines and replies to others are kept in ``lines``."""
        for index, line in enumerate(self.lines):
            if line.get("id") == number and "progress" not in line:
                return self.lines.pop(index)
        while True:
            line = self.next_line(within)
            if line.get("id") == number and "progress" not in line:
                return line
            self.lines.append(line)

    def ask(self, verb: str, within: float = 20, **args: Any) -> dict[str, Any]:
        """Ask, and wait for the reply."""
        return self.reply(self.send(self.request(verb, args)), within)

    def change(self, verb: str, args: dict[str, Any], seconds: float = 20, **more: Any) -> dict[str, Any]:
        """Change something, and wait for the reply."""
        return self.reply(self.send(self.stamped(verb, args, seconds, **more)), seconds + 5)


Speak = Callable[..., Speaker]
"""Of the fixture ``speak``: starts a helper process."""


def kind(reply: dict[str, Any]) -> tuple[str, bool]:
    """Of an error, and whether anything had begun."""
    return reply["error"]["kind"], reply["error"]["began"]


def error(reply: dict[str, Any]) -> tuple[str, str]:
    """Its kind and its sentence."""
    assert "error" in reply, reply
    return reply["error"]["kind"], reply["error"]["message"]
