"""One failure from the fault to the visitor's first good reply, measured by those who can't be fooled."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from tests.e2e.bureau import Bureau
from tests.lab import Oracle, Visitor, Writer

ADDRESS = "10.77.0.100"
_TREE = "cd -P /srv/site && find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum"


@dataclass(frozen=True)
class Recovery:
    """What one failure cost. Spans in seconds."""

    what: str
    old: str
    new: str
    detected_seconds: float | None
    """From the fault to the decision; None where nobody had to detect anything."""
    reply_seconds: float
    """From the decision to the visitor's first good reply by the new holder."""
    outage_seconds: float
    """The longest time between two good replies from the fault on."""
    overlap_seconds: float
    """How long two hosts held the address at once."""
    mixed: int
    """Replies with half of a copy in them."""
    equal: bool
    """Whether the new holder's content is the WCM's, byte for byte."""
    steps: tuple[tuple[str, float], ...]
    run: int
    """Its number."""
    began: float
    """When something happened, in seconds since 1970."""

    @property
    def good(self) -> bool:
        """Whether all went as the plan says."""
        return self.overlap_seconds == 0 and not self.mixed and self.equal

    def as_json(self) -> dict[str, Any]:
        """For files."""
        return asdict(self)


def tree(bureau: Bureau, host: str) -> str:
    """One hash over all files of the site on a host."""
    return bureau.lab[host].run(_TREE).out


def shows_newest(bureau: Bureau, writer: Writer) -> bool:
    """Whether a visitor is shown the newest marker that was published, or one that is just being published."""
    page = bureau.lab.client.run(f"curl -fs http://{ADDRESS}/news/marker.html", check=False).out
    return any(one.marker in page for one in writer.newest)


def watch(
    bureau: Bureau,
    what: str,
    fault: Callable[[], object],
    *,
    old: str,
    new: str,
    kind: str = "recover",
    within: float = 60,
) -> Recovery:
    """Let something happen, and watch until the visitor is served by ``new`` and the run is done."""
    before = max((int(run["number"]) for run in bureau.runs()), default=0)
    with Oracle(bureau.lab) as oracle, Visitor(bureau.lab["client"]) as visitor:
        visitor.await_host(old, within=15)
        time.sleep(0.5)
        began = time.time()
        fault()
        visitor.await_host(new, within=within)
        run = bureau.until_run(kind, ("done",), within, after=before)
        time.sleep(0.5)
        visitor.stop()
        oracle.check()
    opened = datetime.fromisoformat(run["opened_at"]).timestamp()
    first = next(reply.ended for reply in visitor.good if reply.by == new and reply.ended >= began)
    outages = [outage.seconds for outage in visitor.outages(0.0) if outage.end > began]
    shown = bureau.run_of(int(run["number"]))
    return Recovery(
        what=what,
        old=old,
        new=new,
        detected_seconds=opened - began if kind == "recover" else None,
        reply_seconds=first - opened,
        outage_seconds=max(outages, default=0.0),
        overlap_seconds=max(oracle.overlap_seconds(ADDRESS), oracle.overlap_seconds("fd77::100")),
        mixed=len(visitor.mixed()),
        equal=tree(bureau, new) == tree(bureau, bureau.holder("wcm")),
        steps=tuple((step["title"], float(step["seconds"] or 0)) for step in shown["steps"]),
        run=int(run["number"]),
        began=began,
    )
