"""The database fails over, at several sizes, with its shadow ready: what it costs, beside the WCM's own bare restart.

``python -m tests.bench.database_failover [--sizes 0.1 1 5] [--rounds 3]``. In one lab whose hosts' disks lie on a real
disk: the database is grown, a backup of it is made and restored ahead by the daemon, and its server's processes are
killed, while an editor saves again and again. The next round goes the other way: what served fails, and what failed
takes over again. Before each round, with nobody watching, `systemctl restart` of the WCM by hand: less isn't to be had.
"""

from __future__ import annotations

import argparse
import os
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console

from tests.bench import filler, results, story, whole
from tests.bench.knocking import Knocking
from tests.bench.sheet import Sheet, judged, shown, times
from tests.e2e.bureau import Bureau
from tests.e2e.town import all_well
from tests.lab import LabError
from tests.lab.databases import ask, databases

UNIT = "postgresql@15-main.service"
WCM_UNIT, WCM = "wcm.service", "wcm"
SIZES = (0.1, 1.0, 5.0)
"""GB."""
COPIES = 8
"""Of the database, at once: what serves, what served, older and newer shadows, two dumps, and the log of filling it."""
AIM_SWAP_MS, AIM_MORE_SECONDS, AIM_SAME = 100.0, 1.0, 1.25
"""The last: the run at the largest size over that at the smallest, which differ as any two rounds do."""
SHADOW_SECONDS_A_GB = 400.0
BUSY_TRIES = 120
CALM_LOOKS = 6
AT_WORK = (
    "select 1 from pg_stat_activity"
    r" where datname like 'wcm\_\_2%' or datname like 'wcm%' and backend_type = 'autovacuum worker'"
)
SHADOW = r"wcm__2\d{7}t\d{6}"


def bare_restart(bureau: Bureau) -> dict[str, float]:
    """The WCM's unit restarted by hand: until systemd says that it's done, and what an editor saw of it."""
    with whole.unwatched(bureau), Knocking(bureau.lab, "MARKER", (WCM,)) as editor:
        editor.await_good(20, by=WCM)
        began = time.time()
        told = bureau.lab[WCM].run(["systemctl", "restart", WCM_UNIT], timeout=60).seconds
        good = editor.await_good(30, since=began + told / 2, by=WCM)
        return {"systemctl_seconds": told, "gap_seconds": editor.gap(began, good)}


def failover(bureau: Bureau, gigabytes: float) -> dict[str, Any]:
    """The database's server is killed where it is; what an editor saw, and what the journal says of the run."""
    lab = bureau.lab
    old, new = bureau.holder("database"), standby(bureau)
    ready(bureau, new, gigabytes)
    whole.anew(bureau)
    before = story.events(bureau, 0)
    size = filler.size(lab, lab[old])
    with Knocking(lab, "MARKER", (WCM,)) as editor:
        editor.await_good(20, by=WCM, at=old)
        fault_at = time.time()
        lab[old].kill_service(UNIT)
        good = editor.await_good(90, since=fault_at, at=new)
        bureau.until_run("recover", ("done",), 60, after=whole.runs_so_far(before))
        outage = editor.gap(fault_at, good)
    events = story.events(bureau, len(before))
    equal = filler.rows(lab, lab[new], "wcm")
    put_back(bureau, old, new)
    opened = story.first(events, "run.opened", kind="recover")
    number = story.recovery(events)  # what is done ahead of time ends too, a moment before
    ended = story.first([event for event in events if event[2] == number], "run.ended", state="done")
    changes = story.changes(events)
    return {
        "bytes": size, "from": old, "to": new, "rows": equal, "gap_seconds": outage,
        "detected_seconds": opened - fault_at, "reply_seconds": float(good["ended"]) - opened,
        "whole_seconds": ended - opened,
        "swap_seconds": next(one["seconds"] for one in changes if one["want"] == "swapped"),
        "stages": story.stages(events, fault_at, float(good["ended"]), "database"), "changes": changes,
    }  # fmt: skip


def standby(bureau: Bureau) -> str:
    """The server that the database would go to."""
    return next(str(one["standby"]) for one in bureau.status()["roles"] if one["name"] == "database")


