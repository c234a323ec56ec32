"""``host``: what a server's own helper says of it: load, memory, disks, clock, services."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from failover.errors import Undecidable, Unhealthy
from failover.model import Span, format_span
from failover.probes.base import Probe, Seen, Sight, ask, track

Facts = Mapping[str, Any]


class HostProbe(Probe):
    """Up when nothing is over its threshold; the reason lists everything that is.

    It alarms by default: a full disk is a reason to call people, and rarely one to move the website.
    """

    kind: Literal["host"] = "host"
    every: Span = Field(default=30.0, gt=0, description="Time from one look to the next.")
    timeout: Span = Field(default=10.0, gt=0, description="Total time that one look may take.")
    confirm_every: Span = Field(default=5.0, gt=0, description="After a failed look the next follow at this distance.")
    max_load_per_cpu: float = Field(default=4.0, gt=0, description="Five-minute load for each CPU.")
    min_memory_percent: float = Field(default=5.0, ge=0, le=100, description="Memory that must be available.")
    min_disk_percent: float = Field(default=10.0, ge=0, le=100, description="Free space that every disk must have.")
    min_free_inodes: int = Field(default=1000, ge=0, description="Files that must still fit on every disk.")
    max_clock_skew: Span = Field(default=2.0, gt=0, description="How far its clock may be from the monitor's.")
    services: tuple[str, ...] = Field(default=(), description="Units that must be active, as `nginx`.")
    fails_over: bool = Field(default=False, description="True: it may start a plan.")

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if self.server is None and self.role is None:
            raise ValueError("it has nothing to look at; give it a server or a role")
        return self

    async def look(self, sight: Sight) -> Seen:
        """Ask for the facts, then compare each."""
        name = self.server or sight.holder(self.role or "")
        before, began = time.time(), time.monotonic()
        sections = ["load", "cpus", "memory", "disks", *(("services",) if self.services else ())]
        facts = await ask(sight, name, "facts", self.timeout, sections=sections)
        round_trip = time.monotonic() - began
        try:
            found = [
                *self._load(facts),
                *self._memory(facts),
                *self._disks(facts),
                *self._clock(facts, before + round_trip / 2, round_trip),
                *self._services(facts),
            ]
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise Undecidable(f"{name}: its facts can't be understood: {type(error).__name__}: {error}") from error
        if found:
            raise Unhealthy(f"{name}: " + "; ".join(found))
        return Seen(f"{name} is well")

    def _load(self, facts: Facts) -> Iterator[str]:
        each = float(facts["load"][1]) / max(1, int(facts["cpus"]))
        track().values["host_load_per_cpu"] = each
        if each > self.max_load_per_cpu:
            yield f"load per CPU is {each:.1f}, allowed are {self.max_load_per_cpu:g}"

    def _memory(self, facts: Facts) -> Iterator[str]:
        memory = facts["memory"]
        free = memory["available_bytes"] * 100 / memory["total_bytes"]
        track().values["host_memory_available_ratio"] = free / 100
        if free < self.min_memory_percent:
            yield f"{free:.1f} % of memory is available, needed are {self.min_memory_percent:g} %"

    def _disks(self, facts: Facts) -> Iterator[str]:
        least = 100.0
        known: set[tuple[Any, ...]] = set()
        for path, disk in facts["disks"].items():
            if (same := tuple(disk.values())) in known:
                continue  # another path on the same disk
            known.add(same)
            if disk.get("read_only"):
                yield f"{path} is read-only"
            if disk["size_bytes"]:
                free = disk["free_bytes"] * 100 / disk["size_bytes"]
                least = min(least, free)
                if free < self.min_disk_percent:
                    yield f"{free:.1f} % of {path} is free, needed are {self.min_disk_percent:g} %"
            inodes = disk.get("free_inodes")
            if inodes is not None and inodes < self.min_free_inodes:
                yield f"only {inodes} files more fit on {path}, needed are {self.min_free_inodes}"
        track().values["host_disk_free_ratio"] = least / 100

    def _clock(self, facts: Facts, ours: float, round_trip: float) -> Iterator[str]:
        """Its clock was read at some moment of the round trip: the skew is known to half of that either way."""
        said = facts["time"]
        theirs = datetime.fromisoformat(said).timestamp() if isinstance(said, str) else float(said)
        skew = theirs - ours
        track().values["host_clock_skew_seconds"] = skew
        if abs(skew) - round_trip / 2 > self.max_clock_skew:
            side = "ahead of" if skew > 0 else "behind"
            yield f"its clock is {format_span(abs(skew))} {side} the monitor's"

    def _services(self, facts: Facts) -> Iterator[str]:
        known = facts.get("services") or {}
        for unit in self.services:
            state = known.get(unit) or known.get(f"{unit}.service")
            if state is None:
                yield f"nothing is known of service {unit} (its helper's policy doesn't name it?)"
            elif state["active"] not in ("active", True):
                yield f"service {unit} is {state['active']}"
