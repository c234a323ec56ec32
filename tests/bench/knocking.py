"""An editor of the lab's WCM who saves again and again, or a visitor of its health, and what the gap between was."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Literal

from tests.lab import Host, Lab, LabTimeout
from tests.lab.lines import Line, Lines
from tests.lab.wcm import HOSTS

PROGRAM = Path(__file__).with_name("knock.py")
LIMIT_SECONDS = 2.0
PAUSE_SECONDS = {"HEALTH": 0.05, "MARKER": 0.2}
"""A save costs the WCM more than a page; both leave it most of its time."""


class Knocking:
    """Knocks from the start of its ``with`` block to its end, at ``client``."""

    def __init__(self, lab: Lab, what: Literal["HEALTH", "MARKER"], wcms: tuple[str, ...] = HOSTS) -> None:
        assert lab.made is not None
        self._names = {card.ipv4: name for name, cards in lab.plan.items() for card in cards}
        token = lab.made.folder / "secrets" / "marker-token"
        addresses = [lab[name].ip for name in wcms]
        self._arguments = [what, str(token), str(PAUSE_SECONDS[what]), str(LIMIT_SECONDS), *addresses]
        self._host: Host = lab.client
        self._good: list[Line] = []
        self._lock = threading.Lock()
        self._lines: Lines | None = None

    def __enter__(self) -> Knocking:
        self._lines = Lines(self._host.beside(PROGRAM, *self._arguments), self._take)
        self._lines.wait_first()
        return self

    def __exit__(self, *_: object) -> None:
        if self._lines:
            self._lines.stop()
            self._lines = None

    @property
    def good(self) -> list[Line]:
        """Every good answer so far: ``began``, ``ended``, ``host`` (the WCM) and ``at`` (the database's server)."""
        with self._lock:
            return list(self._good)

    def await_good(self, within: float, *, since: float = 0.0, by: str = "", at: str = "") -> Line:
        """The first good answer to what was asked after ``since``, by this WCM, into the database on this server.

        Raises:
            LabTimeout: there was none within so many seconds.
        """
        deadline = time.monotonic() + within
        while True:
            for one in self.good:
                if one["began"] > since and by in ("", one["host"]) and at in ("", one["at"]):
                    return one
            if time.monotonic() > deadline:
                raise LabTimeout(f"no good answer by {by or 'any WCM'} into {at or 'any database'} within {within} s")
            time.sleep(0.02)

    def gap(self, fault_at: float, first: Line) -> float:
        """Seconds from the last good answer around the fault (or the fault, if that was later) to ``first``."""
        return gap([(one["began"], one["ended"]) for one in self.good], fault_at, float(first["ended"]))

    def _take(self, line: Line) -> None:
        if line["good"]:
            line["at"] = self._names.get(str(line["database"]).partition("/")[0], "")
            with self._lock:
                self._good.append(line)


def gap(good: list[tuple[float, float]], fault_at: float, first_ended: float) -> float:
    """From the end of the last good answer before ``first_ended``, or from the fault if that came later."""
    before = [ended for _, ended in good if ended < first_ended]
    return first_ended - max([fault_at, *before])
