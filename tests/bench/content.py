"""Copying the site's content from the WCM to the backup: ours beside plain rsync, on the same hosts, in turn.

``python -m tests.bench.content``. 50,000 files of 1 GB in 500 directories, half of it incompressible, sizes log-normal
about 19.9 kB: cold, with nothing changed, and with 100 files changed. Ours is what the daemon does for
``content_synced``: both sides' manifests, the copy, its check by SHA-256, and the switch; rsync is
``rsync -a --delete`` over ssh, which checks sizes and times. The hosts' disks lie on a real disk, and in another run in
memory: a disk that others use at the same time says little about either.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.bench import results
from tests.bench.driver import Driver
from tests.bench.sheet import Sheet, judged, shown, times
from tests.e2e.bureau import Bureau
from tests.lab import Lab

HOSTS = ("monitor", "router", "web", "web-backup", "wcm")
FILES, FOLDERS, CHANGED = 50_000, 500, 100
COLD, SAME = "cold", "nothing changed"
FIRST, FEW = f"{CHANGED} files changed, among the first releases", f"{CHANGED} files changed"
CASES = (COLD, SAME, FIRST, FEW)
KEEP = 5
"""Releases that are kept. Before that a new one is made of a link a file; then the oldest becomes the new."""
DISK, MEMORY = "on a disk", "in memory"
MEDIA = (MEMORY, DISK)
AIM = 1.1
"""Ours over rsync's."""
BYTES_A_FILE = 19_900
NEEDED_TIMES = 10
"""Copies that may lie on the disk at once, and space left for the others who work on this machine."""
SITE = "/srv/site"
THEIRS = "/srv/rsync-copy"
RSYNC = [
    "rsync",
    "-a",
    "--delete",
    "-e",
    "ssh -i /root/.ssh/bench -o StrictHostKeyChecking=no",
    "root@10.77.0.21:/srv/site/",
    f"{THEIRS}/",
]

FILL = """
import math, os, random, sys
files, folders, top, mean = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], float(sys.argv[4])
dice = random.Random(7)
noise = dice.randbytes(1 << 22)
words = ("全市统计工作会议召开，部署年度统计调查任务，发布国民经济运行情况。" * 40000).encode()
sigma = 1.0
mu = math.log(mean) - sigma * sigma / 2
for number in range(folders):
    os.makedirs(f"{top}/{number % 20:02d}/{number:03d}", exist_ok=True)
total = 0
for number in range(files):
    size = min(2_000_000, max(64, int(dice.lognormvariate(mu, sigma))))
    source = noise if number % 2 else words
    start = dice.randrange(len(source) - size)
    folder = number % folders
    with open(f"{top}/{folder % 20:02d}/{folder:03d}/page-{number}.html", "wb") as file:
        file.write(b"%d " % number + source[start:start + size])
    total += size
print(total)
"""
CHANGE = """
import os, random, sys
top, count, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
dice = random.Random(seed)
found = sorted(os.path.join(where, name) for where, _, names in os.walk(top) for name in names)
for path in dice.sample(found, count):
    with open(path, "r+b") as file:
        file.write(b"changed %d " % seed)
"""
TREE = "cd -P {} && find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum"


