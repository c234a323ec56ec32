"""The one thread that owns the SQLite connection; everybody else hands it work and waits for the disk.

What waits at the same time is committed together: many writers share one fsync. WAL with ``synchronous=FULL`` syncs
at every commit; copying the log back into the database is done here when nothing else waits, never inside a commit,
because it would cost a recovery tens of milliseconds at a moment of SQLite's choosing. There is never a second
connection that writes, which keeps us clear of SQLite's WAL-reset bug (3.7.0 to 3.51.2).
"""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from typing import Any, TypeVar

from failover.errors import JournalBroken, JournalError, JournalUnwritable
from failover.journal.ownership import Ballast

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], Any]
_Task = tuple[Work, "Future[Any]", bool]

_COPY_BACK_WHEN_IDLE = 200
_COPY_BACK_ALWAYS = 1000
"""Commits after which the log is copied back into the database."""
_TOGETHER = 100
"""The most writes that share a commit."""
_REFILL_SECONDS = 10.0
"""How often the reserve is tried to be filled up again after the disk was full."""


class Owner:
    """Runs work on the connection, one piece after another, in the order of asking.

    After a failed write or sync that may have left the disk's contents in doubt, every further write is refused until
    the journal is opened anew: a kernel may drop the pages of a failed fsync and call the next one a success.
    """

    def __init__(
        self,
        path: Path,
        prepare: Callable[[sqlite3.Connection], None],
        ballast: Ballast,
        *,
        patience_seconds: float = 30.0,
    ) -> None:
        self._path = path
        self._ballast = ballast
        self._patience = patience_seconds
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._closed = False
        self._failed: str | None = None
        self._short: str | None = None
        self._uncopied = 0
        opened: Future[None] = Future()
        self._thread = threading.Thread(target=self._live, args=(prepare, opened), name="journal", daemon=True)
        self._thread.start()
        opened.result()

    def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What ``work`` returns, once all that it wrote is on the disk.

        Raises:
            JournalUnwritable: nothing of it may be believed written.
        """
        return self._ask(work, True)

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What ``work`` returns; it must only read."""
        return self._ask(work, False)

    @property
    def trouble(self) -> str | None:
        """What is wrong with the disk: it failed and nothing more is written, or it is full, the reserve in use."""
        return self._failed or self._short

    def refill(self) -> None:
        """Fill the reserve up, as far as the disk has room."""
        self._short = None if self._ballast.take_in() else f"the disk of {self._path} has no room for the reserve"

    def close(self) -> None:
        """Finish what was asked for and close the file."""
        if not self._closed:
            self._closed = True
            self._tasks.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join(self._patience)

    def _ask(self, work: Callable[[sqlite3.Connection], T], writes: bool) -> T:
        if self._closed:
            raise JournalUnwritable(f"{self._path}: the journal is closed")
        future: Future[T] = Future()
        self._tasks.put((work, future, writes))
        try:
            return future.result(self._patience)
        except FutureTimeout:
            if not future.cancel() and writes:
                self._failed = f"the disk hasn't confirmed a write for {self._patience:g} s"
            raise JournalUnwritable(f"{self._path}: no answer from the disk within {self._patience:g} s") from None

    def _live(self, prepare: Callable[[sqlite3.Connection], None], opened: Future[None]) -> None:
        try:
            connection = sqlite3.connect(self._path, isolation_level=None, timeout=5.0)
        except sqlite3.Error as error:
            opened.set_exception(JournalUnwritable(f"{self._path} can't be opened: {error}"))
            return
        try:
            prepare(connection)
        except sqlite3.Error as error:
            connection.close()
            opened.set_exception(self._judged(error))
        except BaseException as error:  # noqa: BLE001 - it is raised again in the thread that waits
            connection.close()
            opened.set_exception(error)
        else:
            opened.set_result(None)
            try:
                self._serve(connection)
            finally:
                connection.close()

    def _serve(self, connection: sqlite3.Connection) -> None:
        while True:
            try:
                task = self._tasks.get(timeout=self._idle_seconds())
            except queue.Empty:
                if self._short:
                    self.refill()
                if self._uncopied >= _COPY_BACK_WHEN_IDLE:
                    self._copy_back(connection)
                continue
            if task is None:
                self._turn_away()
                return
            batch, closing = [task], False
            while len(batch) < _TOGETHER:
                try:
                    following = self._tasks.get_nowait()
                except queue.Empty:
                    break
                if following is None:
                    closing = True
                    break
                batch.append(following)
            self._carry_out(connection, batch)
            if closing:
                self._turn_away()
                return
            if self._uncopied >= _COPY_BACK_ALWAYS:
                self._copy_back(connection)

    def _idle_seconds(self) -> float | None:
        if self._uncopied >= _COPY_BACK_WHEN_IDLE and not self._short:
            return 1.0
        return _REFILL_SECONDS if self._short else None

    def _carry_out(self, connection: sqlite3.Connection, batch: Sequence[_Task]) -> None:
        wanted = [task for task in batch if task[1].set_running_or_notify_cancel()]
        writes = [(work, future) for work, future, writes in wanted if writes]
        if writes:
            self._commit(connection, writes)
        for work, future, is_write in wanted:
            if is_write:
                continue
            try:
                future.set_result(work(connection))
            except sqlite3.Error as error:
                future.set_exception(self._judged(error))
            except BaseException as error:  # noqa: BLE001 - it is raised again in the thread that waits
                future.set_exception(error)

    def _commit(self, connection: sqlite3.Connection, writes: Sequence[tuple[Work, Future[Any]]]) -> None:
        try:
            results = self._results(connection, writes)
        except sqlite3.Error as error:
            failure: BaseException = self._judged(error)
        except BaseException as error:  # noqa: BLE001 - it is raised again in the threads that wait
            failure = error
        else:
            self._uncopied += len(writes)
            for (_, future), result in zip(writes, results, strict=True):
                future.set_result(result)
            return
        for _, future in writes:
            future.set_exception(failure)

    def _results(self, connection: sqlite3.Connection, writes: Sequence[tuple[Work, Future[Any]]]) -> list[Any]:
        while True:
            if self._failed:
                raise JournalUnwritable(f"{self._path}: {self._failed}")
            try:
                connection.execute("BEGIN IMMEDIATE")
                results = [work(connection) for work, _ in writes]
                connection.execute("COMMIT")
            except BaseException as error:
                self._roll_back(connection)
                full = isinstance(error, sqlite3.Error) and error.sqlite_errorcode == sqlite3.SQLITE_FULL
                if not full:
                    raise
                had_some = self._ballast.throw_out()
                left = self._ballast.left_bytes // 1024
                self._short = f"the disk of {self._path} is full; {left} KiB are left in reserve"
                if not had_some:
                    raise
            else:
                return results

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            self._failed = f"an event that failed couldn't be taken back: {error}"

    def _copy_back(self, connection: sqlite3.Connection) -> None:
        try:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            self._uncopied = 0
        except sqlite3.Error as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
                self._judged(error)
            # A full disk stops only the copying: the log holds every event, and a later pause tries again.
            self._short = self._short or f"the disk of {self._path} is full"
            self._uncopied = 0

    def _judged(self, error: sqlite3.Error) -> JournalError:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            self._failed = f"the file is damaged: {error}"
            return JournalBroken(f"{self._path} is damaged: {error}")
        if code == sqlite3.SQLITE_IOERR:
            name = getattr(error, "sqlite_errorname", "SQLITE_IOERR")
            self._failed = (
                f"the disk reported an error ({error}, {name}); nothing more is written until failover is started again"
            )
            return JournalUnwritable(f"{self._path}: {self._failed}")
        return JournalUnwritable(f"{self._path} can't be written: {error}")

    def _turn_away(self) -> None:
        while True:
            try:
                task = self._tasks.get_nowait()
            except queue.Empty:
                return
            if task is not None and task[1].set_running_or_notify_cancel():
                task[1].set_exception(JournalUnwritable(f"{self._path}: the journal is closed"))
