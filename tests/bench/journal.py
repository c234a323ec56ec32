"""How long an intent takes to be on the disk: what every change of a recovery waits for, twice."""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from failover.journal import Journal, verify

DATA = {"step": 1, "change": 1, "server": "web", "verb": "address", "args": {"ip": "10.77.0.100"}, "says": "x" * 60}


def measure(folder: Path, appends: int = 1000, threads: int = 8) -> dict[str, Any]:
    """Milliseconds of one append, alone and among ``threads``, beside a bare write and fdatasync on the same disk."""
    with Journal.open(folder / "journal.db") as journal:
        alone = _timed(lambda: journal.append("change.intended", site="shop", run=1, by="daemon", data=DATA), appends)
        together: list[float] = []
        workers = [
            threading.Thread(
                target=lambda: together.extend(
                    _timed(lambda: journal.append("change.intended", by="daemon", data=DATA), appends // threads)
                )
            )
            for _ in range(threads)
        ]
        began = time.perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        rate = len(together) / (time.perf_counter() - began)
        began = time.perf_counter()
        found = verify(journal.path, head=journal.head)
        per_second = found.events / (time.perf_counter() - began)
    descriptor = os.open(folder / "bare", os.O_WRONLY | os.O_CREAT)

    def append_bare() -> None:
        os.write(descriptor, b"x" * 4096)
        os.fdatasync(descriptor)

    bare = _timed(append_bare, appends)
    os.close(descriptor)
    return {
        "append_milliseconds": _spread(alone),
        f"append_milliseconds_{threads}_threads": _spread(together),
        f"appends_per_second_{threads}_threads": round(rate),
        "bare_fdatasync_milliseconds": _spread(bare),
        "verified_events_per_second": round(per_second),
        "sound": found.sound,
    }


def _timed(act: Any, times: int) -> list[float]:
    spans = []
    for _ in range(times):
        began = time.perf_counter()
        act()
        spans.append(time.perf_counter() - began)
    return spans


def _spread(spans: list[float]) -> dict[str, float]:
    hundredths = statistics.quantiles(spans, n=100)
    return {name: round(hundredths[at] * 1000, 3) for name, at in (("p5", 4), ("median", 49), ("p95", 94), ("p99", 98))}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as scratch:
        print(json.dumps(measure(Path(scratch)), indent=2))
