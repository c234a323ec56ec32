"""One thing that happens to the bureau in containers, from there to the last proof that all was whole."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from failover.model import format_span
from tests.containers.bureau import Bureau, Run
from tests.containers.people import PAGE, QUERY, outages, sees_well
from tests.demo.recoveries import Shown, shown
from tests.lab.errors import LabTimeout

WITHIN_SECONDS = 180
PROOF_PAGE = "/news/proof.html"
DATABASES = {"db": "db-backup", "db-backup": "db"}


@dataclass(frozen=True)
class Play:
    """Something that happens, and what is to become of it."""

    what: str
    role: str
    new: str
    kind: str
    do: Callable[[Bureau], object]
    mend: Callable[[Bureau], object] = lambda bureau: None
    """What people do on the old server before they look any further."""
    loses: bool = False
    """Whether what came after the last backup is lost by it."""


class Markers:
    """What editors publish, and what of it is to be in the database that serves."""

    def __init__(self, bureau: Bureau) -> None:
        self._bureau = bureau
        self._published: list[str] = []

    def publish(self) -> str:
        """One more, by the WCM that is in charge."""
        self._published.append(self._bureau.publish(self._bureau.holder("wcm")))
        return self._published[-1]

    def lost(self) -> list[str]:
        """Published ones that aren't in the database that serves; they aren't asked for again."""
        there = set(self._bureau.markers(self._bureau.holder("database")))
        missing = [one for one in self._published if one not in there]
        self._published = [one for one in self._published if one in there]
        return missing


def watch(bureau: Bureau, play: Play, markers: Markers, say: Callable[[str], None]) -> Shown:
    """Let it happen, wait until it is over, mend, and look at everything that has to be so.

    Raises:
        LabTimeout: it didn't come to an end, or all isn't well again after it.
    """
    if play.kind == "recover":
        bureau.another_day()
    markers.publish()
    if play.loses:
        bureau.cli("backup", "now", "wcm-db", timeout=120)
    late = [markers.publish()] if play.loses else []
    last = max((int(run["number"]) for run in bureau.runs(play.kind)), default=0)
    say(play.what)
    began = datetime.now(UTC)
    play.do(bureau)
    run = bureau.ended(play.kind, last, WITHIN_SECONDS)
    await_until("the visitor sees the site again", lambda: _sees_all(bureau.seen()))
    lines = bureau.seen(began)
    page, query = sum(outages(lines, PAGE)), sum(outages(lines, QUERY))
    say(f"  the visitor was without the page for {format_span(page)}, without {QUERY} for {format_span(query)}")
    after = markers.publish()
    await_until(f"{after} is on the site's page", lambda: after in bureau.page(PROOF_PAGE))
    play.mend(bureau)
    bureau.cli("ack", play.role, "--why", "the play goes on")
    bureau.well()
    wrong = [
        *of_the_run(play, run, bureau),
        *of_the_markers(after, late, markers.lost(), bureau),
        *(["nobody was told of the loss"] if late and "are lost" not in bureau.heard(began) else []),
    ]
    outage = page if play.role == "web" else query
    return shown(bureau, play.what, run, began.timestamp(), outage, "; ".join(wrong))


def await_until(what: str, seen: Callable[[], object], within: float = 60) -> None:
    """Wait until something is so, or raise `LabTimeout`."""
    deadline = time.monotonic() + within
    while not seen():
        if time.monotonic() > deadline:
            raise LabTimeout(f"not so within {within} s: {what}")
        time.sleep(0.5)


def _sees_all(lines: list[str]) -> bool:
    return all(sees_well(lines, path) for path in (PAGE, QUERY))


def of_the_run(play: Play, run: Run, bureau: Bureau) -> list[str]:
    """What is wrong with a run that was to move a role, as sentences."""
    wrong = [] if run["state"] == "done" else [f"the run is {run['state']}: {run['reason']}"]
    if run["role"] != play.role:
        wrong.append(f"run {run['number']} moved {run['role']}")
    if (holder := bureau.holder(play.role)) != play.new:
        wrong.append(f"{play.role} is held by {holder}")
    return wrong


def of_the_markers(after: str, late: list[str], lost: list[str], bureau: Bureau) -> list[str]:
    """What is wrong with what was published: all up to the backup must be there, the last of it nowhere else (I11)."""
    serving = bureau.holder("database")
    wrong = [] if lost == late else [f"of what was published {lost} are lost on {serving}, not {late}"]
    if after in bureau.markers(DATABASES[serving]):
        wrong.append(f"{after} is in the database on {DATABASES[serving]}")
    return wrong
