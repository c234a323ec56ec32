"""How late looks begin when one task a check keeps its own time, as the monitor does.

``python -m tests.bench.schedule`` prints JSON. The probe itself does nothing, so that what is left is the schedule and
:meth:`~failover.probes.base.Probe.take`: each check's task sleeps until its next moment on the monotonic clock, looks,
and takes the next moment of its own grid, so that a late look doesn't push the later ones. First moments are spread.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import random
import resource
import statistics
import sys
import time
from typing import Any, Literal

from failover.probes.base import Probe, Seen, Sight

SETTINGS = ((10, 1.0), (1_000, 1.0), (10_000, 10.0), (10_000, 5.0))
"""Checks, and the seconds from one look of each to its next; 5 s is the default of a check."""
AIM_P99_MS = 50.0


class NothingProbe(Probe):
    """Up at once."""

    kind: Literal["nothing"] = "nothing"

    async def look(self, sight: Sight) -> Seen:
        return Seen("nothing to see")


class _Sight:
    def own_fault(self) -> None:
        return None


async def _check(name: str, probe: Probe, first: float, every: float, lags: list[float]) -> None:
    sight: Sight = _Sight()  # type: ignore[assignment]
    due = first
    while True:
        await asyncio.sleep(due - time.monotonic())
        lags.append(time.monotonic() - due)
        await probe.take(name, sight)
        due += every
        if (now := time.monotonic()) > due:  # moments that went by are left out, not caught up with
            due += every * ((now - due) // every + 1)


async def _run(checks: int, every: float, seconds: float) -> dict[str, Any]:
    random.seed(1)
    lags: list[float] = []
    probe = NothingProbe()
    begin = time.monotonic() + 0.5 + checks / 10_000
    tasks = [
        asyncio.create_task(_check(f"c{number}", probe, begin + random.random() * every, every, lags))  # noqa: S311
        for number in range(checks)
    ]
    await asyncio.sleep(begin - time.monotonic())
    lags.clear()
    cpu = time.process_time()
    await asyncio.sleep(seconds)
    cpu, looks, taken = time.process_time() - cpu, len(lags), sorted(lags)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    expected = checks * seconds / every
    return {
        "checks": checks,
        "every_seconds": every,
        "looks": looks,
        "looks_share_of_expected": round(looks / expected, 3),
        "lag_ms_p50": round(statistics.median(taken) * 1000, 2),
        "lag_ms_p99": round(taken[int(looks * 0.99)] * 1000, 2),
        "lag_ms_max": round(taken[-1] * 1000, 2),
        "cpu_ms_per_look": round(cpu * 1000 / looks, 4),
    }


def measure(seconds: float = 10.0, rounds: int = 3) -> dict[str, Any]:
    """Each setting ``rounds`` times; of each, the round with the median p99, and the spread of p99."""
    found = []
    for checks, every in SETTINGS:
        runs = []
        for _ in range(rounds):
            gc.collect()
            runs.append(asyncio.run(_run(checks, every, max(seconds, every))))
        runs.sort(key=lambda run: run["lag_ms_p99"])
        found.append(
            runs[len(runs) // 2] | {"lag_ms_p99_min": runs[0]["lag_ms_p99"], "lag_ms_p99_max": runs[-1]["lag_ms_p99"]}
        )
    return {
        "what": "lag from the moment a look is due to the moment it begins",
        "python": sys.version.split()[0],
        "rounds": rounds,
        "aim_p99_ms": AIM_P99_MS,
        "settings": found,
        "peak_memory_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    print(json.dumps(measure(given.seconds, given.rounds), indent=2))


if __name__ == "__main__":
    main()
