"""What one recovery of the WCM or the database cost the people who work with it, and what was foretold of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from tests.e2e.bureau import Bureau, Run
from tests.e2e.recovery import watch
from tests.lab import Oracle, Visitor, Writer
from tests.lab.databases import markers


@dataclass(frozen=True)
class Shown:
    """One move of a role, for the tables. Spans in seconds."""

    what: str
    moved: str
    detected_seconds: float | None
    outage_seconds: float
    """For the web, what visitors saw; else what an editor did."""
    loss_seconds: float
    foretold_seconds: float | None
    """From the failure to the end of the run; None where nothing was foretold."""
    measured_seconds: float | None
    run_seconds: float
    steps: tuple[tuple[str, float], ...]
    wrong: str = ""
    """What wasn't as it must be."""


class Journal(Protocol):
    """Whoever can be asked for a run, wherever the daemon runs."""

    def run_of(self, number: int) -> Run:
        """One run with its steps."""


def shown(bureau: Journal, what: str, run: Run, began: float, outage: float, wrong: str) -> Shown:
    """Put together what the daemon's own journal says of a run, and what others saw."""
    whole = bureau.run_of(int(run["number"]))
    opened = datetime.fromisoformat(run["opened_at"]).timestamp()
    automatic = run["kind"] == "recover"
    foretold = whole.get("forecast")
    total = foretold["rows"][-1] if foretold and foretold["rows"] else None
    return Shown(
        what=what,
        moved=f"{run['role']}: {run['old']} → {run['new']}",
        detected_seconds=opened - began if automatic else None,
        outage_seconds=outage,
        loss_seconds=float(whole.get("loss_seconds") or 0.0),
        foretold_seconds=total["predicted_seconds"] if total else None,
        measured_seconds=total["measured_seconds"] if total else None,
        run_seconds=float(run["seconds"] or 0.0),
        steps=tuple((step["title"], float(step["seconds"] or 0)) for step in whole["steps"]),
        wrong=wrong,
    )


def watch_visitors(bureau: Bureau, what: str, fault: Callable[[], object], *, new: str, kind: str) -> Shown:
    """Let something happen to the web server while a visitor reads."""
    old = "web" if new != "web" else "web-backup"
    found = watch(bureau, what, fault, old=old, new=new, kind=kind)
    run = bureau.run_of(found.run)
    wrong = [f"two servers held the address for {found.overlap_seconds:.3f} s"] if found.overlap_seconds else []
    wrong += [f"{found.mixed} mixed replies"] if found.mixed else []
    wrong += [] if found.equal else ["the content differs from the WCM's"]
    return shown(bureau, what, run, found.began, found.outage_seconds, "; ".join(wrong))


def watch_editors(
    bureau: Bureau, what: str, fault: Callable[[], object], *, role: str, by: str, into: str, kind: str = "recover",
    within: float = 120,
) -> Shown:  # fmt: skip
    """Let something happen to the WCM or the database while an editor publishes and a visitor reads."""
    before = max((int(run["number"]) for run in bureau.runs()), default=0)
    lab = bureau.lab
    with Oracle(lab) as oracle, Visitor(lab["client"]) as visitor, Writer(lab, every=0.5) as writer:
        visitor.await_until(lambda visitor: bool(visitor.good), within=15)
        writer.await_accepted(2, within=30)
        began = time.time()
        with visitor.may_see_older() if role == "database" else nullcontext():  # it goes back to its backup
            fault()
            # A switch comes back when it is done: what the new one took meanwhile counts as well.
            after = [one for one in writer.accepted if one.ended > began and (one.by, one.host) == (by, into)]
            if len(after) < 2:
                writer.await_accepted(2, within=within, by=by, into=into)
            run = bureau.until_run(kind, ("done",), within, after=before)
            writer.stop()
    good = [one for one in writer.accepted if one.ended > began and (one.by, one.host) == (by, into)]
    last = max((one.ended for one in writer.accepted if one.ended <= good[0].began), default=began)
    late = {one.marker for one in good}
    there = set(markers(lab, lab[into]))
    wrong = [] if run["role"] == role else [f"run {run['number']} moved {run['role']}"]
    wrong += [] if late <= there else [f"{len(late - there)} accepted markers are missing on {into}"]
    try:
        oracle.check()
        visitor.check_whole()
    except AssertionError as error:
        wrong.append(str(error))
    return shown(bureau, what, run, began, good[0].ended - max(last, began), "; ".join(wrong))
