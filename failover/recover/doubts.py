"""Requests that may still act: sent, and no answer came. What conflicts with one waits until it is void (I3).

A helper refuses what comes after its ``not_after`` and ends what runs past its deadline, so that a request is void when
twice its time is over: it may be begun at the last moment and then run for all of its time. It is void at once when
its server has done another change of the same thing for a newer token: the gate let one in at a time, ended what was
under way for an older token, and refuses what comes of it later.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from failover.model import Token

_MARGIN_SECONDS = 0.5
_EXCLUSIVE = frozenset({"held", "running"})
"""What only one server may be or have at a time."""
_SUBJECTS = {"address": "ip", "service": "unit", "database": "name", "connect": "file"}
"""What a change of that verb is about."""
_GATED = frozenset({"service", "database", "connect"})
"""Changes that no server makes without its gate. Of an address only the taking is, see the helper's ``lets_go``."""
_BESIDE = frozenset({"restored"})
"""What is done beside that which serves, in hours perhaps: done once more and late it costs disk, and nothing else."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """One request and the moment, on the monotonic clock, at which it can't act any more."""

    server: str
    verb: str
    subject: str
    want: str
    token: Token
    void_at: float


def about(server: str, verb: str, args: Mapping[str, Any]) -> tuple[str, str, str]:
    """What a change is about: server, verb, subject."""
    return server, verb, str(args.get(_SUBJECTS.get(verb, "")))


def settles(verb: str, args: Mapping[str, Any]) -> bool:
    """Whether a server that did this for a newer token can't do anything older about the same thing any more."""
    return verb in _GATED or _takes(verb, args.get("want"))


class Doubts:
    """All of them, over the runs of one site. Thread-safe."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._doubts: list[Doubt] = []

    def add(self, server: str, verb: str, args: Mapping[str, Any], token: Token, within_seconds: float) -> None:
        """The request was sent with that token and that time; it may be done, or be done yet."""
        if verb in _SUBJECTS and args.get("want") not in _BESIDE:
            void_at = self._clock() + 2 * within_seconds + _MARGIN_SECONDS
            doubt = Doubt(*about(server, verb, args), str(args.get("want")), token, void_at)
            with self._lock:
                self._doubts = [kept for kept in self._doubts if kept.void_at > self._clock()] + [doubt]

    def done(self, server: str, verb: str, args: Mapping[str, Any], token: Token) -> None:
        """The server did this for that token: earlier requests about the same thing can't act any more."""
        if not settles(verb, args):
            return
        done = about(server, verb, args)
        with self._lock:
            self._doubts = [
                kept for kept in self._doubts if (kept.server, kept.verb, kept.subject) != done or kept.token >= token
            ]

    def seconds_until_clear(self, server: str, verb: str, args: Mapping[str, Any], token: Token) -> float:
        """How long to wait until nothing can act any more that conflicts with this; 0 when nothing can."""
        _, _, subject = about(server, verb, args)
        want, now = str(args.get("want")), self._clock()
        with self._lock:
            against = [
                doubt.void_at - now
                for doubt in self._doubts
                if (doubt.verb, doubt.subject) == (verb, subject) and _conflict(doubt, server, want, token)
            ]
        return max([0.0, *against])


def _conflict(doubt: Doubt, server: str, want: str, token: Token) -> bool:
    """On one server another wish; on two the same wish that only one may have. A repetition doesn't conflict.

    Nor does an address that is taken after all where it was let go: what was sent for an older token has been done
    before that, or isn't done any more.
    """
    if doubt.server == server:
        return doubt.want != want and not (_takes(doubt.verb, want) and doubt.token < token)
    return want in _EXCLUSIVE and doubt.want in _EXCLUSIVE | {"restarted"}


def _takes(verb: str, want: object) -> bool:
    return (verb, want) == ("address", "held")
