"""Asking others before anything moves: the other servers whether they see it, the witnesses whether we see them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime

from failover.decide.decision import Ask
from failover.decide.situation import Seen, Sighting
from failover.errors import ServerError
from failover.model import State, utc_now
from failover.monitor.pages import sighted, sighting_args, target
from failover.monitor.setup import Setup
from failover.monitor.sight import Asker, SiteSight
from failover.monitor.world import ServerNow

LEAST_SECONDS, MOST_SECONDS = 0.5, 1.5
"""An observer looks as long as the check itself does, within these bounds."""
WAY_SECONDS = 0.3
"""For the question and the answer on their way."""
MOST_OBSERVERS = 6


class Observers:
    """Gathers sightings and looks at witnesses, all at once, each within its time."""

    def __init__(
        self,
        setup: Setup,
        sight: SiteSight,
        asker: Asker,
        servers: Callable[[], Mapping[str, ServerNow]],
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._setup = setup
        self._sight = sight
        self._asker = asker
        self._servers = servers
        self._now = now
        self.sightings: dict[tuple[str, str], Sighting] = {}
        """The newest answer by check and observer."""
        self.witnesses: dict[str, Seen] = {
            name: Seen(name=name, seen=None, at=now(), reason="not looked at yet") for name in setup.witnesses
        }

    def in_order(self) -> tuple[Sighting, ...]:
        """All sightings, by check and as the config has the servers: no reason changes because one was quicker."""
        place = {name: at for at, name in enumerate(self._setup.machines)}
        return tuple(sorted(self.sightings.values(), key=lambda one: (one.check, place[one.observer])))

    def of(self, check: str) -> tuple[str, ...]:
        """The servers that can be asked whether they see what a check looks at."""
        probe = self._setup.checks[check]
        if sighting_args(probe, self._sight) is None:
            return ()
        judged = target(probe, self._sight)
        names = [name for name in self._setup.machines if name != judged]
        reachable = self._servers()
        names.sort(key=lambda name: reachable[name].reachable is not True)  # those that answer come first
        return tuple(names[:MOST_OBSERVERS])

    async def ask(self, asks: tuple[Ask, ...], witnesses: tuple[str, ...]) -> None:
        """Ask all of them at once; returns when the last has answered or has had its time."""
        sightings = [self._sighting(ask.check, observer) for ask in asks for observer in ask.observers]
        async with asyncio.TaskGroup() as group:
            for work in (*sightings, *(self.look_at(name) for name in witnesses)):
                group.create_task(work)

    async def look_at(self, name: str) -> None:
        """Look at one witness."""
        reading = await self._setup.witnesses[name].take(name, self._sight)
        self.took(name, reading.state, reading.reason, reading.at)

    def took(self, name: str, state: State, reason: str, at: datetime) -> None:
        """A look at a witness was taken, on its schedule or now."""
        seen = {State.UP: True, State.DOWN: False, State.UNKNOWN: None}[state]
        self.witnesses[name] = Seen(name=name, seen=seen, at=at, reason=reason)

    async def _sighting(self, check: str, observer: str) -> None:
        known = self._servers()[observer]
        seen: bool | None = None
        if known.reachable is False:
            reason = f"{observer} can't be asked: {known.reason}"
        else:
            probe = self._setup.checks[check]
            seconds = min(max(LEAST_SECONDS, probe.timeout), MOST_SECONDS)
            try:
                args = sighting_args(probe, self._sight) or {}
                answer = await self._asker.ask(observer, "see", seconds + WAY_SECONDS, **args, timeout_seconds=seconds)
                seen, reason = sighted(probe, answer), str(answer.get("reason", ""))
            except ServerError as error:
                reason = error.sentence
        self.sightings[check, observer] = Sighting(
            observer=observer, check=check, seen=seen, at=self._now(), reason=reason
        )
