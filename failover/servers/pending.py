"""The requests that wait for an answer, and what an answer means to the one who waits."""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

from failover.errors import ChangeFailed, OutcomeUnknown, Refused, Unreachable
from failover.model import Token
from failover.servers.base import Answer
from failover.servers.hello import HelperClock
from failover.servers.lines import clean
from failover.servers.link import Broken

MAX_REQUESTS = 256
MAX_PROGRESS_WAITING = 64
KEPT_FORGOTTEN = 1024


@dataclass(slots=True)
class Request:
    """One request on its way. ``deadline`` is a monotonic second."""

    number: int
    verb: str
    head: str
    token: Token | None
    deadline: float
    mailbox: SimpleQueue[Mapping[str, Any] | Broken] = field(default_factory=SimpleQueue)
    sent: bool = False

    def line(self, clock: HelperClock | None) -> bytes:
        """The request with its times, which are taken as late as can be.

        The helper gets a little less time than the caller waits, so that its own word about work that it had to kill
        still arrives.
        """
        now = time.monotonic()
        left = max(0.0, self.deadline - now)
        left -= min(0.5, left / 10)
        times: dict[str, Any] = {"deadline_seconds": round(left, 3)}
        if self.token is not None and clock is not None:
            times |= {"epoch": self.token.epoch, "run": self.token.run}
            times |= {"boot_id": clock.boot_id, "not_after": round(clock.at(now) + left, 3)}
        return f"{self.head[:-1]}, {json.dumps(times)[1:]}\n".encode()

    def judge(self, server: str, reply: Mapping[str, Any]) -> Answer:
        """The answer in a reply.

        Raises:
            Refused, ChangeFailed: the helper's own word.
            OutcomeUnknown: nobody can tell what it means.
        """
        result, error = reply.get("result"), reply.get("error")
        if isinstance(result, dict) and error is None:
            return result
        if isinstance(error, dict) and isinstance(error.get("kind"), str):
            kind, message = clean(error["kind"], 100), clean(str(error.get("message", "")), 2000)
            began = error.get("began", None if self.token else False)
            if began is False:
                raise Refused(server, kind, f"{self.verb} was refused: {message} ({kind})")
            if began is True:
                left = error.get("result")
                sentence = f"{self.verb} failed: {message} ({kind})"
                raise ChangeFailed(server, kind, sentence, left if isinstance(left, dict) else None)
        raise OutcomeUnknown(server, f"{self.verb} was answered by something that can't be understood")


class Pending:
    """The requests under way, matched to their callers by number. Thread-safe."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._lock = threading.Lock()
        self._waiting: dict[int, Request] = {}
        self._forgotten: OrderedDict[int, None] = OrderedDict()
        self._over: str | None = None

    @property
    def changing(self) -> bool:
        """Whether a change was sent and not answered yet."""
        with self._lock:
            return any(request.token and request.sent for request in self._waiting.values())

    def add(self, request: Request) -> None:
        """A caller begins to wait.

        Raises:
            Broken: the conversation is over.
            Unreachable: too many wait already.
        """
        with self._lock:
            if self._over is not None:
                raise Broken(self._over, sent=False)
            if len(self._waiting) >= MAX_REQUESTS:
                sentence = f"{request.verb} was not sent: {MAX_REQUESTS} requests wait for an answer already"
                raise Unreachable(self._server, sentence)
            self._waiting[request.number] = request

    def begin(self, request: Request) -> bool:
        """Mark it as sent, just before its first byte leaves; False when its caller has left."""
        with self._lock:
            request.sent = request.number in self._waiting
            return request.sent

    def withdraw(self, request: Request) -> bool:
        """Its caller leaves: an answer that comes later belongs to nobody. Whether it had been sent."""
        with self._lock:
            if self._waiting.pop(request.number, None) is not None and request.sent:
                self._forgotten[request.number] = None
                while len(self._forgotten) > KEPT_FORGOTTEN:
                    self._forgotten.popitem(last=False)
            return request.sent

    def deliver(self, number: object, reply: Mapping[str, Any]) -> bool:
        """Give a reply to whom it belongs; False when it answers nothing that was ever asked."""
        final = "progress" not in reply
        with self._lock:
            if not isinstance(number, int):
                return False
            request = self._waiting.get(number)
            if request is None:
                known = number in self._forgotten
                if known and final:
                    del self._forgotten[number]
                return known
            if not request.sent:
                return False
            if final:
                del self._waiting[number]
            if final or request.mailbox.qsize() < MAX_PROGRESS_WAITING:
                request.mailbox.put(reply)
            return True

    def end(self, reason: str) -> None:
        """Tell everybody that no answer will come."""
        with self._lock:
            self._over = reason
            waiting, self._waiting = self._waiting, {}
        for request in waiting.values():
            request.mailbox.put(Broken(reason, sent=request.sent))
