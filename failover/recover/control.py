"""How other threads reach into a run: wake it, end it, or let it rest until the next start."""

from __future__ import annotations

import threading
import time
from datetime import datetime

from failover.errors import RunAborted
from failover.model import utc_now


class Halted(Exception):
    """The daemon stops: the run rests where it is, and the next start resumes it."""


class Clock:
    """Time that only goes on, and waiting for it. Tests bring their own."""

    def monotonic(self) -> float:
        """Seconds since some moment."""
        return time.monotonic()

    def now(self) -> datetime:
        """The wall clock, aware."""
        return utc_now()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait until the event is set, or the time is over; whether it is set."""
        return event.wait(seconds)


class Control:
    """The reins of one run. Every wait of a run goes through :meth:`wait`, so that no run has to be waited for."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._poked = threading.Event()
        self._halt = False
        self._abort: str | None = None

    def poke(self) -> None:
        """There is news: look again now."""
        self._poked.set()

    def abort(self, why: str) -> None:
        """End it before its next change."""
        self._abort = why
        self._poked.set()

    def halt(self) -> None:
        """Let it rest before its next change."""
        self._halt = True
        self._poked.set()

    def obeyed(self) -> None:
        """The run is ending; what it still has to do to end well isn't aborted."""
        self._abort = None

    def check(self) -> None:
        """Raises RunAborted or Halted when that was asked for."""
        if self._halt:
            raise Halted
        if self._abort is not None:
            raise RunAborted(self._abort)

    def wait(self, seconds: float) -> None:
        """Wait so long, or until there is news. Raises RunAborted or Halted."""
        self.check()
        if self._clock.wait(self._poked, seconds):
            self._poked.clear()
        self.check()
