"""What a daemon's own journal says of one recovery: when it noticed, what each step and each change took."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from tests.bench import results
from tests.bench.sheet import Sheet
from tests.e2e.bureau import Bureau

LINES = """
import json, sqlite3, sys
db = sqlite3.connect("file:/var/lib/failover/journal.db?mode=ro", uri=True)
rows = db.execute("select at, kind, run, data from events where seq > ? order by seq", (int(sys.argv[1]),))
print(json.dumps([[at, kind, run, json.loads(data)] for at, kind, run, data in rows]))
"""

Event = tuple[float, str, int | None, dict[str, Any]]


def events(bureau: Bureau, after: int) -> list[Event]:
    """Every event after so many."""
    done = bureau.monitor.run(["python3", "-c", LINES, str(after)])
    return [(datetime.fromisoformat(at).timestamp(), kind, run, data) for at, kind, run, data in json.loads(done.out)]


def first(events: Sequence[Event], wanted: str, **data: Any) -> float:
    """When an event of that kind, with these data, came first."""
    return next(at for at, kind, _, its in events if kind == wanted and all(its.get(key) == data[key] for key in data))


def recovery(events: Sequence[Event]) -> int | None:
    """The number of the first recovery."""
    return next(run for _, kind, run, its in events if kind == "run.opened" and its["kind"] == "recover")


def stages(events: Sequence[Event], fault_at: float, first_reply: float, check: str = "website") -> dict[str, float]:
    """Seconds from the fault to each milestone, up to the first good reply of the new holder, in their order."""
    number = recovery(events)
    marks = [("fault", fault_at)]
    for name, wanted, data in (
        ("first failed look", "verdict.changed", {"check": check, "standing": "suspect"}),
        ("down is certain", "verdict.changed", {"check": check, "standing": "down"}),
        ("decision to recover", "decision.made", {"action": "recover"}),
        ("run opened", "run.opened", {"kind": "recover"}),
    ):
        with suppress(StopIteration):
            marks.append((name, first([e for e in events if e[0] >= fault_at], wanted, **data)))
    titles: list[str] = []
    for at, kind, run, its in events:
        if run != number:
            continue
        if kind == "run.opened":
            titles = list(its["steps"])
        elif kind == "step.started" and its["step"] == 1:
            marks.append(("step 1 begun", at))
        elif kind == "step.done" and at < first_reply:
            marks.append((f"step {its['step']}: {titles[its['step'] - 1]}", at))
    marks = [*sorted(marks, key=lambda mark: mark[1]), ("first good reply", first_reply)]
    return {name: round(at - fault_at, 4) for name, at in marks[1:]}


def changes(events: Sequence[Event]) -> list[dict[str, Any]]:
    """Every change of the recovery: how long it took from its intent on."""
    number = recovery(events)
    intended = {
        its["change"]: (at, its) for at, kind, run, its in events if kind == "change.intended" and run == number
    }
    found = []
    for at, kind, run, its in events:
        if kind == "change.outcome" and run == number and its["change"] in intended:
            began, what = intended[its["change"]]
            found.append({
                "step": what["step"], "server": what["server"], "verb": what["verb"], "says": what["says"],
                "want": what["args"].get("want"), "result": its["result"], "seconds": round(at - began, 4),
            })  # fmt: skip
    return found


def between(rounds: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Seconds from each milestone that every round reached to the next."""
    common = [name for name in rounds[0] if all(name in each for each in rounds)]
    common.sort(key=lambda name: statistics.median(each[name] for each in rounds))
    return {
        name: results.spread((each[name] - (each[common[at - 1]] if at else 0.0) for each in rounds), 4)
        for at, name in enumerate(common)
    }


def sheet(title: str, columns: dict[str, dict[str, Any]]) -> Sheet:
    """Medians from milestone to milestone, a column for each of several kinds of recovery."""
    found = Sheet(title, ("until", *columns))
    for name in dict.fromkeys(name for its in columns.values() for name in its):
        cells = (its.get(name) for its in columns.values())
        found.add(name, *(f"{one['median'] * 1000:.0f} ms" if one else "" for one in cells))
    return found
