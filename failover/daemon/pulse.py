"""The watchdog's sign of life, given only while there is progress: the loop turns, checks look, the journal answers."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from failover.daemon import systemd
from failover.journal.journal import Journal

log = logging.getLogger(__name__)

JOURNAL_EVERY_SECONDS = 5.0
JOURNAL_SECONDS = 60.0
"""Its own patience with a disk is half of that; an answer that it can't write is an answer."""
DEFAULT_SECONDS = 10.0


class Pulse:
    """Beats on the loop; whatever holds the loop up holds the pulse up, and systemd starts us anew."""

    def __init__(self, journal: Journal, stuck: Callable[[], Sequence[str]], status: Callable[[], str]) -> None:
        self._journal = journal
        self._stuck = stuck
        self._status = status
        self._journal_answered = time.monotonic()

    def troubles(self) -> list[str]:
        """Why there is no progress; empty while there is."""
        found = list(self._stuck())
        silent = time.monotonic() - self._journal_answered
        if silent > JOURNAL_SECONDS:
            found.append(f"the journal hasn't answered for {silent:.0f} s")
        return found

    async def run(self) -> None:
        """Beat until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._beat(), name="pulse")
            group.create_task(self._ask_journal(), name="pulse of the journal")

    async def _beat(self) -> None:
        every = (systemd.watchdog_seconds() or DEFAULT_SECONDS) / 3
        said = ""
        while True:
            troubles = self.troubles()
            if troubles:
                log.error("no sign of life for systemd: %s", "; ".join(troubles[:5]))
            else:
                systemd.alive()
            status = troubles[0] if troubles else self._status()
            if status != said:
                systemd.say(status)
                said = status
            await asyncio.sleep(every)

    async def _ask_journal(self) -> None:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, thread_name_prefix="pulse") as thread:
            while True:
                await loop.run_in_executor(thread, lambda: self._journal.events(newest_first=True, limit=1))
                self._journal_answered = time.monotonic()
                await asyncio.sleep(JOURNAL_EVERY_SECONDS)
