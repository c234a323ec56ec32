"""A visitor of the site, behind the router, who asks for a page every 10 ms and remembers every reply."""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .errors import LabTimeout
from .host import Host
from .lines import Beside, Line
from .patience import PATIENCE

PROGRAM = Path(__file__).with_name("programs") / "visit.py"
PAGES = ("/index.html", "/page/0.html", "/page/7.html", "/build-id", "/page/19.html")


@dataclass(frozen=True)
class Reply:
    """What came of one request. Times in seconds since 1970."""

    began: float
    ended: float
    path: str
    status: int = 0
    by: str = ""
    builds: tuple[str, ...] = ()
    size: int = 0
    error: str = ""

    @property
    def good(self) -> bool:
        """A whole answer with status 200."""
        return self.status == 200

    @property
    def torn(self) -> bool:
        """A page made of two builds, or of half a one."""
        return self.good and (len(self.builds) > 1 or "?" in self.builds)

    def __str__(self) -> str:
        what = f"{self.status} by {self.by or 'nobody'}, builds {','.join(self.builds)}" if self.status else self.error
        return f"{self.path} after {(self.ended - self.began) * 1000:.0f} ms: {what}"


@dataclass(frozen=True)
class Outage:
    """A time without a good answer: from the end of the last one before to the end of the first one after."""

    start: float
    end: float
    failed: int

    @property
    def seconds(self) -> float:
        """How long."""
        return self.end - self.start


class Visitor(Beside):
    """Visits from the start of its ``with`` block to its end.

    Args:
        host: where the visitor sits, usually ``lab.client``.
        address: of the site.
        paths: visited in turn.
        every: seconds between the starts of two requests.
        timeout: seconds after which a request has failed.
    """

    def __init__(
        self, host: Host, address: str = "10.77.0.100", *, paths: Sequence[str] = PAGES, port: int = 80,
        every: float = 0.01, timeout: float = 1.0, name: str = "www",
    ) -> None:  # fmt: skip
        super().__init__(host, PROGRAM, [address, str(port), str(every), str(timeout), name, *paths])
        self._every = every
        self._replies: list[Reply] = []
        self._older: list[tuple[float, float]] = []

    @property
    def replies(self) -> list[Reply]:
        """Every reply so far, in the order of their ends."""
        with self._lock:
            return list(self._replies)

    @property
    def good(self) -> list[Reply]:
        """Every good one."""
        return [reply for reply in self.replies if reply.good]

    @property
    def last(self) -> Reply:
        """The newest reply."""
        return self.replies[-1]

    def sees(self, host: str) -> bool:
        """Whether the newest good reply is less than half a second old and came from this host."""
        good = self.good
        return bool(good) and good[-1].by == host and time.time() - good[-1].ended < 0.5

    def await_until(self, what: Callable[["Visitor"], bool], *, within: float) -> None:
        """Wait until something is true of what this visitor sees; `LabTimeout` with the last replies if it never is."""
        within *= PATIENCE
        deadline = time.monotonic() + within
        while not what(self):
            if time.monotonic() > deadline:
                last = "\n  ".join(str(reply) for reply in self.replies[-3:])
                raise LabTimeout(f"the visitor didn't see that within {within:g} s; the last replies:\n  {last}")
            time.sleep(0.01)

    def await_host(self, host: str, *, within: float) -> None:
        """Wait until the site is served by this host."""
        self.await_until(lambda visitor: visitor.sees(host), within=within)

    @contextmanager
    def may_see_older(self) -> Iterator[None]:
        """While the block lasts, older builds may show again: a database goes back to its backup, and the site with it.

        Replies that begin in it are still held against being torn; the order of builds begins anew after it.
        """
        began = time.time()
        yield
        self._older.append((began, time.time()))

    def outages(self, longer_than: float = 0.1) -> list[Outage]:
        """Spans between good answers that were longer than so many seconds. One that still lasts ends now."""
        replies = sorted(self.replies, key=lambda reply: reply.ended)
        if not replies:
            return []
        ends = [replies[0].began, *(reply.ended for reply in replies if reply.good)]
        if self._lines:
            ends.append(time.time())
        else:
            ends.append(max(reply.ended for reply in replies))
        return [
            Outage(start, end, sum(not reply.good and start < reply.ended <= end for reply in replies))
            for start, end in itertools.pairwise(ends)
            if end - start > longer_than
        ]

    def outage_seconds(self) -> float:
        """The longest outage; 0 if there was none above a tenth of a second."""
        return max((outage.seconds for outage in self.outages()), default=0.0)

    def mixed(self) -> list[Reply]:
        """Replies that show a half-done copy: torn pages, and an older build after a newer one had been seen.

        The age of a build is the order of its first appearance, so a site that goes back to an older release on
        purpose shows up here too, unless the visitor `may_see_older`. A WCM publishes page by page: builds called
        ``PAGE.DIGEST`` are compared with others of the same page only.
        """
        order: dict[str, int] = {}
        faults = []
        newest_ends: dict[str, list[tuple[float, int]]] = {}  # by page: ends of replies, and the newest build by then
        anew = sorted(end for _, end in self._older)
        for reply in sorted(self.good, key=lambda reply: reply.ended):
            if reply.torn:
                faults.append(reply)
                continue
            if any(start <= reply.began <= end for start, end in self._older):
                continue
            while anew and anew[0] < reply.began:
                anew.pop(0)
                order.clear()
                newest_ends.clear()
            for build in reply.builds:
                age = order.setdefault(build, len(order))
                newest_end = newest_ends.setdefault(build.rpartition(".")[0], [])
                seen_before = max((n for ended, n in newest_end if ended < reply.began), default=-1)
                if age < seen_before:
                    faults.append(reply)
                if not newest_end or age > newest_end[-1][1]:
                    newest_end.append((reply.ended, age))
        return faults

    def check_whole(self) -> None:
        """Raise an `AssertionError` that shows the replies with mixed content, if there was one."""
        if faults := self.mixed():
            shown = "\n  ".join(str(reply) for reply in faults[:5])
            raise AssertionError(f"{len(faults)} of {len(self.replies)} replies had mixed content:\n  {shown}")

    def summary(self) -> str:
        """One line for people."""
        replies, good = self.replies, self.good
        served = {name: sum(reply.by == name for reply in good) for name in dict.fromkeys(reply.by for reply in good)}
        by = ", ".join(f"{count} by {name}" for name, count in served.items())
        return f"{len(replies)} requests, {len(good)} good ({by}), longest outage {self.outage_seconds():.3f} s"

    def _take(self, line: Line) -> None:
        builds, size = tuple(line.pop("builds", ())), line.pop("bytes", 0)
        with self._lock:
            self._replies.append(Reply(builds=builds, size=size, **line))
