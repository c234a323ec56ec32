"""One conversation with a helper: JSON lines both ways, many requests at once, each ending within its time.

Callers never touch the link. One thread writes, one reads, one keeps what the helper says on stderr; a caller puts its
request in line and waits for its own answer, so that a peer that takes no data or gives none can't hold anybody past a
deadline. A request that was withdrawn before the first byte left is *not done*; from that byte on nobody can tell.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from queue import Empty, SimpleQueue
from typing import Any

from failover.errors import OutcomeUnknown, ServerError, Unreachable
from failover.model import Token, format_span
from failover.servers.base import Answer, Progress
from failover.servers.hello import Hello, HelperClock
from failover.servers.lines import BadLine, LineReader, clean, greeting
from failover.servers.link import Broken, Link
from failover.servers.pending import Pending, Request

MAX_LINE_BYTES = 1 << 20
ROOM_FOR_TIMES = 1024
MAX_NOISE = 200
"""Lines that answer nothing, before the hello or after it, until we hang up."""
MAX_LINES_PER_SECOND = 5000
MAX_QUESTIONS = 12
"""At once; a helper works on 16 and refuses more. The others wait for their turn, within their time."""
ERROR_LINES = 20


class Wire:
    """The client's half of the protocol over a link, which it owns from now on.

    Args:
        server: its name, for messages.
        link: an open one.
        on_end: called once when the conversation is over, from any thread.
    """

    def __init__(self, server: str, link: Link, on_end: Callable[[], None] = lambda: None) -> None:
        self.server = server
        self.hello: Hello | None = None
        self.last_heard = time.monotonic()
        """When anything came last, on the monotonic clock."""
        self.ended = threading.Event()
        self.reason = ""
        """Why it ended."""
        self._link = link
        self._on_end = on_end
        self._clock: HelperClock | None = None
        self._greeted = threading.Event()
        self._numbers = itertools.count(1)
        self._pending = Pending(server)
        self._turns = threading.BoundedSemaphore(MAX_QUESTIONS)
        self._ending = threading.Lock()
        self._outbox: SimpleQueue[Request | None] = SimpleQueue()
        self._writing_since: float | None = None
        self._noise = 0
        self._second, self._lines = 0, 0
        self._errors: deque[bytes] = deque(maxlen=ERROR_LINES)
        self._listener = threading.Thread(target=self._listen, name=f"{server}:listen", daemon=True)
        self._listener.start()
        for target in (self._read, self._write):
            threading.Thread(target=target, name=f"{server}:{target.__name__[1:]}", daemon=True).start()

    # for the keeper ---------------------------------------------------------------------------------------

    def greet(self, within_seconds: float) -> Hello:
        """Wait for the helper's hello.

        Raises:
            Broken: none came in time, or it ended before; nothing was sent.
        """
        if not self._greeted.wait(within_seconds):
            self.cut(f"it lets us in, but no helper greeted within {format_span(within_seconds)}")
        if self.hello is None or self.ended.is_set():
            raise Broken(self.reason, sent=False)
        return self.hello

    @property
    def changing(self) -> bool:
        """Whether a change is under way, so that hanging up needs a better reason."""
        return self._pending.changing

    def stuck_seconds(self) -> float:
        """How long the peer has been refusing to take data."""
        since = self._writing_since
        return time.monotonic() - since if since is not None else 0.0

    def cut(self, reason: str) -> None:
        """End it now; everybody who waits is told. Only the first reason counts."""
        with self._ending:
            if self.ended.is_set():
                return
            self.reason = reason
            self.ended.set()
        self._pending.end(reason)
        self._outbox.put(None)
        self._link.cut()
        self._greeted.set()
        self._on_end()

    # for callers ------------------------------------------------------------------------------------------

    def request(
        self, verb: str, args: Mapping[str, Any], *,
        token: Token | None = None, within_seconds: float, progress: Progress | None = None, urgent: bool = False,
    ) -> Answer:  # fmt: skip
        """Ask, or with a token change, and wait for the answer. ``progress`` is called in the caller's thread.

        An ``urgent`` question doesn't wait for its turn.

        Raises:
            Broken: the conversation ended meanwhile.
            Unreachable, Refused, ChangeFailed, OutcomeUnknown: as :class:`failover.servers.base.Server` says.
            ValueError: the request is larger than a line may be.
        """
        number = next(self._numbers)
        head = json.dumps({"id": number, "verb": verb, "args": dict(args)}, allow_nan=False)
        if len(head) > MAX_LINE_BYTES - ROOM_FOR_TIMES:
            raise ValueError(f"{verb}: a request of {len(head)} bytes doesn't fit a line of {MAX_LINE_BYTES}")
        request = Request(number, verb, head, token, time.monotonic() + within_seconds)
        if token is not None or urgent:
            return self._send(request, within_seconds, progress)
        if not self._turns.acquire(timeout=within_seconds):
            raise Unreachable(self.server, f"{verb} was not sent: {MAX_QUESTIONS} others wait for an answer already")
        try:
            return self._send(request, within_seconds, progress)
        finally:
            self._turns.release()

    def _send(self, request: Request, within_seconds: float, progress: Progress | None) -> Answer:
        self._pending.add(request)
        self._outbox.put(request)
        try:
            return self._await(request, within_seconds, progress)
        finally:
            self._pending.withdraw(request)

    def _await(self, request: Request, within_seconds: float, progress: Progress | None) -> Answer:
        while True:
            try:
                reply = request.mailbox.get(timeout=max(0.0, request.deadline - time.monotonic()))
            except Empty:
                overdue = self._overdue(request, within_seconds)
                if request.mailbox.empty():
                    raise overdue from None
                continue  # the answer came in this very moment
            if isinstance(reply, Broken):
                raise reply
            if "progress" not in reply:
                return request.judge(self.server, reply)
            if progress is not None and isinstance(reply["progress"], dict):
                progress(reply["progress"])

    def _overdue(self, request: Request, within_seconds: float) -> ServerError:
        span = format_span(within_seconds)
        if not self._pending.withdraw(request):
            return Unreachable(self.server, f"{request.verb} was not sent: the link took no data for {span}")
        return OutcomeUnknown(self.server, f"no answer to {request.verb} within {span}")

    # the three threads ------------------------------------------------------------------------------------

    def _write(self) -> None:
        while (request := self._outbox.get()) is not None:
            if not self._pending.begin(request):
                continue  # withdrawn: its caller knows that it never left
            self._writing_since = time.monotonic()
            try:
                self._link.send(request.line(self._clock))
            except Exception as error:  # noqa: BLE001 - a link may break in any way; each ends the conversation
                self.cut(f"sending failed: {error or type(error).__name__}")
            self._writing_since = None

    def _read(self) -> None:
        reader = LineReader(MAX_LINE_BYTES)
        try:
            while data := self._link.receive():
                self.last_heard = time.monotonic()
                for line in reader.feed(data):
                    self._take(line)
        except BadLine as error:
            self.cut(str(error))
        except Exception as error:  # noqa: BLE001 - a link may break in any way; each ends the conversation
            self.cut(f"receiving failed: {error or type(error).__name__}")
        if not self.ended.is_set():
            said = self._last_words()
            self.cut(f"the helper hung up{said}" if self.hello else f"the helper ended before it greeted{said}")

    def _last_words(self) -> str:
        epitaph = self._link.epitaph()
        self._listener.join(0.5)  # what it said on stderr is often the reason, and may still be under way
        said = " / ".join(clean(line.decode(errors="replace"), 300) for line in list(self._errors))
        return (f" with {epitaph}" if epitaph else "") + (f": {said}" if said else "")

    def _take(self, line: bytes) -> None:
        self._count_line()
        if self.hello is None:
            hello = greeting(line)
            if hello is None:
                self._count_noise(line)
                return
            self._clock = HelperClock(hello, self.last_heard)
            self.hello = hello
            self._greeted.set()
            return
        try:
            reply = json.loads(line)
            number = reply["id"]
        except (ValueError, RecursionError, TypeError, KeyError):
            self._count_noise(line)
            return
        if self._clock is not None and isinstance(reply.get("result"), dict):
            self._clock.learn(reply["result"], self.last_heard)
        if not self._pending.deliver(number, reply):
            self._count_noise(line)

    def _count_line(self) -> None:
        if self._second != (second := int(self.last_heard)):
            self._second, self._lines = second, 0
        self._lines += 1
        if self._lines > MAX_LINES_PER_SECOND:
            raise BadLine(f"it floods us with more than {MAX_LINES_PER_SECOND} lines a second")

    def _count_noise(self, line: bytes) -> None:
        self._noise += 1
        if self._noise > MAX_NOISE:
            last = clean(line[:400].decode(errors="replace"), 100)
            raise BadLine(f"it sent more than {MAX_NOISE} lines that answer nothing, the last: {last!r}")

    def _listen(self) -> None:
        reader = LineReader(MAX_LINE_BYTES, overlong="cut")
        try:
            while data := self._link.receive_errors():
                self._note(reader.feed(data))
        except OSError:
            pass  # the reader says how the link ended
        self._note(reader.rest())

    def _note(self, lines: Iterable[bytes]) -> None:
        self._errors.extend(line[:1000] for line in lines if line.strip())
