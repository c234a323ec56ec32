"""How long a config takes to be read and checked as a whole: what every start and every reload waits for."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from failover.config.load import load

LAB = Path(__file__).parents[2] / "configs/lab.yaml"


def measure(folder: Path, checks: tuple[int, ...] = (10, 1000, 10_000), times: int = 5) -> dict[str, Any]:
    """Milliseconds to load the lab's config with so many checks more, the fastest and the median of ``times``."""
    found: dict[str, Any] = {}
    for number in checks:
        file = folder / f"{number}.yaml"
        more = "".join(
            f'  page-{each}: {{kind: http, url: "http://10.77.0.100/{each}", every: 5s, depends_on: [web-alive]}}\n'
            for each in range(number)
        )
        file.write_text(LAB.read_text().replace("checks:\n", f"checks:\n{more}"))
        file.chmod(0o600)
        spans = []
        for _ in range(times):
            began = time.perf_counter()
            loaded = load(file)
            spans.append((time.perf_counter() - began) * 1000)
        least, median = round(min(spans), 1), round(statistics.median(spans), 1)
        found[f"load_{number}_checks_milliseconds"] = {"least": least, "median": median}
        found[f"bytes_{number}_checks"] = len(loaded.texts[0][1])
    return found


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        print(json.dumps(measure(Path(scratch)), indent=2))
