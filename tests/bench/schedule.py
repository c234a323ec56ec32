"""How late looks begin: the monitor's own loop (:class:`failover.monitor.looks.Looks`) with up to 10,000 checks.

``python -m tests.bench.schedule``. The probe itself does nothing, so that what is left is the schedule, the fold of
each reading into a health, and :meth:`~failover.probes.base.Probe.take`. Looks are spread by the checks' names, as in
the daemon; the lag is what the loop itself says of each look, from the moment that it was due.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import resource
import statistics
import time
from collections.abc import Callable
from typing import Any, Literal

from rich.console import Console

from failover.decide.health import Health, Thresholds, fold, next_look_in
from failover.model import Reading, utc_now
from failover.monitor.looks import FIRST_LOOK_SECONDS, Looks
from failover.probes.base import Probe, Seen, Sight
from tests.bench import results
from tests.bench.sheet import Sheet, judged, shown

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


async def _run(checks: int, every: float, seconds: float) -> dict[str, Any]:
    probe = NothingProbe(every=every)
    thresholds = Thresholds.for_schedule(probe.fall, probe.rise, probe.every, probe.timeout)
    names = [f"c{number}" for number in range(checks)]
    healths = {name: Health.begin(name, utc_now()) for name in names}
    lags: list[float] = []

    def took(name: str, reading: Reading) -> float:
        healths[name] = health = fold(healths[name], reading, thresholds)
        return next_look_in(health, probe.every, probe.confirm_every)

    looks = Looks(dict.fromkeys(names, probe), _Sight(), took, late=lags.append)  # type: ignore[arg-type]
    task = asyncio.create_task(looks.run())
    await asyncio.sleep(max(every, FIRST_LOOK_SECONDS) + 1)  # each has looked once; from here on it is the steady pace
    lags.clear()
    cpu, began = time.process_time(), time.monotonic()
    await asyncio.sleep(seconds)
    cpu, seconds, taken = time.process_time() - cpu, time.monotonic() - began, sorted(lags)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return {
        "looks": len(taken),
        "share_of_expected": len(taken) / (checks * seconds / every),
        "lag_ms_p50": statistics.median(taken) * 1000,
        "lag_ms_p99": taken[int(len(taken) * 0.99)] * 1000,
        "lag_ms_max": taken[-1] * 1000,
        "cpu_ms_per_look": cpu * 1000 / len(taken),
    }


def measure(
    seconds: float = 10.0, rounds: int = 3, say: Callable[[str], object] = lambda _text: None
) -> dict[str, Any]:
    """Each setting ``rounds`` times, in turn."""
    watch = results.Watch()
    taken: dict[tuple[int, float], list[dict[str, Any]]] = {setting: [] for setting in SETTINGS}
    for number in range(rounds):
        for checks, every in SETTINGS:
            gc.collect()
            watch.look()
            found = asyncio.run(_run(checks, every, max(seconds, every)))
            taken[checks, every].append(found)
            say(f"round {number + 1}: {checks} checks each {every:g} s: lag p99 {found['lag_ms_p99']:.1f} ms")
    settings = [
        {"checks": checks, "every_seconds": every}
        | {key: results.spread((run[key] for run in runs), 4) for key in runs[0]}
        for (checks, every), runs in taken.items()
    ]
    peak = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
    return results.write("schedule", watch, {"rounds": rounds, "settings": settings, "peak_memory_mib": peak})


def sheets(data: dict[str, Any]) -> list[Sheet]:
    """One table."""
    columns = ("checks", "each", "lag p50", "lag p99", f"aim {AIM_P99_MS:.0f} ms", "lag max", "CPU per look")
    sheet = Sheet("How late looks begin", columns)
    for one in data["settings"]:
        p99 = one["lag_ms_p99"]["median"] if one["share_of_expected"]["median"] > 0.98 else None
        sheet.add(
            f"{one['checks']:,}", f"{one['every_seconds']:g} s", shown(one["lag_ms_p50"], "ms"),
            shown(one["lag_ms_p99"], "ms"), judged(p99, AIM_P99_MS), shown(one["lag_ms_max"], "ms"),
            shown(one["cpu_ms_per_look"], "ms"),
        )  # fmt: skip
    return [sheet]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.schedule", description="How late looks begin.")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    console = Console(width=results.WIDTH)
    data = measure(given.seconds, given.rounds, console.print)
    for sheet in sheets(data):
        sheet.show(console)


if __name__ == "__main__":
    main()