def ready(bureau: Bureau, new: str, gigabytes: float) -> None:
    """A backup of now, restored ahead on the standby by the daemon itself, and nobody at work in it any more.

    What was restored is vacuumed, and autovacuum comes too; between the night's restore and a failure lie hours.
    """
    older = set(databases(bureau.lab, bureau.lab[new]))
    within = 120 + SHADOW_SECONDS_A_GB * gigabytes
    for _ in range(BUSY_TRIES):
        done = bureau.cli("backup", "now", "wcm-db", timeout=within, check=False)
        if done.code != os.EX_TEMPFAIL:
            break
        time.sleep(1)  # something else is under way just now
    if done.code:
        raise LabError(f"failover backup now ended with {done.code}: {done.out}{done.err}")

    def there(_: object) -> bool:
        newer = [name for name in databases(bureau.lab, bureau.lab[new]) if re.fullmatch(SHADOW, name)]
        return bool(set(newer) - older)

    bureau.until(there, within)
    bureau.until(all_well, within)  # it is whole, and the daemon says so
    for name in ("db", "db-backup"):
        filler.calm(bureau.lab, bureau.lab[name])
    bureau.until(lambda _status: not at_work(bureau, new), within)


def at_work(bureau: Bureau, name: str) -> bool:
    """Whether somebody is in a restored database there, or autovacuum in any, or comes within a few seconds."""
    for _ in range(CALM_LOOKS):
        if ask(bureau.lab, bureau.lab[name], AT_WORK):
            return True
        time.sleep(0.5)
    return False


def put_back(bureau: Bureau, old: str, new: str) -> None:
    """The old server runs again, beside; what was put aside is dropped by hand, as people do for room."""
    lab = bureau.lab
    lab[old].run(f"systemctl reset-failed {UNIT}; systemctl start {UNIT}", timeout=120, check=False)
    bureau.cli("ack", "database", "--why", "the round is over")
    bureau.until(all_well, whole.WELL_SECONDS)
    for host in (lab[old], lab[new]):
        for name in databases(lab, host):
            if name.startswith("wcm__old_"):
                ask(lab, host, f'drop database "{name}"')


def measure(
    sizes: Sequence[float] = SIZES, rounds: int = 3, say: Callable[[str], object] = lambda _text: None
) -> dict[str, Any]:
    """Each size ``rounds`` times, the smallest first; the bare restart before each round."""
    watch = results.Watch()
    bare: list[dict[str, float]] = []
    ours: dict[float, list[dict[str, Any]]] = {size: [] for size in sorted(sizes)}
    left_out: dict[str, str] = {}
    lost: list[str] = []
    with results.disk_folder() as folder, whole.site(disks=folder) as bureau:
        for size, taken in ours.items():
            if why := filler.need(size, COPIES):
                left_out[f"{size:g}"] = why
                say(f"{size:g} GB is left out: {why}")
                continue
            try:
                holder = bureau.lab[bureau.holder("database")]
                say(f"{size:g} GB: {filler.grow(bureau.lab, holder, size) / 1e9:.2f} GB on {holder.name}")
                for number in range(rounds):
                    watch.look()
                    bare.append(bare_restart(bureau))
                    taken.append(failover(bureau, size))
                    say(f"round {number + 1}: {_told(bare[-1], taken[-1])}")
            except LabError as error:  # what went wrong is told, and doesn't cost what was measured before it
                lost.append(f"{size:g} GB: {str(error)[:2000]}")
                say(f"LOST: {lost[-1]}")
                break
    return results.write("database_failover", watch, summary(bare, ours, left_out, lost))


def _told(bare: dict[str, float], ours: dict[str, Any]) -> str:
    return (
        f"bare restart {bare['systemctl_seconds']:.3f} s; swap {ours['swap_seconds'] * 1000:.0f} ms, the run "
        f"{ours['whole_seconds']:.3f} s, the editor's gap {ours['gap_seconds']:.3f} s"
    )


KEYS = ("detected_seconds", "swap_seconds", "reply_seconds", "whole_seconds", "gap_seconds")