@contextmanager
def disk(files: int) -> Iterator[Path]:
    """A folder on the disk of the cache, with room enough; removed at the end."""
    needed = NEEDED_TIMES * files * BYTES_A_FILE
    free = shutil.disk_usage(results.folder()).free
    if free < needed:
        raise SystemExit(f"{results.folder()} has {free / 1e9:.1f} GB free; this benchmark wants {needed / 1e9:.1f} GB")
    folder = Path(tempfile.mkdtemp(prefix="disks-", dir=results.folder()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measure(
    rounds: int = 3,
    files: int = FILES,
    media: tuple[str, ...] = MEDIA,
    say: Callable[[str], object] = lambda _text: None,
) -> dict[str, Any]:
    """Every case ``rounds`` times on each medium; who goes first changes from round to round."""
    watch = results.Watch()
    figures: dict[str, Any] = {}
    data: dict[str, Any] = {}
    for medium in media:
        say(f"the hosts' disks: {medium}")
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(disk(files)) if medium == DISK else None
            lab = stack.enter_context(Lab(HOSTS, disks=folder))
            figures[medium] = _on(lab, rounds, files, watch, say)
        data = results.write("content", watch, {"rounds": rounds, "files": files, "media": figures})
    return data


def _on(lab: Lab, rounds: int, files: int, watch: results.Watch, say: Callable[[str], object]) -> dict[str, Any]:
    taken: dict[str, dict[str, list[dict[str, Any]]]] = {who: {case: [] for case in CASES} for who in ("ours", "rsync")}
    bureau = Bureau(lab)
    bureau.enroll()
    lab.wcm.run(f"rm -rf {SITE}/*")
    fill = ["python3", "-c", FILL, str(files), str(FOLDERS), SITE, str(BYTES_A_FILE)]
    total = int(lab.wcm.run(fill, timeout=300).out)
    say(f"{files} files, {total / 1e6:.0f} MB")
    _let_rsync_in(lab)
    with Driver(bureau, "sync_driver.py") as driver:
        ways: dict[str, Callable[[], dict[str, Any]]] = {
            "ours": lambda: driver.order("our copy failed", do="sync"),
            "rsync": lambda: _rsync(lab),
        }
        for number, cases in enumerate(_rounds(rounds)):
            for case in cases:
                _prepare(lab, case, number)
                for who in list(ways)[:: 1 if number % 2 == 0 else -1]:
                    _settle(lab)
                    watch.look()
                    found = ways[who]()
                    taken[who][case].append(found)
                    say(f"round {number + 1}: {case}, {who}: {found['seconds']:.2f} s")
        same = _trees(lab)
    for name in ("wcm", "web-backup"):  # a lab ends within half a minute; half a million files on a disk don't
        lab[name].run(f"rm -rf {SITE} {SITE}.releases {THEIRS}", timeout=600)
    return {"bytes": total, "equal": same, "cases": _summary(taken)}


def _rounds(rounds: int) -> list[tuple[str, ...]]:
    """What is measured, round by round: every case so often, the cold ones first, since they begin everything anew."""
    cold = [(COLD, SAME)] * rounds
    return [*cold, *[(FIRST,)] * (KEEP - 1), *[(FEW,)] * rounds]


def _let_rsync_in(lab: Lab) -> None:
    lab["web-backup"].run("ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/bench")
    key = lab["web-backup"].read("/root/.ssh/bench.pub")
    lab.wcm.run(["sh", "-c", 'echo "$1" >> /root/.ssh/authorized_keys', "sh", key.strip()])


def _rsync(lab: Lab) -> dict[str, Any]:
    return {"seconds": lab["web-backup"].run(RSYNC, timeout=600).seconds}


def _prepare(lab: Lab, case: str, number: int) -> None:
    """Cold: no copy on the backup, and neither side has ever been looked at by us."""
    if case == COLD:
        lab["web-backup"].run(
            f"rm -rf {THEIRS} {SITE} {SITE}.releases /var/lib/failover-helper/inodes /var/lib/failover-helper/releases"
            f" /var/lib/failover-helper/manifests && mkdir {SITE}", timeout=120,
        )  # fmt: skip
        lab.wcm.run("rm -rf /var/lib/failover-helper/inodes")
    if case in (FIRST, FEW):
        lab.wcm.run(["python3", "-c", CHANGE, SITE, str(CHANGED), str(number)], timeout=60)


def _settle(lab: Lab) -> None:
    """What was written before reaches the disk now, not during the next copy; and changes are more than 2 s old."""
    for name in ("wcm", "web-backup"):
        lab[name].run("sync; sleep 2.5", timeout=180)


def _trees(lab: Lab) -> bool:
    """Whether all three trees are the same, byte for byte."""
    hashes = {
        lab["wcm"].run(TREE.format(SITE), timeout=300).out,
        lab["web-backup"].run(TREE.format(SITE), timeout=300).out,
        lab["web-backup"].run(TREE.format(THEIRS), timeout=300).out,
    }
    return len(hashes) == 1


def _summary(taken: dict[str, dict[str, list[dict[str, Any]]]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for case in CASES:
        ours, theirs = taken["ours"][case], taken["rsync"][case]
        mine, its = (results.spread(one["seconds"] for one in runs) for runs in (ours, theirs))
        parts = {
            key: results.spread(one[key] for one in ours)
            for key in ("content_seconds", "manifest_seconds", "copy_seconds")
        }
        found[case] = {"ours": mine, "rsync": its, "ratio": results.ratio(mine, its), "parts": parts,
                       "fetched": [one["fetched"] for one in ours]}  # fmt: skip
    return found


def sheets(data: dict[str, Any]) -> list[Sheet]:
    """Ours beside rsync, and where ours goes."""
    found = []
    for medium, figures in data["media"].items():
        sheet = Sheet(
            f"Content, {medium}: {data['files']:,} files, {figures['bytes'] / 1e6:.0f} MB",
            ("", "ours", "rsync -a --delete", "ours / rsync", f"aim {AIM}×", "ours: manifest", "ours: copy"),
        )
        for case, one in figures["cases"].items():
            parts = one["parts"]
            sheet.add(
                case, shown(one["ours"]), shown(one["rsync"]), times(one["ratio"]), judged(one["ratio"], AIM),
                shown(parts["manifest_seconds"]), shown(parts["copy_seconds"]),
            )  # fmt: skip
        if not figures["equal"]:
            sheet.notes.append("**The trees differ at the end.**")
        found.append(sheet)
    found[-1].notes += [
        "Ours reads and hashes every byte on both sides when it is cold; rsync compares sizes and times.",
        f"Until {KEEP} releases are there, a new one is made of a link a file; then the oldest becomes it.",
    ]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.content", description="Copying content.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--files", type=int, default=FILES)
    parser.add_argument("--on", choices=MEDIA, help="only this medium")
    given = parser.parse_args()
    console = Console(width=results.WIDTH)
    media = (given.on,) if given.on else MEDIA
    for sheet in sheets(measure(given.rounds, given.files, media, console.print)):
        sheet.show(console)


if __name__ == "__main__":
    main()
