"""The telephone of the person on duty: takes the pages that the daemon posts, on the monitor host, and keeps them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from tests.lab import Host, LabTimeout
from tests.lab.patience import PATIENCE

PROGRAM = Path(__file__).with_name("programs") / "phone.py"
_PLACE, _PAGES = "/usr/local/lib/phone.py", "/run/phone.jsonl"

Page = dict[str, Any]

_SEVERITIES = ("info", "warning", "page")


class Phone:
    """Lies on the monitor host, where the config's channel `duty` posts to."""

    def __init__(self, monitor: Host) -> None:
        self._monitor = monitor
        monitor.write(_PLACE, PROGRAM.read_text())
        monitor.run(f"touch {_PAGES}; systemd-run -q --unit phone python3 {_PLACE} {monitor.ip} 8099 {_PAGES}")

    def pages(self) -> list[Page]:
        """Every page since it was last cleared: ``severity``, ``title``, ``text``, ``key``."""
        return [json.loads(line) for line in self._monitor.read(_PAGES).splitlines()]

    def clear(self) -> None:
        """Read and put away."""
        self._monitor.run(f": > {_PAGES}")

    def await_page(self, says: str, within: float, *, severity: str = "page") -> Page:
        """Wait until it rings for something. Messages of one moment may come together, as severe as the severest."""
        enough = _SEVERITIES[_SEVERITIES.index(severity) :]
        within *= PATIENCE
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            for page in self.pages():
                if says in f"{page['title']}\n{page['text']}" and page["severity"] in enough:
                    return page
            time.sleep(0.1)
        titles = "\n  ".join(f"{page['severity']}: {page['title']}" for page in self.pages())
        raise LabTimeout(f"nobody was called about {says!r} within {within:g} s; the phone has\n  {titles}")
