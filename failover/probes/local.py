"""``local``: the monitor itself. A sick monitor must not judge others, and must say so before it's asked to."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

import psutil
from pydantic import Field

from failover.errors import Unhealthy
from failover.model import Span, format_span
from failover.probes.base import Probe, Seen, Sight, track
from failover.probes.selfwatch import count_fds

_LAG_SAMPLE_SECONDS = 0.05
_MIB = 1024 * 1024


class LocalProbe(Probe):
    """Up when the monitor's loop, file descriptors, memory and disk are well, and no service address is on it."""

    about_monitor: ClassVar[bool] = True

    kind: Literal["local"] = "local"
    every: Span = Field(default=10.0, gt=0, description="Time from one look to the next.")
    timeout: Span = Field(default=5.0, gt=0, description="Total time that one look may take.")
    state_dir: Path = Field(default=Path("/var/lib/failover"), description="Where the journal is written.")
    min_disk_percent: float = Field(
        default=5.0, ge=0, le=100, description="Free space that the journal's disk must have."
    )
    min_memory_percent: float = Field(default=5.0, ge=0, le=100, description="Memory that must be available.")
    max_rss_mib: float | None = Field(default=None, gt=0, description="Memory that the daemon itself may take.")
    max_fds_percent: float = Field(default=80.0, gt=0, le=100, description="File descriptors that may be open.")
    max_lag: Span = Field(default=0.2, gt=0, description="How late the loop may be.")
    addresses: tuple[str, ...] = Field(
        default=(), description="Names of the service addresses that mustn't be on the monitor."
    )
    fails_over: Literal[False] = Field(default=False, description="Always false: it's about the monitor.")

    async def look(self, sight: Sight) -> Seen:
        """Measure everything, then name everything that is over at once."""
        found = list(self._find(sight, await _lag_seconds()))
        if fault := sight.own_fault():
            found.append(fault)
        if found:
            raise Unhealthy("the monitor: " + "; ".join(found))
        return Seen("the monitor is well")

    def _find(self, sight: Sight, lag: float) -> Iterator[str]:
        values = track().values
        values["local_loop_lag_seconds"] = lag
        if lag > self.max_lag:
            yield f"its loop is {format_span(lag)} late, allowed are {format_span(self.max_lag)}"

        used, allowed = count_fds()
        values["local_open_fds"] = float(used)
        if allowed and used * 100 > allowed * self.max_fds_percent:
            yield f"{used} of {allowed} file descriptors are open"

        rss = psutil.Process().memory_info().rss
        values["local_resident_memory_bytes"] = float(rss)
        if self.max_rss_mib is not None and rss > self.max_rss_mib * _MIB:
            yield f"the daemon takes {rss / _MIB:.0f} MiB, allowed are {self.max_rss_mib:g}"

        yield from self._memory()
        yield from self._disk()
        yield from self._addresses(sight)

    def _memory(self) -> Iterator[str]:
        try:
            memory = psutil.virtual_memory()
        except OSError:  # ProcSubset=pid hides /proc/meminfo: then it's systemd's MemoryMax that watches
            return
        free = memory.available * 100 / memory.total
        track().values["local_memory_available_ratio"] = free / 100
        if free < self.min_memory_percent:
            yield f"{free:.1f} % of memory is available, needed are {self.min_memory_percent:g} %"

    def _disk(self) -> Iterator[str]:
        try:
            disk = os.statvfs(self.state_dir)
        except OSError as error:
            yield f"its disk can't be read at {self.state_dir}: {error.strerror}"
            return
        # Of what an ordinary user may fill: the last blocks are root's.
        free = disk.f_bavail * 100 / max(1, disk.f_blocks - disk.f_bfree + disk.f_bavail)
        track().values["local_disk_free_ratio"] = free / 100
        if disk.f_flag & os.ST_RDONLY:
            yield f"its disk at {self.state_dir} is read-only"
        if free < self.min_disk_percent:
            yield f"{free:.1f} % of its disk is free at {self.state_dir}, needed are {self.min_disk_percent:g} %"
        if disk.f_files and disk.f_favail * 100 < disk.f_files:
            yield f"only {disk.f_favail} files more fit on its disk at {self.state_dir}"

    def _addresses(self, sight: Sight) -> Iterator[str]:
        if not self.addresses:
            return
        here = own_addresses()
        for name in self.addresses:
            ip, _ = sight.service_address(name)
            if ip in here:
                yield f"service address {name} ({ip}) is on the monitor's own {here[ip]}"


def own_addresses() -> dict[str, str]:
    """Every IP of this machine with its interface, secondary ones too. Needs AF_NETLINK where systemd restricts it."""
    return {
        address.address.partition("%")[0]: interface
        for interface, addresses in psutil.net_if_addrs().items()
        for address in addresses
        if address.family != psutil.AF_LINK
    }


async def _lag_seconds() -> float:
    due = time.monotonic() + _LAG_SAMPLE_SECONDS
    await asyncio.sleep(_LAG_SAMPLE_SECONDS)
    return max(0.0, time.monotonic() - due)
