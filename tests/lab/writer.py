"""An editor who publishes a marker ten times a minute, and remembers what each publication came to.

with Writer(lab) as writer:                       # at `client`, in Wagtail's admin, logged in
    writer.await_accepted(3, within=30)
    ...                                           # the database fails, its backup takes over
    writer.await_accepted(into="db-backup", within=60)
writer.accepted                                   # [Publication(marker="w1f3-1", by="wcm", host="db", ..), ..]
writer.missing(lab.db_backup)                     # accepted ones that this database hasn't
markers_by_database(lab)                          # everything that is in any database (tests/lab/databases.py)
"""

import itertools
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .databases import engine, markers
from .errors import LabTimeout
from .host import Host
from .lab import Lab
from .lines import Beside, Line
from .patience import PATIENCE
from .wcm import HOSTS

PROGRAM = Path(__file__).parent / "programs" / "write.py"
LIMIT = 5000


@dataclass(frozen=True)
class Publication:
    """One attempt to publish a marker. Times in seconds since 1970.

    ``outcome``: ``accepted`` (the WCM said so), ``refused`` (certainly not published), ``unknown`` (no answer came, or
    an error: it may be published or not). ``by`` is the WCM that took it; ``host`` and ``database`` say where the
    other end of that WCM's own connection was.
    """

    marker: str
    began: float
    ended: float
    outcome: str
    by: str = ""
    host: str = ""
    database: str = ""
    reason: str = ""

    def __str__(self) -> str:
        what = f"accepted by {self.by} into {self.host}/{self.database}" if self.outcome == "accepted" else self.reason
        return f"{self.marker} {self.outcome} after {self.ended - self.began:.2f} s: {what}"


class Writer(Beside):
    """Writes from the start of its ``with`` block to its end, at most `LIMIT` markers.

    Args:
        lab: one with a WCM.
        every: seconds between the starts of two publications; one that takes longer delays the next.
        timeout: seconds of silence after which a request has failed.
        wcms: who is tried, in this order; the last one that took a marker comes first.
        host: where the editor sits: `client`, or else the monitor.
    """

    def __init__(
        self, lab: Lab, *, every: float = 6.0, timeout: float = 15.0, wcms: Sequence[str] = HOSTS,
        host: Host | None = None,
    ) -> None:  # fmt: skip
        engine(lab)
        assert lab.made is not None
        self._lab = lab
        self._names = {card.ipv4: name for name, cards in lab.plan.items() for card in cards}
        self._names |= {card.ipv6: name for name, cards in lab.plan.items() for card in cards}
        prefix = f"w{secrets.token_hex(2)}"  # markers of two writers, or of two runs, are told apart
        addresses = [lab[name].ip for name in wcms if name in lab.hosts]
        password = lab.made.folder / "secrets" / "editor-password"
        arguments = [str(password), prefix, str(every), str(timeout), str(LIMIT), *addresses]
        super().__init__(host or lab.hosts.get("client") or lab["monitor"], PROGRAM, arguments)
        self._publications: dict[str, Publication] = {}

    @property
    def publications(self) -> list[Publication]:
        """Every attempt so far, in their order; one that is under way is unknown."""
        with self._lock:
            return list(self._publications.values())

    @property
    def accepted(self) -> list[Publication]:
        """Those that a WCM said it had published."""
        return [one for one in self.publications if one.outcome == "accepted"]

    @property
    def newest(self) -> list[Publication]:
        """Those of which a page that is up to date shows one: the last accepted, and any whose end isn't known yet."""
        all_ = self.publications
        return all_[max((number for number, one in enumerate(all_) if one.outcome == "accepted"), default=0) :]

    def await_accepted(self, count: int = 1, *, within: float, by: str = "", into: str = "") -> list[Publication]:
        """Wait until so many more are accepted (by this WCM, into the database of this host), counted from now.

        Raises:
            LabTimeout: that wasn't so within so many seconds; says what the last attempts came to.
        """
        within *= PATIENCE
        deadline = time.monotonic() + within
        since = time.time()
        while True:
            found = [
                one for one in self.accepted if one.ended > since and by in ("", one.by) and into in ("", one.host)
            ]
            if len(found) >= count:
                return found
            if time.monotonic() > deadline:
                last = "\n  ".join(str(one) for one in self.publications[-3:])
                raise LabTimeout(f"{len(found)} of {count} markers accepted within {within:g} s; the last:\n  {last}")
            time.sleep(0.02)

    def missing(self, host: Host, database: str = "wcm") -> list[Publication]:
        """The accepted ones that aren't in a database."""
        there = set(markers(self._lab, host, database))
        return [one for one in self.accepted if one.marker not in there]

    def gap_seconds(self) -> float:
        """The longest time between the ends of two accepted ones that follow each other; 0 if there are fewer."""
        ends = [one.ended for one in self.accepted]
        return max((later - earlier for earlier, later in itertools.pairwise(ends)), default=0.0)

    def summary(self) -> str:
        """One line for people."""
        all_ = self.publications
        counts = {kind: sum(one.outcome == kind for one in all_) for kind in dict.fromkeys(one.outcome for one in all_)}
        places = list(dict.fromkeys(f"{one.by} into {one.host}" for one in self.accepted))
        said = ", ".join(f"{count} {kind}" for kind, count in counts.items())
        return f"{len(all_)} markers: {said} ({', '.join(places)}), longest gap {self.gap_seconds():.1f} s"

    def _take(self, line: Line) -> None:
        address, _, database = line.get("database", "").partition("/")
        begun = line["outcome"] == "begun"
        began: float = line["began"]
        one = Publication(
            marker=line["marker"],
            began=began,
            ended=line.get("ended", began),
            outcome="unknown" if begun else line["outcome"],
            by=line.get("wcm", ""),
            host=self._names.get(address, address),
            database=database,
            reason="no answer yet" if begun else line.get("reason", ""),
        )
        with self._lock:
            self._publications[one.marker] = one
