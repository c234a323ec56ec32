"""Gives a lab's helpers single orders from the monitor, with nothing of the daemon but its sessions."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.e2e.bureau import Bureau
from tests.lab import LabError

DRIVER = Path(__file__).with_name("order_driver.py")


class Orders:
    """A process on the monitor that keeps its sessions between orders; ended with its ``with`` block."""

    def __init__(self, bureau: Bureau) -> None:
        bureau.monitor.write("/root/order_driver.py", DRIVER.read_text())
        script = "import sys; sys.path.insert(0, '/opt/failover/lib'); exec(open('/root/order_driver.py').read())"
        self._process = subprocess.Popen(
            bureau.monitor.argv(["python3", "-c", script]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._run = 0

    def __enter__(self) -> Orders:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(20)

    def change(self, server: str, verb: str, within: float, **args: Any) -> tuple[dict[str, Any], float]:
        """Have a server change something; its answer, and the seconds that it took from here.

        Raises:
            LabError: it refused, or failed.
        """
        assert self._process.stdin
        assert self._process.stdout
        self._run += 1
        order = {"server": server, "verb": verb, "args": args, "run": self._run, "within": within}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        said: dict[str, Any] = json.loads(self._process.stdout.readline() or '{"error": "the driver ended"}')
        if "error" in said:
            raise LabError(f"{server} was told to {verb} {args}: {said['error']}")
        return said["answer"], float(said["seconds"])
