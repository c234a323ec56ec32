"""The hand of a run: write, act, write. Nothing else in failover changes a server."""

from __future__ import annotations

from collections.abc import Callable

from failover.errors import RunAborted, ServerError
from failover.model import Token, format_span
from failover.recover.control import Clock, Control
from failover.recover.doubts import Doubts
from failover.recover.outcome import Outcome
from failover.recover.run import RunJournal
from failover.recover.scene import Scene
from failover.recover.step import Change

LOOK_AGAIN = frozenset({"past-deadline", "other-boot"})
"""Refusals that say nothing about the wish: it came too late, or to a server that has booted anew."""


class LookAgain(Exception):
    """What the step saw may have changed meanwhile: ask it anew."""


class Superseded(RunAborted):
    """A server has had orders of a newer run: this one may not touch anything any more, not even to take back."""


class Hand:
    """Carries out one change at a time for one run."""

    def __init__(
        self, scene: Scene, record: RunJournal, token: Token, doubts: Doubts, clock: Clock, control: Control
    ) -> None:
        self.scene = scene
        self.record = record
        self.token = token
        self._doubts = doubts
        self._clock = clock
        self._control = control

    def carry_out(self, step: int, change: Change, confirm: Callable[[], None]) -> Outcome:
        """Make the change, once; ``confirm`` may still say no, just before.

        Returns what came of it where the change tolerates that, and where it's to be looked at again.

        Raises:
            JournalUnwritable: nothing was done, or it was done and its outcome couldn't be written.
            LookAgain: an earlier request had to be waited out first; nothing was done.
            Superseded: a newer run commands the server.
            ServerError: it was refused or failed, and the step has no other way.
        """
        self._control.check()
        self._wait_out(change)
        confirm()
        server = self.scene.server(change.server)
        number = self.record.intends(step, change)
        began = self._clock.monotonic()
        trouble: ServerError | None = None
        try:
            answer = server.change(
                change.verb, change.args, token=self.token, within_seconds=change.within_seconds
            )  # fmt: skip
            outcome = Outcome("ok", answer=answer)
        except ServerError as error:
            trouble, outcome = error, Outcome.of(error)
        if outcome.ok:
            self._doubts.done(change.server, change.verb, change.args, self.token)
        elif outcome.result == "unknown":
            self._doubts.add(change.server, change.verb, change.args, self.token, change.within_seconds)
        self.record.outcome(step, number, outcome, self._clock.monotonic() - began)
        if outcome.kind in ("stale-token", "superseded"):  # refused on arrival, or ended while it was at work
            raise Superseded(f"{change.server} has had orders of a newer run: {outcome.sentence}")
        if trouble is None or outcome.result in change.tolerates:
            return outcome
        if outcome.kind in LOOK_AGAIN:
            raise LookAgain
        raise trouble

    def _wait_out(self, change: Change) -> None:
        seconds = self._doubts.seconds_until_clear(change.server, change.verb, change.args, self.token)
        if seconds <= 0:
            return
        waits = f"waits {format_span(seconds)} before it can {change.says}"
        self.record.noted(f"{waits}: an earlier request may still act until then")
        give_up = self._clock.monotonic() + seconds
        while (left := give_up - self._clock.monotonic()) > 0:
            self._control.wait(left)
        raise LookAgain
