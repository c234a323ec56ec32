"""What the WCM's own plan costs: its outage from our decision on, beside the bare start of the same service.

``python -m tests.bench.wcm_failover [--rounds 5]``. In one lab, in turn: the WCM is killed and its backup takes over;
and, with nobody watching, `systemctl start` of the same unit on that same backup, while it holds the role. Both end
with the first good answer of /health, which asks the database, to somebody at `client`. Less than the bare start isn't
to be had.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

from rich.console import Console

from tests.bench import results, story, whole
from tests.bench.knocking import Knocking
from tests.bench.sheet import Sheet, judged, shown
from tests.e2e.bureau import Bureau
from tests.lab import LabError

UNIT = "wcm.service"
HOME, STANDBY = "wcm", "wcm-backup"
AIM_MORE_SECONDS = 0.5
"""What the plan may take beyond the service's own bare start."""


def bare_start(bureau: Bureau) -> dict[str, float]:
    """The unit, stopped, is started by hand on the backup: until systemd and until /health say so."""
    server = bureau.lab[STANDBY]
    with whole.unwatched(bureau), Knocking(bureau.lab, "HEALTH") as visitor:
        visitor.await_good(20, by=STANDBY)
        server.run(["systemctl", "stop", UNIT])
        time.sleep(1)
        began = time.time()
        told = server.run(["systemctl", "start", UNIT], timeout=60).seconds
        good = visitor.await_good(30, since=began, by=STANDBY)
    return {"answer_seconds": float(good["ended"]) - began, "systemctl_seconds": told}


def failover(bureau: Bureau) -> dict[str, Any]:
    """The WCM is killed; what a visitor of its health saw, and what the journal says of the run. It stays moved."""
    whole.anew(bureau)
    before = story.events(bureau, 0)
    with Knocking(bureau.lab, "HEALTH") as visitor:
        visitor.await_good(20, by=HOME)
        fault_at = time.time()
        bureau.lab[HOME].kill_service(UNIT)
        good = visitor.await_good(60, since=fault_at, by=STANDBY)
        bureau.until_run("recover", ("done",), 60, after=whole.runs_so_far(before))
        outage = visitor.gap(fault_at, good)
    events = story.events(bureau, len(before))
    opened = story.first(events, "run.opened", kind="recover")
    return {
        "outage_seconds": outage,
        "detected_seconds": opened - fault_at,
        "reply_seconds": float(good["ended"]) - opened,
        "stages": story.stages(events, fault_at, float(good["ended"]), "wcm"),
        "changes": story.changes(events),
    }


def measure(rounds: int = 5, say: Callable[[str], object] = lambda _text: None) -> dict[str, Any]:
    """Both, ``rounds`` times, in turn."""
    watch = results.Watch()
    bare: list[dict[str, float]] = []
    ours: list[dict[str, Any]] = []
    lost: list[str] = []
    with whole.site() as bureau:
        for number in range(rounds):
            watch.look()
            try:
                ours.append(failover(bureau))
                say(
                    f"round {number + 1}: outage {ours[-1]['outage_seconds']:.3f} s, of it from the decision on "
                    f"{ours[-1]['reply_seconds']:.3f} s"
                )
                bare.append(bare_start(bureau))
                say(f"round {number + 1}: bare start {bare[-1]['answer_seconds']:.3f} s")
                whole.move_home(bureau, "wcm")
            except LabError as error:  # what went wrong is told, and doesn't cost the rounds before it
                lost.append(f"round {number + 1}: {str(error)[:1500]}")
                say(f"LOST: {lost[-1]}")
                break
    return results.write("wcm_failover", watch, summary(bare, ours, lost))


def summary(bare: list[dict[str, float]], ours: list[dict[str, Any]], lost: list[str]) -> dict[str, Any]:
    """The figures of all rounds."""
    found: dict[str, Any] = {"rounds": len(ours), "lost": lost}
    found["bare"] = whole.spans(bare, "answer_seconds", "systemctl_seconds")
    found["ours"] = whole.spans(ours, "outage_seconds", "detected_seconds", "reply_seconds")
    found["stages"] = story.between([each["stages"] for each in ours]) if ours else {}
    found["changes"] = [each["changes"] for each in ours]
    return found


def sheets(data: dict[str, Any]) -> list[Sheet]:
    """Ours beside the bare start, and where ours goes."""
    start = data["bare"]["answer_seconds"]
    aim = (start["median"] or 0.0) + AIM_MORE_SECONDS
    sheet = Sheet("The WCM fails over", ("", "until /health answers", f"aim: bare start + {AIM_MORE_SECONDS} s"))
    sheet.add("`systemctl start wcm`, by hand", shown(start), "")
    sheet.add("our plan, from the decision on", shown(data["ours"]["reply_seconds"]),
              judged(data["ours"]["reply_seconds"]["median"], aim))  # fmt: skip
    sheet.add("before it: until we are certain", shown(data["ours"]["detected_seconds"]), "")
    sheet.add("the whole outage that a visitor of /health sees", shown(data["ours"]["outage_seconds"]), "")
    sheet.notes += [f"Lost: {text}" for text in data["lost"]]
    return [sheet, story.sheet("Where the time goes when the WCM is killed", {"median": data["stages"]})]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.wcm_failover", description="The WCM fails over.")
    parser.add_argument("--rounds", type=int, default=5)
    console = Console(width=results.WIDTH)
    data = measure(parser.parse_args().rounds, console.print)
    for sheet in sheets(data):
        sheet.show(console)


if __name__ == "__main__":
    main()
