"""The parts of the benchmark, in the order in which they are shown."""

from __future__ import annotations

from typing import Any, Protocol

from tests.bench import content, database_failover, http_probe, outage, rest, restore, schedule, wcm_failover
from tests.bench.sheet import Sheet


class Part(Protocol):
    """What a module of a part has."""

    def measure(self, *, say: Any) -> dict[str, Any]:
        """Measure it, and write its JSON."""
        ...

    def sheets(self, data: dict[str, Any]) -> list[Sheet]:
        """Its tables."""
        ...


PARTS: dict[str, Part] = {
    "outage": outage, "wcm_failover": wcm_failover, "database_failover": database_failover, "restore": restore,
    "content": content, "http_probe": http_probe, "schedule": schedule, "rest": rest,
}  # fmt: skip
