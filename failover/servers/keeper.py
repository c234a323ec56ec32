"""A server whose session is kept warm: opened in the background, watched, and opened again when it broke.

What differs from server to server, how a link is made, is left to the subclass (``SshServer``, ``LocalServer``).
"""

from __future__ import annotations

import random
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from failover.errors import OutcomeUnknown, Refused, ServerError, Unreachable
from failover.model import Token, format_span
from failover.servers.base import Answer, Progress
from failover.servers.hello import PROTOCOL, Hello
from failover.servers.lines import clean
from failover.servers.link import Broken, Link
from failover.servers.wire import Wire

FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 15.0
FRESH_SECONDS = 1.0
"""A failure to connect this young is the answer to a new question too: no more than one knock a second."""
STEADY_SECONDS = 10.0
"""A session that lived so long was a good one; shorter ones count as failures for the back-off."""
CLOSED = "the session was closed by us"
CHANGING_PATIENCE_SECONDS = 15.0


class OpenFailed(Exception):
    """A link or session could not be had, so nothing was sent.

    ``error`` is what callers get, ``knock_after`` the seconds for which their wish starts no new attempt.
    """

    def __init__(
        self, sentence: str, *, error: type[Unreachable] = Unreachable, knock_after: float = FRESH_SECONDS
    ) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.error = error
        self.knock_after = knock_after
        self.at = time.monotonic()

    def may_knock(self) -> bool:
        """Whether a caller's wish may start a new attempt by now."""
        return time.monotonic() - self.at >= self.knock_after


