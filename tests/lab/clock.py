"""A wrong clock for one service of a host.

Linux has no namespace for the wall clock (time_namespaces(7) covers only CLOCK_MONOTONIC and CLOCK_BOOTTIME), and
setting it for real would set this machine's. So one service at a time lives in another time, by a preloaded library:
what it reads from the C library (as Python does) is shifted. Its monotonic clock and its timeouts are true, as they are
when an administrator sets the clock; so are the times of the files it writes. Programs that ask the kernel directly
(Go) or run setuid notice nothing.
"""

import struct

from . import base
from .host import Host

LIBRARY = "/usr/local/lib/lab-clock.so"


class FakeClock:
    """The wall clock of one unit of a host. Setting it takes effect at once, in the running process too."""

    def __init__(self, host: Host, unit: str) -> None:
        self._host = host
        self._unit = unit if "." in unit else f"{unit}.service"
        self._file = f"/etc/lab/clock-{self._unit}"
        self._dropin = f"/etc/systemd/system/{self._unit}.d/fake-clock.conf"
        host.write(LIBRARY, base.clock_library().read_bytes())
        self.set(0)
        host.write(self._dropin, f"[Service]\nEnvironment=LD_PRELOAD={LIBRARY} LAB_CLOCK={self._file}\n")
        self._restart()

    def set(self, shift_seconds: float) -> None:
        """Let the unit live so many seconds in the future (or, below 0, in the past)."""
        shift = struct.pack("=q", round(shift_seconds * 1e9))
        # In place, and in one write: the running process has mapped this very file.
        write = ["dd", f"of={self._file}", "bs=8", "count=1", "conv=notrunc", "status=none"]
        self._host.run(write, stdin=shift)

    def remove(self) -> None:
        """Give the unit the true time again; it is restarted if it runs."""
        self._host.run(["rm", "-f", self._dropin, self._file])
        self._restart()

    def __enter__(self) -> "FakeClock":
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def _restart(self) -> None:
        self._host.run(f"systemctl daemon-reload && systemctl try-restart {self._unit}")
