"""The queue between those who have something to say and the channels: nobody who posts ever waits (I19).

It lives in a thread and a loop of its own: a mail server that hangs, a name that doesn't resolve, delay neither checks
nor runs. What was sent is in the journal, so that a restart repeats nothing; what was not sent is posted anew by
those who fold the journal at start, with the same keys.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from failover.errors import JournalError
from failover.journal.journal import Journal
from failover.model import utc_now
from failover.notify.base import Channel, Message, Severity
from failover.notify.lane import Lane, LaneState, Sent

log = logging.getLogger(__name__)

REMEMBER = timedelta(days=30)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Tried:
    """What one channel answered to a test message."""

    channel: str
    sent: bool
    answer: str


class Outbox:
    """Hands messages to every channel that wants them. Thread-safe; :meth:`post` returns at once."""

    def __init__(self, channels: Mapping[str, Channel], journal: Journal) -> None:
        self._journal = journal
        self._loop = asyncio.new_event_loop()
        self._told = self._remembered()
        self._lanes = self._make(channels)
        self._thread = threading.Thread(target=self._turn, name="outbox", daemon=True)
        self._thread.start()

    def post(self, message: Message) -> None:
        """Queue a message. One with a key that a channel was given before is not sent there again."""
        try:
            self._loop.call_soon_threadsafe(self._accept, message)
        except RuntimeError:  # closed: the daemon is ending, and the next start posts what is still open
            log.info("not sent, as the daemon is ending: %s", message.title)

    def withdraw(self, site: str, about: str) -> None:
        """Somebody acknowledged, or it healed: channels that wait for that (``after``) needn't be used."""

        def forget() -> None:
            for lane in self._lanes.values():
                lane.withdraw(site, about)

        self._call(forget)

    def replace(self, channels: Mapping[str, Channel]) -> None:
        """Use these channels from now on (a reload). What waits for a channel that stays in name stays queued."""

        def swap() -> None:
            old, self._lanes = self._lanes, self._make(channels)
            for name, lane in old.items():
                waiting = lane.stop()
                if name in self._lanes:
                    for message in waiting:
                        self._lanes[name].put(message)
            self._start()

        self._call(swap)

    def states(self) -> dict[str, LaneState]:
        """How each channel does."""
        return {name: lane.state() for name, lane in dict(self._lanes).items()}

    def test(self, channel: str | None, message: Message) -> list[Tried]:
        """Send a message past the queue, once and now; says what each channel answered. Blocks for their timeouts."""
        chosen = {name: lane.channel for name, lane in dict(self._lanes).items() if channel in (None, name)}

        async def one(name: str, way: Channel) -> Tried:
            try:
                async with asyncio.timeout(way.timeout + 1):
                    return Tried(name, sent=True, answer=await way.send(message))
            except Exception as error:  # noqa: BLE001 - whatever a channel does, the others are tested
                return Tried(name, sent=False, answer=str(error) or type(error).__name__)

        async def every() -> list[Tried]:
            return list(await asyncio.gather(*(one(name, way) for name, way in chosen.items())))

        longest = max((way.timeout for way in chosen.values()), default=0.0)
        return self._run(every(), longest + 5)

    def close(self, within_seconds: float = 3.0) -> None:
        """Give pages that are due that long to go out, then end."""
        until = time.monotonic() + within_seconds
        while time.monotonic() < until and any(state.due_pages for state in self.states().values()):
            time.sleep(0.05)

        def stop() -> None:
            for lane in self._lanes.values():
                lane.stop()
            self._loop.call_soon(self._loop.stop)

        self._call(stop)
        self._thread.join(timeout=within_seconds + 2)

    def _turn(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._start()
        try:
            self._loop.run_forever()
            left = asyncio.all_tasks(self._loop)
            for task in left:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        finally:
            self._loop.close()

    def _make(self, channels: Mapping[str, Channel]) -> dict[str, Lane]:
        return {name: Lane(name, channel, self._report) for name, channel in channels.items()}

    def _start(self) -> None:
        for lane in self._lanes.values():
            lane.start()

    def _accept(self, message: Message) -> None:
        for name, lane in self._lanes.items():
            if lane.channel.wants(message) and (name, message.scoped_key) not in self._told:
                self._told.add((name, message.scoped_key))
                lane.put(message)

    def _remembered(self) -> set[tuple[str, str]]:
        since = utc_now() - REMEMBER
        kinds = ("notification.sent", "notification.failed")
        return {
            (str(event.data["channel"]), f"{event.site}/{key}")
            for event in self._journal.events(kinds=kinds, newest_first=True, limit=20_000)
            if event.at > since and (event.kind == "notification.sent" or event.data.get("permanent"))
            for key in event.data.get("keys", [event.data["key"]])
        }

    async def _report(self, sent: Sent) -> None:
        """Write down what became of messages. The journal may be full or slow: then the log alone says it."""
        message = sent.messages[0]
        data: dict[str, Any] = {"channel": sent.channel, "severity": message.severity, "title": message.title}
        data["key"] = message.key
        if len(sent.messages) > 1:
            data["keys"] = [one.key for one in sent.messages]
        if sent.error is not None:
            data |= {"error": sent.error, "permanent": sent.given_up}
        kind = "notification.sent" if sent.error is None else "notification.failed"
        if sent.given_up and message.severity is Severity.PAGE:
            log.error("nobody was paged through %s: %s: %s", sent.channel, message.title, sent.error)
        try:
            write = lambda: self._journal.append(kind, site=message.site, by="daemon", data=data)  # noqa: E731
            await self._loop.run_in_executor(None, write)
        except JournalError as error:
            log.warning("%s through %s is not in the journal: %s", kind, sent.channel, error)

    def _call(self, act: Callable[[], object]) -> None:
        async def run() -> None:
            act()

        if self._thread.is_alive():
            self._run(run(), 10)

    def _run(self, work: Coroutine[Any, Any, T], within_seconds: float) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(within_seconds)
