"""What every probe shares: its schedule and thresholds, the total deadline, and how a look becomes a reading.

A probe only looks: it returns what it saw, or raises :class:`~failover.errors.Unhealthy` or
:class:`~failover.errors.Undecidable`. :meth:`Probe.take` owns time and turns everything else that can happen into
``unknown``: a bug of ours is not their outage.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict, Field

from failover.backups.settings import BackupSet
from failover.errors import ServerError, Undecidable, Unhealthy
from failover.model import Reading, Span, State, utc_now


@dataclass(frozen=True, slots=True)
class Seen:
    """What a probe saw when all was well."""

    reason: str
    phases: Mapping[str, float] = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)


class Sight(Protocol):
    """What a probe may use of the world: who holds a role, where a server is, and what its helper says."""

    def holder(self, role: str) -> str:
        """The server that holds ``role`` now."""
        ...

    def address_of(self, server: str) -> str:
        """The IP at which the monitor reaches ``server``."""
        ...

    def service_address(self, name: str) -> tuple[str, str | None]:
        """The IP of a service address of the config, and the name of the server that should answer for it now."""
        ...

    def backup_set(self, name: str) -> BackupSet:
        """The settings of a backup set of the config."""
        ...

    async def ask(self, server: str, verb: str, within_seconds: float, **args: Any) -> dict[str, Any]:
        """The helper's answer. Raises the errors of :meth:`failover.servers.base.Server.ask`."""
        ...

    def own_fault(self) -> str | None:
        """Why this monitor can't be trusted to judge at the moment (loop lag, no file descriptors), or None."""
        ...


class Track:
    """How far a look has come: the phase under way, the seconds of those before, and what was measured.

    It outlives the look, so that a look that ran out of time, or failed, still says where and with what in hand.
    """

    __slots__ = ("_since", "phase", "phases", "values")

    def __init__(self) -> None:
        self.phases: dict[str, float] = {}
        self.values: dict[str, float] = {}
        self.phase = ""
        self._since = 0.0

    def enter(self, phase: str) -> None:
        """The look is now in ``phase`` (``resolve connect tls processing transfer ask``); the one before has ended.

        A phase that is entered again, as after a redirect, adds to its seconds.
        """
        now = time.monotonic()
        if self.phase:
            self.phases[self.phase] = self.phases.get(self.phase, 0.0) + now - self._since
        self.phase, self._since = phase, now

    def leave(self) -> None:
        """No phase is under way."""
        self.enter("")


_TRACK: ContextVar[Track] = ContextVar("failover_probe_track")


def track() -> Track:
    """The track of the look under way; a fresh one for code that runs outside of a look."""
    try:
        return _TRACK.get()
    except LookupError:
        return Track()


_STUCK = {
    "resolve": "still looking up the name",
    "connect": "still connecting",
    "tls": "still in the TLS handshake",
    "processing": "connected, but no reply came",
    "transfer": "the reply had begun",
    "ask": "a server's helper hadn't answered",
}
NOT_THEIRS = frozenset({"resolve", "ask"})
"""Phases that end without an answer through no fault of what is looked at: its name server, or our session, hangs."""


class Probe(BaseModel):
    """A check as the config writes it: what to look at, how often, and how many failures mean down.

    Subclasses add their ``kind`` and settings and implement :meth:`look`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    about_monitor: ClassVar[bool] = False
    """True for a probe that looks at the monitor: the monitor's own fault is then its finding, not its excuse."""

    kind: str
    every: Span = Field(default=5.0, gt=0, description="Time from one look to the next.")
    timeout: Span = Field(
        default=2.0, gt=0, description="Total time that one look may take, from first packet to verdict."
    )
    fall: int = Field(default=3, ge=1, le=100, description="Failed looks in a row that mean down.")
    rise: int = Field(default=2, ge=1, le=100, description="Good looks in a row that mean up again.")
    confirm_every: Span = Field(
        default=0.2,
        gt=0,
        description="After a failed look the next ones follow at this distance, so that down is known soon.",
    )
    role: str | None = Field(default=None, description="The role whose holder is looked at; `{holder}` is its address.")
    server: str | None = Field(default=None, description="The one server that is looked at, whatever role it has.")
    depends_on: tuple[str, ...] = Field(
        default=(), description="Checks whose failure explains a failure of this one: root cause before symptom."
    )
    fails_over: bool = Field(default=True, description="False: it alarms people and never starts a plan.")

    async def look(self, sight: Sight) -> Seen:
        """Look once. Raises Unhealthy when it's down, Undecidable when it can't tell.

        Phases and values that it left on :func:`track` join those of its answer or its error.
        """
        raise NotImplementedError  # every kind has its own

    async def take(self, name: str, sight: Sight) -> Reading:
        """One bounded look as a reading of the check ``name``; never raises but for cancellation."""
        at, began = utc_now(), time.monotonic()
        done = Track()
        token = _TRACK.set(done)
        phases: Mapping[str, float] = {}
        values: Mapping[str, float] = {}
        deadline = asyncio.timeout(self.timeout)
        try:
            async with deadline:
                seen = await self.look(sight)
            state, reason, phases, values = State.UP, seen.reason, seen.phases, seen.values
        except Unhealthy as error:
            state, reason, phases, values = State.DOWN, str(error), error.phases, error.values
        except (Undecidable, ServerError) as error:
            state, reason = State.UNKNOWN, str(error)
        except Exception as error:  # noqa: BLE001 - a bug of ours is not their outage
            if isinstance(error, TimeoutError) and deadline.expired():
                state, reason = self._too_late(done.phase)
            else:
                state, reason = State.UNKNOWN, f"the probe itself failed: {type(error).__name__}: {error}"
        finally:
            _TRACK.reset(token)
        if state is State.DOWN and not self.about_monitor and (fault := sight.own_fault()):
            state, reason = State.UNKNOWN, f"the monitor can't judge ({fault}); it saw: {reason}"
        seconds = time.monotonic() - began
        done.leave()
        return Reading(name, state, reason, at, seconds, {**done.phases, **phases}, {**done.values, **values})

    def _too_late(self, phase: str) -> tuple[State, str]:
        where = f" ({_STUCK[phase]})" if phase in _STUCK else ""
        state = State.UNKNOWN if phase in NOT_THEIRS else State.DOWN
        return state, f"no complete answer within {self.timeout:g} s{where}"


async def ask(sight: Sight, server: str, verb: str, within_seconds: float, **args: Any) -> dict[str, Any]:
    """The helper's answer, on the track as a phase of its own: when time runs out in it, nothing is known.

    Raises:
        ServerError: as :meth:`failover.servers.base.Server.ask`; a reading turns it into ``unknown``.
    """
    done = track()
    done.enter("ask")
    answer = await sight.ask(server, verb, within_seconds, **args)
    done.leave()
    return answer
