"""A program on the lab's monitor that keeps its sessions with the servers, and is given orders one by one."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, Self

from tests.e2e.bureau import Bureau
from tests.lab import LabError


class Driver:
    """Pipes a program of this folder to the monitor's python3; ended with its ``with`` block."""

    def __init__(self, bureau: Bureau, program: str) -> None:
        there = f"/root/{program}"
        bureau.monitor.write(there, Path(__file__).with_name(program).read_text())
        script = f"import sys; sys.path.insert(0, '/opt/failover/lib'); exec(open('{there}').read())"
        self._process = subprocess.Popen(
            bureau.monitor.argv(["python3", "-c", script]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._run = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(20)

    def order(self, what: str, **order: Any) -> dict[str, Any]:
        """Have an order carried out; what the program answers.

        Raises:
            LabError: it failed, and says why.
        """
        assert self._process.stdin
        assert self._process.stdout
        self._run += 1
        self._process.stdin.write(json.dumps({**order, "run": self._run}) + "\n")
        self._process.stdin.flush()
        said: dict[str, Any] = json.loads(self._process.stdout.readline() or '{"error": "the driver ended"}')
        if "error" in said:
            raise LabError(f"{what}: {said['error']}")
        return said
