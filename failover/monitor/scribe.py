"""Writes to the journal from the loop: in order, in a thread, so that a slow disk holds up no check (I19)."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from failover.errors import JournalError
from failover.journal.journal import Journal
from failover.model import Event

log = logging.getLogger(__name__)

MOST_WAITING = 10_000
Data = Mapping[str, Any] | Callable[[], Mapping[str, Any]]


class Scribe:
    """One site's pen. What can't be written is handed to ``unwritten``, so that it isn't silent."""

    def __init__(self, journal: Journal, site: str, unwritten: Callable[[str, Mapping[str, Any], str], None]) -> None:
        self._journal = journal
        self._site = site
        self._unwritten = unwritten
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"scribe-{site}")
        self._lock = threading.Lock()
        self._waiting = 0

    def write(self, kind: str, data: Data, *, by: str = "daemon", run: int | None = None) -> Future[Event | None]:
        """Queue one event; the future holds it once it is durable, or None when that failed.

        ``data`` may be a callable, called in the thread just before: for what takes the disk to know.
        """
        with self._lock:
            if self._waiting >= MOST_WAITING:
                future: Future[Event | None] = Future()
                future.set_result(None)
                log.error("the journal is %d events behind; dropped: %s %s", self._waiting, kind, data)
                return future
            self._waiting += 1
        return self._thread.submit(self._append, kind, data, by, run)

    def close(self) -> None:
        """Write what is queued."""
        self._thread.shutdown(wait=True)

    def _append(self, kind: str, data: Data, by: str, run: int | None) -> Event | None:
        known: Mapping[str, Any] = {}
        try:
            known = data() if callable(data) else data
            return self._journal.append(kind, site=self._site, run=run, by=by, data=known)
        except JournalError as error:
            told = {name: value for name, value in known.items() if name != "situation"}  # pages of it
            log.error("not in the journal: %s %s: %s", kind, told, error)
            self._unwritten(kind, known, str(error))
            return None
        finally:
            with self._lock:
                self._waiting -= 1
