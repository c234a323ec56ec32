"""Gives a lab's helpers single orders from the monitor, with nothing of the daemon but its sessions."""

from __future__ import annotations

from typing import Any

from tests.bench.driver import Driver
from tests.e2e.bureau import Bureau


class Orders(Driver):
    """A process on the monitor that keeps its sessions between orders; ended with its ``with`` block."""

    def __init__(self, bureau: Bureau) -> None:
        super().__init__(bureau, "order_driver.py")

    def change(self, server: str, verb: str, within: float, **args: Any) -> tuple[dict[str, Any], float]:
        """Have a server change something; its answer, and the seconds that it took from here.

        Raises:
            LabError: it refused, or failed.
        """
        said = self.order(f"{server} was told to {verb} {args}", server=server, verb=verb, args=args, within=within)
        return said["answer"], float(said["seconds"])
