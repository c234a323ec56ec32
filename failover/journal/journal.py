"""The journal: append-only, hash-chained events, durable before an effect, and the truth afterwards.

Write, act, write: what is about to be done is appended first, and done only when :meth:`Journal.append` returned.
Status, metrics, console, reports and audit are folds over the events (:mod:`failover.journal.queries`).
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from failover.errors import JournalBroken, JournalUnwritable
from failover.journal import schema
from failover.journal.chain import COLUMNS, GENESIS, Row, canonical, plain, write_time
from failover.journal.feed import Feed
from failover.journal.owner import Owner
from failover.journal.ownership import Ballast, Ownership
from failover.journal.verify import check_tail
from failover.model import Event, utc_now

MAX_DATA_BYTES = 4 * 1024 * 1024
_AT_A_TIME = 500
"""Rows that a reader takes before it lets writers in again."""


class Journal:
    """One file, one owner. Any thread may call any method; :meth:`append` waits for the disk, about 1 ms."""

    def __init__(self, path: Path, ownership: Ownership, owner: Owner, now: Callable[[], datetime]) -> None:
        self.path = path
        self._ownership = ownership
        self._owner = owner
        self._now = now
        self._lock = threading.Lock()
        self._head = owner.read(_head)
        self._epoch = owner.read(lambda connection: _counter(connection, "epoch"))
        self._feed = Feed(lambda after: self.events(after=after, limit=_AT_A_TIME), self._head[0])

    @classmethod
    def open(
        cls,
        path: Path | str,
        *,
        now: Callable[[], datetime] = utc_now,
        ballast_bytes: int = 4 * 1024 * 1024,
        patience_seconds: float = 30.0,
    ) -> Journal:
        """Open, and make or migrate where needed.

        ``ballast_bytes`` of disk are kept back for the day the disk is full; ``patience_seconds`` bounds every wait.

        Raises:
            JournalTooNew: a newer failover wrote it.
            JournalBroken: the newest events don't fit together, or their guards are gone; ``verify`` says more.
            JournalUnwritable: no such folder, no right, no space, or another process owns it.
        """
        path = Path(path)
        ownership = Ownership(path)
        try:
            _create(path)
            ballast = Ballast(path, ballast_bytes)
            owner = Owner(
                path, lambda connection: _prepare(connection, path), ballast, patience_seconds=patience_seconds
            )
            owner.refill()
            return cls(path, ownership, owner, now)
        except BaseException:
            ownership.give_up()
            raise

    @property
    def head(self) -> tuple[int, str]:
        """Number and hash of the newest event; kept elsewhere it makes truncation detectable."""
        return self._head

    @property
    def epoch(self) -> int:
        """The number of the daemon's present start; 0 before the first."""
        return self._epoch

    @property
    def trouble(self) -> str | None:
        """What is wrong with the disk, in words for people, while something is; None when all is well."""
        return self._owner.trouble

    def begin_epoch(self) -> int:
        """Called once by every start of a daemon: the new epoch, larger than all before."""
        self._epoch = self._owner.write(lambda connection: _count(connection, "epoch"))
        return self._epoch

    def next_run(self) -> int:
        """A run number that was never given before, over all sites and epochs."""
        return self._owner.write(lambda connection: _count(connection, "run"))

    def next_incident(self) -> int:
        """An incident number that was never given before, over all sites and epochs."""
        return self._owner.write(lambda connection: _count(connection, "incident"))

    def append(
        self, kind: str, *, site: str = "", run: int | None = None, by: str, data: Mapping[str, Any] | None = None
    ) -> Event:
        """Write one event; it is on the disk when this returns.

        Raises:
            JournalUnwritable: what it announces must not happen. After a failed sync the event may all the same be
                found at the next start: an intent whose effect never was, so ask the world, as after any crash.
            TypeError, ValueError: ``data`` isn't JSON.
        """
        try:
            text = canonical(dict(data or {}))
        except (TypeError, ValueError) as error:
            raise type(error)(f"the data of {kind} can't be written as JSON: {error}") from error
        if len(text) > MAX_DATA_BYTES:
            raise JournalUnwritable(f"the data of {kind} has {len(text)} characters; {MAX_DATA_BYTES} are allowed")

        def insert(connection: sqlite3.Connection) -> Row:
            seq, prev = _head(connection)
            at = write_time(self._now())
            row = Row(seq + 1, at, plain(kind), plain(site), run, plain(by), text, prev).sealed()
            connection.execute(
                f"INSERT INTO events ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - our own names
                (row.seq, row.at, row.kind, row.site, row.run, row.by, row.data, row.prev, row.hash),
            )
            return row

        row = self._owner.write(insert)
        with self._lock:
            self._head = max(self._head, (row.seq, row.hash))
        self._feed.tell(row.seq)
        return row.event()

    def events(
        self,
        *,
        site: str | None = None,
        kinds: Iterable[str] | None = None,
        run: int | None = None,
        after: int = 0,
        until: datetime | None = None,
        newest_first: bool = False,
        limit: int | None = None,
    ) -> list[Event]:
        """The events that fit all that is given, oldest first unless asked otherwise.

        ``after`` is an event's number, ``until`` a time (its own moment included). Writers don't wait for a long list.
        """
        wheres = ["seq > :after"]
        values: dict[str, Any] = {"after": after, "site": site, "run": run}
        if site is not None:
            wheres.append("site = :site")
        if run is not None:
            wheres.append("run = :run")
        if until is not None:
            wheres.append("at <= :until")
            values["until"] = write_time(until)
        if kinds is not None:
            wheres.append("kind IN (SELECT value FROM json_each(:kinds))")
            values["kinds"] = json.dumps(list(kinds))
        order = "DESC" if newest_first else "ASC"
        found: list[Event] = []
        while limit is None or len(found) < limit:
            values["some"] = _AT_A_TIME if limit is None else min(_AT_A_TIME, limit - len(found))
            query = f"SELECT {COLUMNS} FROM events WHERE {' AND '.join(wheres)} ORDER BY seq {order} LIMIT :some"  # noqa: S608 - our own words
            rows = self._owner.read(lambda connection, query=query: connection.execute(query, values).fetchall())  # type: ignore[misc] # a default it binds
            found += [Row(*row).event() for row in rows]
            if len(rows) < values["some"]:
                break
            if newest_first:
                values["before"] = found[-1].seq
                if "seq < :before" not in wheres:
                    wheres.append("seq < :before")
            else:
                values["after"] = found[-1].seq
        return found

    def subscribe(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """Call ``callback`` with every event from now on, after its commit and in order, in a thread of the journal's.

        What it raises is logged and stops nobody. The returned function ends it. A callback may append.
        """
        return self._feed.subscribe(callback)

    def close(self) -> None:
        """Deliver what subscribers still have to hear, close the file, let another process have it."""
        self._feed.close()
        self._owner.close()
        self._ownership.give_up()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _create(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise JournalUnwritable(f"{path} can't be opened: {error.strerror}") from error


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    if mode != "wal":
        raise JournalUnwritable(
            f"{path} lies on a file system that can't hold a write-ahead log (SQLite says {mode!r})"
        )
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA wal_autocheckpoint=0")
    connection.execute("PRAGMA trusted_schema=OFF")
    schema.migrate(connection, path)
    if guard := schema.missing_guard(connection):
        raise JournalBroken(f"{path}: {guard}; `failover audit verify` says whether events were changed")
    if fault := check_tail(connection):
        raise JournalBroken(f"{path}: {fault.sentence}")
    # Writes anew, and syncs, whatever an earlier process left in the log after a sync that failed.
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _head(connection: sqlite3.Connection) -> tuple[int, str]:
    row = connection.execute("SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1").fetchone()
    return (row[0], row[1]) if row else (0, GENESIS)


def _counter(connection: sqlite3.Connection, name: str) -> int:
    value: int = connection.execute("SELECT value FROM counters WHERE name = ?", (name,)).fetchone()[0]
    return value


def _count(connection: sqlite3.Connection, name: str) -> int:
    connection.execute("UPDATE counters SET value = value + 1 WHERE name = ?", (name,))
    return _counter(connection, name)
