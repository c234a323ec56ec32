"""What the daemon costs while nothing happens: memory and CPU on the lab's monitor, with the lab's config.

``python -m tests.bench.rest``. RSS counts every page that the process has mapped; PSS shares those that others have
mapped too among them, and private is what would be free again without the daemon. After a minute, over another one.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable
from typing import Any

from rich.console import Console

from tests.bench import results
from tests.bench.sheet import Sheet, judged
from tests.e2e.bureau import Bureau
from tests.lab import Lab

HOSTS = ("monitor", "router", "web", "web-backup", "wcm")
SETTLE_SECONDS, WATCH_SECONDS = 60.0, 60.0
AIM_MB = 60.0
_TICKS = 100  # USER_HZ, what /proc counts in


def measure(
    settle: float = SETTLE_SECONDS, over: float = WATCH_SECONDS, say: Callable[[str], object] = lambda _text: None
) -> dict[str, Any]:
    """A daemon that has been at rest for ``settle`` seconds, over another ``over`` seconds."""
    watch = results.Watch()
    with Lab(HOSTS) as lab:
        bureau = Bureau(lab)
        bureau.up()
        pid = bureau.monitor.run("systemctl show -P MainPID failover").out.strip()
        say(f"the daemon is ready; waiting for {settle:.0f} s")
        time.sleep(settle)
        watch.look()
        before, began = _cpu_seconds(bureau, pid), time.monotonic()
        time.sleep(over)
        cpu, seconds = _cpu_seconds(bureau, pid) - before, time.monotonic() - began
        memory = _memory(bureau, pid)
        status = bureau.monitor.read(f"/proc/{pid}/status")
        threads = int(re.findall(r"^Threads:\s+(\d+)", status, re.MULTILINE)[0])
        peak = round(int(re.findall(r"^VmHWM:\s+(\d+)", status, re.MULTILINE)[0]) * 1024 / 1e6, 1)
        modules = _largest(bureau, pid)
    figures = {
        "settled_seconds": settle, "memory_mb": memory, "peak_rss_mb": peak, "threads": threads,
        "cpu_percent_of_one": round(100 * cpu / seconds, 2), "cpu_seconds": round(cpu, 2),
        "over_seconds": round(seconds, 1),
        "mapped_mb": modules,
    }  # fmt: skip
    return results.write("rest", watch, figures)


def _cpu_seconds(bureau: Bureau, pid: str) -> float:
    fields = bureau.monitor.read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _memory(bureau: Bureau, pid: str) -> dict[str, float]:
    """From smaps_rollup, proc(5), in MB."""
    kb = {
        name: int(size)
        for name, size in re.findall(
            r"^(\w+):\s+(\d+) kB", bureau.monitor.read(f"/proc/{pid}/smaps_rollup"), re.MULTILINE
        )
    }
    private = kb["Private_Clean"] + kb["Private_Dirty"]
    return {
        name: round(size * 1024 / 1e6, 1)
        for name, size in (("rss", kb["Rss"]), ("pss", kb["Pss"]), ("private", private), ("anonymous", kb["Anonymous"]))
    }


def _largest(bureau: Bureau, pid: str) -> dict[str, float]:
    """RSS by what is mapped, the ten largest, in MB."""
    sizes: dict[str, int] = {}
    name = ""
    for line in bureau.monitor.read(f"/proc/{pid}/smaps").splitlines():
        if header := re.match(r"[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \d+ *(.*)", line):
            name = header[1].rpartition("/")[2] or "anonymous"
        elif line.startswith("Rss:"):
            sizes[name] = sizes.get(name, 0) + int(line.split()[1])
    largest = sorted(sizes.items(), key=lambda item: -item[1])[:10]
    return {name: round(size * 1024 / 1e6, 1) for name, size in largest}


def sheets(data: dict[str, Any]) -> list[Sheet]:
    """One table."""
    sheet = Sheet("The daemon at rest", ("", "figure", f"aim {AIM_MB:.0f} MB"))
    memory = data["memory_mb"]
    sheet.add("memory, RSS", f"{memory['rss']} MB", judged(memory["rss"], AIM_MB))
    sheet.add("memory, PSS", f"{memory['pss']} MB", judged(memory["pss"], AIM_MB))
    sheet.add("memory of its own", f"{memory['private']} MB", "")
    sheet.add("threads", str(data["threads"]), "")
    sheet.add("CPU", f"{data['cpu_percent_of_one']} % of one", "")
    sheet.notes.append(f"After {data['settled_seconds']:.0f} s; CPU over {data['over_seconds']:.0f} s.")
    return [sheet]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.rest", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--settle", type=float, default=SETTLE_SECONDS)
    parser.add_argument("--over", type=float, default=WATCH_SECONDS)
    given = parser.parse_args()
    console = Console(width=results.WIDTH)
    for sheet in sheets(measure(given.settle, given.over, console.print)):
        sheet.show(console)


if __name__ == "__main__":
    main()
