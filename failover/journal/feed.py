"""Hands every new event to those who asked for them: after its commit, in order, in a thread of its own.

A subscriber is a place in the journal, not a queue in memory: one that is slow falls behind and reads on from there.
Every event carries the journal's head (``seq`` and ``hash``), so a subscriber that sends these elsewhere (syslog, a
peer, a mail) makes a later truncation of the journal detectable by ``verify(path, head=...)``.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from failover.errors import JournalError
from failover.model import Event

log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class _Place:
    callback: Callable[[Event], None]
    after: int
    wanted: bool = True


class Feed:
    """Calls back for each event; ``read(after)`` gives the next events, some hundreds at a time."""

    def __init__(self, read: Callable[[int], list[Event]], head: int) -> None:
        self._read = read
        self._head = head
        self._news = threading.Condition()
        self._places: list[_Place] = []
        self._closing = False
        self._thread: threading.Thread | None = None

    def subscribe(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """Calls ``callback`` with every event committed from now on, until the returned function is called."""
        with self._news:
            place = _Place(callback, self._head)
            self._places.append(place)
            if self._thread is None:
                self._thread = threading.Thread(target=self._live, name="journal-feed", daemon=True)
                self._thread.start()

        def stop() -> None:
            with self._news:
                place.wanted = False
                self._places = [other for other in self._places if other is not place]

        return stop

    def tell(self, head: int) -> None:
        """Events up to ``head`` are committed."""
        with self._news:
            if head > self._head:
                self._head = head
                self._news.notify()

    def close(self, within_seconds: float = 5.0) -> None:
        """Deliver what is committed, then end; a callback that hangs is left behind."""
        with self._news:
            self._closing = True
            self._news.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(within_seconds)

    def _behind(self) -> list[_Place]:
        return [place for place in self._places if place.after < self._head]

    def _live(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._closing or self._behind())
                behind, head = self._behind(), self._head
            if not behind:
                return
            try:
                events = self._read(min(place.after for place in behind))
            except JournalError:
                log.exception("the journal can't be read; its subscribers hear nothing more")
                return
            for event in events:
                for place in behind:
                    if place.wanted and place.after < event.seq:
                        place.after = event.seq
                        self._call(place.callback, event)
            if not events:
                for place in behind:
                    place.after = head

    @staticmethod
    def _call(callback: Callable[[Event], None], event: Event) -> None:
        try:
            callback(event)
        except Exception:  # one subscriber's bug is not the others', nor the journal's
            log.exception("a subscriber failed at event %d (%s)", event.seq, event.kind)