class WarmServer(ABC):
    """A :class:`~failover.servers.base.Server` over one session, which it starts to open at once, in the background.

    Args:
        name: in the config.
        open_seconds: how long opening may take in all, the hello among it.
        ping_seconds: silence after which the helper is asked for a sign of life.
        patience_seconds: how long that sign may take until the session is given up; longer while a change is under way.
    """

    def __init__(self, name: str, *, open_seconds: float, ping_seconds: float, patience_seconds: float) -> None:
        self._name = name
        self._open_seconds = open_seconds
        self._ping_seconds = ping_seconds
        self._patience_seconds = patience_seconds
        self._moved = threading.Condition()
        self._wire: Wire | None = None
        self._failure: OpenFailed | None = None
        self._attempts = 0
        self._in_a_row = 0
        self._wanted = False
        self._closed = False
        self._nudge = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name=f"{name}:keep", daemon=True)
        self._keeper.start()

    @abstractmethod
    def _open_link(self, within_seconds: float) -> Link:
        """A new link, in the keeper's thread.

        Raises:
            OpenFailed: with the reason.
        """

    # the contract -----------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Its name in the config."""
        return self._name

    @property
    def hello(self) -> Hello | None:
        """What the helper said when the session was opened, if there is one."""
        wire = self._wire
        return wire.hello if wire is not None and not wire.ended.is_set() else None

    def ask(self, verb: str, /, *, within_seconds: float = 5.0, **args: Any) -> Answer:
        """See :meth:`failover.servers.base.Server.ask`. A question whose session broke is asked once more."""
        return self._call(verb, args, None, within_seconds, None)

    def change(
        self, verb: str, args: Mapping[str, Any], /, *,
        token: Token, within_seconds: float, progress: Progress | None = None,
    ) -> Answer:  # fmt: skip
        """See :meth:`failover.servers.base.Server.change`. Never sent twice."""
        return self._call(verb, args, token, within_seconds, progress)

    def warm(self) -> bool:
        """Whether a session stands ready, as far as its last sign of life tells."""
        return self.hello is not None

    def close(self) -> None:
        """End the session for good; those who wait for an answer are told at once."""
        with self._moved:
            self._closed = True
            self._moved.notify_all()
            wire = self._wire
        if wire is not None:
            wire.cut(CLOSED)
        self._nudge.set()
        if threading.current_thread() is not self._keeper:
            self._keeper.join(1.0)

    # calls ------------------------------------------------------------------------------------------------

    def _call(
        self, verb: str, args: Mapping[str, Any], token: Token | None, within_seconds: float, progress: Progress | None
    ) -> Answer:
        deadline = time.monotonic() + within_seconds
        for attempt in (1, 2):
            wire = self._session(verb, deadline, within_seconds)
            left = max(0.0, deadline - time.monotonic())
            try:
                return wire.request(verb, args, token=token, within_seconds=left, progress=progress)
            except Broken as broken:
                # A question has no effect, and what was never sent had none: both may be tried again.
                if attempt == 1 and (token is None or not broken.sent) and time.monotonic() < deadline:
                    continue
                if broken.sent:
                    sentence = f"the session broke before {verb} was answered: {broken.reason}"
                    raise OutcomeUnknown(self._name, sentence) from None
                raise Unreachable(self._name, f"{verb} was not sent: {broken.reason}") from None
            except OutcomeUnknown:
                self._nudge.set()  # let the keeper find out now whether the helper still answers anybody
                raise
        raise AssertionError("the loop returns or raises")

    def _session(self, verb: str, deadline: float, within_seconds: float) -> Wire:
        """The open session, waiting for an attempt that is under way or that this wish starts."""
        with self._moved:
            seen = self._attempts
            while True:
                if self._closed:
                    raise Unreachable(self._name, f"{verb} was not sent: {CLOSED}")
                if self._wire is not None and not self._wire.ended.is_set():
                    return self._wire
                failure = self._failure
                if failure is not None and (self._attempts != seen or not failure.may_knock()):
                    raise failure.error(self._name, failure.sentence)
                self._wanted = True
                self._moved.notify_all()
                left = deadline - time.monotonic()
                if left <= 0 or not self._moved.wait(left):
                    why = f"; the last attempt: {failure.sentence}" if failure else ""
                    span = format_span(within_seconds)
                    raise Unreachable(self._name, f"{verb} was not sent: no session within {span}{why}")

    # the keeper's thread ----------------------------------------------------------------------------------

    def _keep(self) -> None:
        while not self._closed:
            wire = self._try_open()
            if wire is not None:
                opened = time.monotonic()
                self._attend(wire)
                if time.monotonic() - opened >= STEADY_SECONDS:
                    self._in_a_row = 0
                with self._moved:
                    self._failure = OpenFailed(f"the session broke: {wire.reason}", knock_after=0)
            self._rest()

    def _try_open(self) -> Wire | None:
        began = time.monotonic()
        wire: Wire | None = None
        failure: OpenFailed | None = None
        try:
            wire = Wire(self._name, self._open_link(self._open_seconds), self._nudge.set)
            hello = wire.greet(max(0.1, began + self._open_seconds - time.monotonic()))
            if hello.protocol != PROTOCOL:
                theirs = f"its helper {clean(hello.version, 40)} speaks protocol {hello.protocol}"
                failure = OpenFailed(f"{theirs}, this failover speaks {PROTOCOL}: run failover enroll {self._name}")
        except Broken as broken:
            failure = OpenFailed(broken.reason)
        except OpenFailed as error:
            failure = error
        except Exception as error:  # noqa: BLE001 - whatever a hostile peer makes a library raise, the keeper lives on
            failure = OpenFailed(f"opening a session failed: {type(error).__name__}: {clean(str(error), 300)}")
        if wire is not None and failure is not None:
            wire.cut(failure.sentence)
        with self._moved:
            self._attempts += 1
            self._failure = failure
            self._wire = wire if failure is None else None
            self._wanted = False
            if self._closed and wire is not None:
                wire.cut(CLOSED)
            self._moved.notify_all()
            return self._wire

    def _rest(self) -> None:
        """Wait until the next attempt is due: by jittered back-off, or since a caller wants one and may have it."""
        pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**self._in_a_row)
        self._in_a_row = min(self._in_a_row + 1, 10)
        with self._moved:
            failure = self._failure
            if failure is None:
                return
            # Of many monitors or servers that lost each other together, not all knock again in the same moment.
            due = failure.at + max(pause, failure.knock_after) * random.uniform(1.0, 1.5)  # noqa: S311 - jitter
            while not self._closed and (left := due - time.monotonic()) > 0:
                if self._wanted and failure.may_knock():
                    return
                self._wanted = False
                self._moved.wait(left)

    def _attend(self, wire: Wire) -> None:
        """Until it ends: ask for a sign of life when there was none for a while, and end it when none comes."""
        while not wire.ended.is_set():
            quiet = time.monotonic() - wire.last_heard
            self._nudge.wait(max(0.0, self._ping_seconds - quiet))
            self._nudge.clear()
            patience = CHANGING_PATIENCE_SECONDS if wire.changing else self._patience_seconds
            asked = time.monotonic()
            try:
                wire.request("facts", {"sections": []}, within_seconds=patience, urgent=True)
            except Refused:
                pass  # that, too, is a sign of life
            except Broken:
                return
            except ServerError:
                if wire.last_heard < asked or wire.stuck_seconds() >= patience:
                    wire.cut(f"no sign of life for {format_span(time.monotonic() - wire.last_heard)}")
