"""A wrong clock for one service of a host.

Linux has no namespace for the wall clock (time_namespaces(7) covers only CLOCK_MONOTONIC and CLOCK_BOOTTIME), and setting
it for real would set this machine's. So one service at a time lives in another time, by libfaketime: what it reads from
the C library (as Python does) is shifted; its monotonic clock, its timers and its children's deadlines are not. Programs
that ask the kernel directly (Go) or run setuid don't notice.
"""

from .errors import LabError
from .host import Host


class FakeClock:
    """The wall clock of one unit of a host. Setting it takes effect at once, in the running process too."""

    def __init__(self, host: Host, unit: str) -> None:
        self._host = host
        self._unit = unit if "." in unit else f"{unit}.service"
        self._file = f"/etc/lab/clock-{self._unit}"
        self._dropin = f"/etc/systemd/system/{self._unit}.d/fake-clock.conf"
        library = host.run("ls /usr/lib/*/faketime/libfaketime.so.1").out.split()
        if not library:
            raise LabError(f"{host.name} has no libfaketime")
        self.set(0)
        host.write(
            self._dropin,
            "[Service]\n"
            f"Environment=LD_PRELOAD={library[0]} FAKETIME_TIMESTAMP_FILE={self._file} FAKETIME_NO_CACHE=1\n"
            "Environment=DONT_FAKE_MONOTONIC=1 FAKETIME_DONT_RESET=1\n",
        )
        self._restart()

    def set(self, shift_seconds: float) -> None:
        """Let the unit live so many seconds in the future (or, below 0, in the past)."""
        self._host.write(self._file, f"{shift_seconds:+.3f}s\n")

    def remove(self) -> None:
        """Give the unit the true time again; it is restarted if it runs."""
        self._host.run(["rm", "-rf", self._dropin.rpartition("/")[0], self._file])
        self._restart()

    def __enter__(self) -> "FakeClock":
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def _restart(self) -> None:
        self._host.run(f"systemctl daemon-reload && systemctl try-restart {self._unit}")
