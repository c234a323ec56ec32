"""One thing that happens to the bureau in containers, from there to the last proof that all was whole."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tests.containers.bureau import Bureau
from tests.containers.people import PAGE, QUERY, outages, sees_well
from tests.lab.errors import LabTimeout

WITHIN_SECONDS = 180
PROOF_PAGE = "/news/proof.html"
DATABASES = {"db": "db-backup", "db-backup": "db"}


@dataclass(frozen=True)
class Play:
    """Something that happens, and what is to become of it."""

    what: str
    role: str
    old: str
    new: str
    kind: str
    do: Callable[[Bureau], object]
    mend: Callable[[Bureau], object] = lambda bureau: None
    """What people do on the old server before they look any further."""
    loses: bool = False
    """Whether what came after the last backup is lost by it."""


@dataclass
class Played:
    """What came of it. Spans in seconds."""

    play: Play
    detected_seconds: float | None
    """From the fault to the decision; None where nobody had to detect anything."""
    steps: tuple[tuple[str, float], ...]
    page_seconds: float
    """How long the visitor was without the site's first page."""
    query_seconds: float
    """How long without the one that asks the WCM and its database."""
    lost: int = 0
    published: int = 0
    faults: list[str] = field(default_factory=list)
    """What wasn't as it must be, as sentences."""


class Markers:
    """What editors publish, and what of it is to be in the database that serves."""

    def __init__(self, bureau: Bureau) -> None:
        self._bureau = bureau
        self.published: list[str] = []

    def publish(self) -> str:
        """One more, by the WCM that is in charge."""
        self.published.append(self._bureau.publish(self._bureau.holder("wcm")))
        return self.published[-1]

    def lost(self) -> list[str]:
        """Published ones that aren't in the database that serves; they aren't asked for again."""
        there = self._bureau.markers(self._bureau.holder("database"))
        missing = [one for one in self.published if one not in there]
        self.published = [one for one in self.published if one in there]
        return missing


def watch(bureau: Bureau, play: Play, markers: Markers) -> Played:
    """Let it happen, wait until it is over, mend, and look at everything that has to be so.

    Raises:
        LabTimeout: it didn't come to an end, or all isn't well again after it.
    """
    bureau.well()
    before = markers.publish()
    if play.role == "database" and play.kind == "recover":
        bureau.cli("backup", "now", "wcm-db", timeout=120)
    late = [markers.publish()] if play.loses else []
    published = len(markers.published)
    last = max((int(run["number"]) for run in bureau.runs(play.kind)), default=0)
    since = datetime.now(UTC)
    play.do(bureau)
    run = bureau.ended(play.kind, last, WITHIN_SECONDS)
    faults = [] if run["state"] == "done" else [f"the run is {run['state']}: {run['reason']}"]
    _until(lambda: all(sees_well(bureau.seen(), path) for path in (PAGE, QUERY)), "the visitor sees the site again")
    lines = bureau.seen(since)
    after = markers.publish()
    _until(lambda: after in bureau.page(PROOF_PAGE), f"{after} is on the site's page")
    play.mend(bureau)
    bureau.cli("ack", play.role, "--why", "the play goes on")
    bureau.well()
    lost = markers.lost()
    holder, serving = bureau.holder(play.role), bureau.holder("database")
    if holder != play.new:
        faults.append(f"{play.role} is held by {holder}, not by {play.new}")
    if lost != late:
        faults.append(f"lost {lost} where {late} came after the backup; {before} was in it")
    if after in lost or after in bureau.markers(DATABASES[serving]):
        faults.append(f"{after} isn't in the database on {serving}, or is in the other one as well")
    if late and "are lost" not in bureau.heard(since):
        faults.append("nobody was told of the loss")
    opened = datetime.fromisoformat(run["opened_at"])
    return Played(
        play=play,
        detected_seconds=(opened - since).total_seconds() if play.kind == "recover" else None,
        steps=tuple((step["title"], float(step["seconds"] or 0)) for step in run["steps"]),
        page_seconds=sum(outages(lines, PAGE)),
        query_seconds=sum(outages(lines, QUERY)),
        lost=len(lost),
        published=published,
        faults=faults,
    )


def _until(seen: Callable[[], object], what: str, within: float = 60) -> None:
    deadline = time.monotonic() + within
    while not seen():
        if time.monotonic() > deadline:
            raise LabTimeout(f"not so within {within} s: {what}")
        time.sleep(0.5)
