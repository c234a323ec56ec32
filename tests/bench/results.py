"""What every benchmark writes down: its figures, the commit they were measured at, and how busy the machine was."""

from __future__ import annotations

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
WIDTH = 150
"""Of the tables on the terminal."""
MEASURED = ("failover", "systemd", "configs", "requirements.lock")
"""What changes a figure when it changes: work in these that isn't committed is said beside the commit."""


def folder() -> Path:
    """Where the JSON goes: ``$FAILOVER_CACHE/bench``, else ``.cache/bench``."""
    place = Path(os.environ.get("FAILOVER_CACHE") or REPOSITORY / ".cache") / "bench"
    place.mkdir(parents=True, exist_ok=True)
    return place


def disk() -> Path:
    """Where large data of a benchmark lie while it runs: ``$FAILOVER_TEST_DISK``, else beside the JSON."""
    place = os.environ.get("FAILOVER_TEST_DISK")
    return Path(place) if place else folder()


def free_bytes() -> int:
    """Of that disk."""
    return shutil.disk_usage(disk()).free


@contextmanager
def disk_folder() -> Iterator[Path]:
    """A folder on it, removed at the end."""
    made = Path(tempfile.mkdtemp(prefix="disks-", dir=disk()))
    made.chmod(0o755)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def spread(values: Iterable[float], digits: int = 3) -> dict[str, Any]:
    """Median, least, most, and every single one in the order in which they were measured."""
    taken = [round(value, digits) for value in values]
    if not taken:
        return {"median": None, "min": None, "max": None, "runs": []}
    return {"median": round(statistics.median(taken), digits), "min": min(taken), "max": max(taken), "runs": taken}


def ratio(ours: dict[str, Any], theirs: dict[str, Any]) -> float | None:
    """Our median over theirs; None where one of them is missing or nothing."""
    if ours["median"] is None or not theirs["median"]:
        return None
    return round(float(ours["median"]) / float(theirs["median"]), 2)


class Watch:
    """The machine while a benchmark runs: others may be at work on it, and whoever reads a figure has to know."""

    def __init__(self) -> None:
        self.began = datetime.now(UTC)
        self.loads = [os.getloadavg()[0]]

    def look(self) -> None:
        """Note the load now; to be called once a round."""
        self.loads.append(os.getloadavg()[0])

    def seen(self) -> dict[str, Any]:
        """All that was seen, with the commit."""
        self.look()
        return {
            "commit": _git("rev-parse", "--short=12", "HEAD"),
            "uncommitted": _git("status", "--porcelain", "--", *MEASURED).splitlines(),
            "began_at": self.began.isoformat(timespec="seconds"),
            "seconds": round((datetime.now(UTC) - self.began).total_seconds()),
            "machine": {
                "cpus": os.cpu_count(),
                "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
                "kernel": platform.release(),
                "python": sys.version.split()[0],
            },
            "load_1min": {key: value for key, value in spread(self.loads, 2).items() if key != "runs"},
        }


def write(name: str, watch: Watch, figures: dict[str, Any]) -> dict[str, Any]:
    """Keep the figures of a part as ``NAME.json``; returns all that was written."""
    data = {"part": name, **watch.seen(), **figures}
    (folder() / f"{name}.json").write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n")
    return data


def read(name: str) -> dict[str, Any] | None:
    """What a part wrote when it last ran, or None."""
    file = folder() / f"{name}.json"
    if not file.exists():
        return None
    data: dict[str, Any] = json.loads(file.read_text())
    return data


def _git(*words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(REPOSITORY), *words], capture_output=True, text=True, timeout=20, check=False
    )
    return done.stdout.rstrip() if done.returncode == 0 else ""
