"""One channel's own queue: pages first and each by itself, the rest merged; back-off while it fails; bounded.

A lane lives on the outbox's loop and touches nothing but its channel.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from failover.errors import NotificationError
from failover.notify.base import Channel, Message, Severity, plain

MOST_NOTICES = 1_000
PAGES_ONE_BY_ONE = 50
"""More pages than that at once are told in one message: every title, nothing dropped, and the duty phone survives."""
MOST_PAGES = 10_000
DROPPED_LINE_BYTES = 100
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 60.0
TRY_PAGES_SECONDS, TRY_NOTICES_SECONDS = 86_400.0, 3_600.0


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one message, or of several that went as one."""

    channel: str
    messages: tuple[Message, ...]
    answer: str = ""
    error: str | None = None
    given_up: bool = False


@dataclass(frozen=True, slots=True)
class LaneState:
    """How a channel does."""

    waiting: int = 0
    due_pages: int = 0
    sent: int = 0
    failed: int = 0
    """Attempts that failed."""
    dropped: int = 0
    """Notices (never pages) that didn't fit."""
    error: str | None = None
    """Why the last attempt failed; None when it didn't."""


@dataclass(slots=True)
class _Waiting:
    message: Message
    due: float
    give_up: float
    told_failure: bool = False


class Lane:
    """Sends one channel's messages in its own pace."""

    def __init__(
        self,
        name: str,
        channel: Channel,
        report: Callable[[Sent], Awaitable[None]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.channel = channel
        self._report = report
        self._clock = clock
        self._pages: list[_Waiting] = []
        self._notices: list[_Waiting] = []
        self._dropped_since = 0
        self._stirred = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._state = LaneState()

    def put(self, message: Message) -> None:
        """Queue a message; when notices don't fit, the oldest goes and the next digest says so."""
        page = message.severity is Severity.PAGE
        now = self._clock()
        patience = TRY_PAGES_SECONDS if page else TRY_NOTICES_SECONDS
        queue, most = (self._pages, MOST_PAGES) if page else (self._notices, MOST_NOTICES)
        queue.append(_Waiting(message, now + self.channel.after, now + self.channel.after + patience))
        if len(queue) > most:
            queue.pop(0)
            self._dropped_since += 1
            self._state = replace(self._state, dropped=self._state.dropped + 1)
        self._stirred.set()

    def withdraw(self, site: str, about: str) -> None:
        """Forget what isn't due yet and belongs to ``about``."""
        now = self._clock()
        for queue in (self._pages, self._notices):
            queue[:] = [w for w in queue if w.due <= now or (w.message.site, w.message.about) != (site, about)]

    def state(self) -> LaneState:
        """How it does now."""
        now = self._clock()
        due = sum(waiting.due <= now for waiting in list(self._pages))
        return replace(self._state, waiting=len(self._pages) + len(self._notices), due_pages=due)

    def start(self) -> None:
        """Begin to send."""
        if self._task is None:
            self._task = asyncio.get_event_loop().create_task(self._work(), name=f"lane {self.name}")

    def stop(self) -> list[Message]:
        """End; returns what was not sent."""
        if self._task is not None:
            self._task.cancel()
        return [waiting.message for waiting in self._pages + self._notices]

    async def _work(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            batch = self._next()
            if not batch:
                await self._wait()
                continue
            if await self._try(batch):
                pause = FIRST_PAUSE_SECONDS
                await asyncio.sleep(self.channel.every)
            else:
                await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - jitter
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _next(self) -> list[_Waiting]:
        now = self._clock()
        pages = [waiting for waiting in self._pages if waiting.due <= now]
        if pages and len(pages) <= PAGES_ONE_BY_ONE:
            return pages[:1]
        return self._that_fit(pages or [waiting for waiting in self._notices if waiting.due <= now])

    def _that_fit(self, due: list[_Waiting]) -> list[_Waiting]:
        """The first ones of one site whose lines fit into one message, at least one: what is cut off is not told."""
        room, taken = self.channel.room_bytes - DROPPED_LINE_BYTES, 0
        batch: list[_Waiting] = []
        for waiting in due:
            taken += len(line(waiting.message).encode()) + 1
            if batch and (taken > room or waiting.message.site != batch[0].message.site):
                break
            batch.append(waiting)
        return batch

    async def _wait(self) -> None:
        self._stirred.clear()
        soonest = min((waiting.due for waiting in self._pages + self._notices), default=None)
        wait = None if soonest is None else max(0.01, soonest - self._clock())
        try:
            async with asyncio.timeout(wait):
                await self._stirred.wait()
        except TimeoutError:
            pass

    async def _try(self, batch: list[_Waiting]) -> bool:
        message = merged([waiting.message for waiting in batch], self._dropped_since)
        permanent = False
        try:
            async with asyncio.timeout(self.channel.timeout + 1):  # should a channel's own deadline not hold
                answer = await self.channel.send(message)
        except NotificationError as error:
            sentence, permanent = str(error), error.permanent
        except TimeoutError:
            sentence = f"no answer within {self.channel.timeout:g} s"
        except Exception as error:  # noqa: BLE001 - a bug in a channel must not end its lane
            sentence = f"{type(error).__name__}: {error}"
        else:
            self._remove(batch)
            self._dropped_since = 0
            self._state = replace(self._state, sent=self._state.sent + len(batch), error=None)
            await self._report(Sent(self.name, tuple(w.message for w in batch), answer))
            return True
        self._state = replace(self._state, failed=self._state.failed + 1, error=sentence)
        over = [waiting for waiting in batch if permanent or waiting.give_up <= self._clock()]
        first = [waiting for waiting in batch if not waiting.told_failure and waiting not in over]
        self._remove(over)
        for waiting in first:
            waiting.told_failure = True  # one line in the journal for the first failure and one for giving up
        for group, given_up in ((over, True), (first, False)):
            if group:
                messages = tuple(waiting.message for waiting in group)
                await self._report(Sent(self.name, messages, error=sentence, given_up=given_up))
        return False

    def _remove(self, batch: list[_Waiting]) -> None:
        for queue in (self._pages, self._notices):
            queue[:] = [waiting for waiting in queue if not any(waiting is one for one in batch)]


def line(message: Message) -> str:
    """A message within a merged one."""
    return f"{message.at.astimezone():%H:%M:%S} [{message.severity}] {plain(message.title, one_line=True)[:300]}"


def merged(messages: Sequence[Message], dropped: int = 0) -> Message:
    """Several messages as one that holds every title, as urgent as the most urgent; a single one as it is."""
    if len(messages) == 1 and not dropped:
        return messages[0]
    first = min(messages, key=lambda message: message.severity.rank)
    lines = [line(message) for message in messages]
    if dropped:
        lines.append(f"and {dropped} older notices that were too many to keep")
    title = f"{len(messages)} messages, the first: {first.title}"
    return replace(first, title=title, text="\n".join(lines), at=messages[0].at)