def summary(
    bare: list[dict[str, float]], ours: dict[float, list[dict[str, Any]]], left_out: dict[str, str], lost: list[str]
) -> dict[str, Any]:
    """The figures of all rounds, by size, and the largest beside the smallest."""
    sizes: dict[str, Any] = {}
    for size, taken in ours.items():
        if taken:
            sizes[f"{size:g}"] = {
                **whole.spans(taken, *KEYS),
                "bytes": max(each["bytes"] for each in taken),
                "stages": story.between([named(each) for each in taken]),
                "changes": [each["changes"] for each in taken],
            }
    runs = [one["whole_seconds"] for one in sizes.values()]
    return {
        "rounds": min((len(taken) for taken in ours.values() if taken), default=0), "left_out": left_out, "lost": lost,
        "bare": whole.spans(bare, "systemctl_seconds", "gap_seconds") if bare else {},
        "sizes": sizes, "largest_over_smallest": results.ratio(runs[-1], runs[0]) if len(runs) > 1 else None,
    }  # fmt: skip


def named(taken: dict[str, Any]) -> dict[str, float]:
    """A round's milestones by their part in it: the rounds go to and fro between two servers."""
    parts = {taken["to"]: "the new server", taken["from"]: "the old server"}
    pattern = re.compile("|".join(rf"\b{re.escape(name)}(?![\w-])" for name in sorted(parts, key=len, reverse=True)))
    return {pattern.sub(lambda match: parts[match[0]], name): at for name, at in taken["stages"].items()}


def sheets(data: dict[str, Any]) -> list[Sheet]:
    """Each size, judged; and where the time goes."""
    sizes, bare = data["sizes"], data["bare"]
    sheet = Sheet("The database fails over, its shadow ready", (
        "database", "swap alone", f"aim {AIM_SWAP_MS:.0f} ms", "the run, from decision to end",
        f"aim: bare restart + {AIM_MORE_SECONDS:g} s", "decision → first save", "detected after", "the editor's gap",
    ))  # fmt: skip
    aim = bare["systemctl_seconds"]["median"] + AIM_MORE_SECONDS if bare else 0.0
    for size, one in sizes.items():
        swap = {key: value * 1000 for key, value in one["swap_seconds"].items() if key != "runs"}
        run = one["whole_seconds"]
        sheet.add(
            f"{size} GB", shown(swap, "ms"), judged(swap["median"], AIM_SWAP_MS), shown(run),
            judged(run["median"], aim), shown(one["reply_seconds"]), shown(one["detected_seconds"]),
            shown(one["gap_seconds"]),
        )  # fmt: skip
    if bare:
        sheet.notes.append(
            f"`systemctl restart wcm` by hand, in the same lab: {shown(bare['systemctl_seconds'])}; the same editor "
            f"sees a gap of {shown(bare['gap_seconds'])} then."
        )
    for want, said in (("restarted", "The same restart within the run"), ("command", "The marker that proves it")):
        spent = [
            change["seconds"]
            for one in sizes.values()
            for changes in one["changes"]
            for change in changes
            if want in (change["want"], change["verb"])
        ]
        if spent:
            sheet.notes.append(f"{said}: {shown(results.spread(spent))}.")
    if (largest := data["largest_over_smallest"]) is not None:
        sheet.notes.append(
            f"The run at the largest size over that at the smallest: {times(largest)}; aim: the same, {AIM_SAME}× at "
            f"most: {judged(largest, AIM_SAME)}."
        )
    sheet.notes += [f"{size} GB wasn't measured: {why}." for size, why in data["left_out"].items()]
    sheet.notes += [f"Lost: {text}" for text in data["lost"]]
    where = story.sheet(
        "Where the time goes when the database is killed (medians)",
        {f"{size} GB": one["stages"] for size, one in sizes.items()},
    )
    return [sheet, where]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.database_failover", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--sizes", type=float, nargs="+", default=SIZES, metavar="GB")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    console = Console(width=results.WIDTH)
    for sheet in sheets(measure(given.sizes, given.rounds, console.print)):
        sheet.show(console)


if __name__ == "__main__":
    main()
