"""What every probe shares: its schedule and thresholds, the total deadline, and how a look becomes a reading.

A probe only looks: it returns what it saw, or raises :class:`~failover.errors.Unhealthy` or
:class:`~failover.errors.Undecidable`. :meth:`Probe.take` owns time and turns everything else that can happen into
``unknown``: a bug of ours is not their outage.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field

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

    async def ask(self, server: str, verb: str, within_seconds: float, **args: Any) -> dict[str, Any]:
        """The helper's answer. Raises the errors of :meth:`failover.servers.base.Server.ask`."""
        ...

    def own_fault(self) -> str | None:
        """Why this monitor can't be trusted to judge at the moment (loop lag, no file descriptors), or None."""
        ...


class Probe(BaseModel):
    """A check as the config writes it: what to look at, how often, and how many failures mean down.

    Subclasses add their ``kind`` and settings and implement :meth:`look`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    every: Span = Field(default=5.0, description="Time from one look to the next.")
    timeout: Span = Field(default=2.0, description="Total time that one look may take, from first packet to verdict.")
    fall: int = Field(default=3, ge=1, le=100, description="Failed looks in a row that mean down.")
    rise: int = Field(default=2, ge=1, le=100, description="Good looks in a row that mean up again.")
    confirm_every: Span = Field(
        default=0.2,
        description="After a failed look the next ones follow at this distance, so that down is known soon.",
    )
    role: str | None = Field(default=None, description="The role whose holder is looked at; `{holder}` is its address.")
    server: str | None = Field(default=None, description="The one server that is looked at, whatever role it has.")
    depends_on: tuple[str, ...] = Field(
        default=(), description="Checks whose failure explains a failure of this one: root cause before symptom."
    )
    fails_over: bool = Field(default=True, description="False: it alarms people and never starts a plan.")

    async def look(self, sight: Sight) -> Seen:
        """Look once. Raises Unhealthy when it's down, Undecidable when it can't tell."""
        raise NotImplementedError  # every kind has its own

    async def take(self, name: str, sight: Sight) -> Reading:
        """One bounded look as a reading of the check ``name``; never raises but for cancellation."""
        at, began = utc_now(), time.monotonic()
        phases: Mapping[str, float] = {}
        values: Mapping[str, float] = {}
        try:
            async with asyncio.timeout(self.timeout):
                seen = await self.look(sight)
            state, reason, phases, values = State.UP, seen.reason, seen.phases, seen.values
        except Unhealthy as error:
            state, reason, phases, values = State.DOWN, str(error), error.phases, error.values
        except TimeoutError:
            state, reason = State.DOWN, f"no complete answer within {self.timeout:g} s"
        except (Undecidable, ServerError) as error:
            state, reason = State.UNKNOWN, str(error)
        except Exception as error:  # noqa: BLE001 - a bug of ours is not their outage
            state, reason = State.UNKNOWN, f"the probe itself failed: {type(error).__name__}: {error}"
        if state is State.DOWN and (fault := sight.own_fault()):
            state, reason = State.UNKNOWN, f"the monitor can't judge ({fault}); it saw: {reason}"
        return Reading(name, state, reason, at, time.monotonic() - began, phases, values)
