"""Whether the journal still says what was written: names the first event that was changed, removed or moved.

The chain shows edits, deletions and moves by itself. That the *end* was cut off, or the whole written anew, shows only
against a head (number and hash) that was kept elsewhere: every event that subscribers get carries one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from failover.errors import JournalError, JournalTooNew
from failover.journal import schema
from failover.journal.chain import COLUMNS, GENESIS, Row

What = Literal["edited", "deleted", "reordered", "truncated", "rewritten", "unguarded", "unreadable"]
_TAIL = 1000
"""Events that are checked at every opening."""


@dataclass(frozen=True, slots=True)
class Fault:
    """The first thing that doesn't fit."""

    seq: int
    """The event at which it shows; 0 when it isn't about one event."""
    what: What
    sentence: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verification found: ``events`` sound events from the first on, the last of them being ``head``."""

    events: int
    head: tuple[int, str]
    fault: Fault | None = None

    @property
    def sound(self) -> bool:
        """Whether everything fits."""
        return self.fault is None

    def __str__(self) -> str:
        if self.fault:
            return f"{self.fault.sentence} ({self.events} events before it are sound)"
        return f"{self.events} events, all sound; head {self.head[0]} {self.head[1]}"


def verify(path: Path | str, *, head: tuple[int, str] | None = None) -> Verified:
    """Compute the whole chain again. Only reads; a running daemon doesn't mind.

    ``head`` is one that was seen earlier and kept elsewhere; any of them will do, the newest shows most.

    Raises:
        JournalError: there is no journal at ``path``, or it can't be opened.
        JournalTooNew: a newer failover wrote it.
    """
    path = Path(path)
    if not path.is_file():
        raise JournalError(f"there is no journal at {path}")
    uri = f"file:{str(path.resolve()).replace('%', '%25').replace('?', '%3f').replace('#', '%23')}?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=5.0, isolation_level=None)) as connection:
            connection.execute("BEGIN")  # one moment of a journal that may be growing
            return _verify(connection, path, head)
    except sqlite3.DatabaseError as error:
        return Verified(0, (0, GENESIS), Fault(0, "unreadable", f"{path} can't be read as a journal: {error}"))


def _verify(connection: sqlite3.Connection, path: Path, head: tuple[int, str] | None) -> Verified:
    version = schema.version_of(connection)
    if version > len(schema.migrations()):
        raise JournalTooNew(f"{path} has schema version {version}, newer than this failover")
    last, count = (0, GENESIS), 0
    try:
        for row in _rows(connection, 0):
            if fault := _fault_of(connection, row, last):
                return Verified(count, last, fault)
            if head and row.seq == head[0] and row.hash != head[1]:
                sentence = f"event {row.seq} is not the one that was seen before: the journal was written anew"
                return Verified(count, last, Fault(row.seq, "rewritten", sentence))
            last, count = (row.seq, row.hash), count + 1
    except sqlite3.DatabaseError as error:
        sentence = f"the file is damaged after event {last[0]}: {error}"
        return Verified(count, last, Fault(last[0] + 1, "unreadable", sentence))
    return Verified(count, last, _end_fault(connection, last, head) or _guard_fault(connection))


def check_tail(connection: sqlite3.Connection) -> Fault | None:
    """The same question about the newest events only, asked at every opening."""
    newest: int = connection.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()[0]
    start = max(0, newest - _TAIL)
    last = (start, GENESIS)
    if start:
        found = connection.execute("SELECT hash FROM events WHERE seq = ?", (start,)).fetchone()
        if found is None:
            return Fault(start, "deleted", f"event {start} is missing: it was deleted")
        last = (start, found[0])
    for row in _rows(connection, start):
        if fault := _fault_of(connection, row, last):
            return fault
        last = (row.seq, row.hash)
    return _end_fault(connection, last, None)


def _rows(connection: sqlite3.Connection, after: int) -> Iterator[Row]:
    for row in connection.execute(f"SELECT {COLUMNS} FROM events WHERE seq > ? ORDER BY seq", (after,)):  # noqa: S608 - our own names
        yield Row(*row)


def _fault_of(connection: sqlite3.Connection, row: Row, last: tuple[int, str]) -> Fault | None:
    if row.seq != last[0] + 1:
        missing = last[0] + 1
        gone = f"event {missing} is" if row.seq == missing + 1 else f"events {missing} to {row.seq - 1} are"
        return Fault(missing, "deleted", f"{gone} missing: deleted")
    if row.computed() != row.hash:
        if place := _written_as(connection, row):
            sentence = f"in the place of event {row.seq} stands what was written as event {place}: reordered or deleted"
            return Fault(row.seq, "reordered", sentence)
        return Fault(row.seq, "edited", f"event {row.seq} ({row.kind}) was edited after it was written")
    if row.prev != last[1]:
        sentence = f"event {row.seq} doesn't follow the event that stands before it: one of the two was put there later"
        return Fault(row.seq, "rewritten", sentence)
    return None


def _written_as(connection: sqlite3.Connection, row: Row) -> int | None:
    """The number under which the row's hash holds: what was moved keeps its hash. Asked once, at the first fault."""
    newest: int = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()[0]
    for seq in range(1, newest + 1):
        if Row(seq, row.at, row.kind, row.site, row.run, row.by, row.data, row.prev).computed() == row.hash:
            return seq
    return None


def _end_fault(connection: sqlite3.Connection, last: tuple[int, str], head: tuple[int, str] | None) -> Fault | None:
    given = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
    known = max(given[0] if given else 0, head[0] if head else 0)
    if last[0] < known:
        sentence = f"the journal ends at event {last[0]}, and event {known} was written: the end was cut off"
        return Fault(last[0] + 1, "truncated", sentence)
    return None


def _guard_fault(connection: sqlite3.Connection) -> Fault | None:
    if guard := schema.missing_guard(connection):
        return Fault(0, "unguarded", f"every event fits, but {guard}: somebody took the guards off")
    return None
