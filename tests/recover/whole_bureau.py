"""A whole bureau: six servers in memory, three plans, and the monitor that decides which of them runs, and when.

Everything that judges, tells and acts is the daemon's own: :class:`failover.monitor.monitor.Monitor`, its situations,
its judge, its book of incidents, the runner and the journal. Only the servers, the looks at them and the time are toys;
what the daemon does in tasks and threads is done here in turn, a round a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from failover.errors import FailoverError
from failover.journal import Journal
from failover.journal.queries import RunView
from failover.journal.site_view import SiteView
from failover.model import Cause, Event, Reading, RunKind, RunState
from failover.monitor.monitor import Monitor
from failover.monitor.scenes import Scenes
from failover.monitor.sight import SiteSight
from failover.monitor.standbys import StandbyKeeper
from failover.monitor.tell import message_of
from failover.probes.base import Probe
from failover.recover.copies import Copies
from failover.recover.plan import Plan
from failover.recover.runner import Runner
from failover.recover.scene import Scene
from tests.recover.bureau import LIN, LeftWaiting
from tests.recover.toy_fence import ToyFence
from tests.recover.whole_servers import SERVERS, WholeServer, WholeWorld
from tests.recover.whole_site import SITE, the_setup

QUIET_ROUNDS = 8
"""Rounds in which no run begins, after which nothing more is expected of the daemon by itself."""
MOST_ROUNDS = 60


class ToyScenes(Scenes):
    """Scenes whose looks are the toy world's, taken in the run's own turn."""

    world: WholeWorld

    def scene(self, role: str, kind: RunKind) -> Scene:
        return replace(super().scene(role, kind), now=self.world.now)

    def _take(self, probe: Probe, role: str, check: str, server: str) -> Reading:
        return self.world.check(check, server)


class WholeBureau:
    """Servers, journal, runner and monitor of one bureau."""

    def __init__(self, path: Path, *, fences: bool = True) -> None:
        self.world = WholeWorld()
        for _ in range(20):
            self.world.save(self.world.hosts["wcm"], f"row {len(self.world.written)}")
        self.world.backup(hours_ago=7)
        for _ in range(5):
            self.world.save(self.world.hosts["wcm"], f"row {len(self.world.written)}")
        self.servers: dict[str, Any] = {name: WholeServer(self.world, name) for name in SERVERS}
        if fences:
            self.servers |= {f"fence:{name}": ToyFence(self.world, name) for name in SERVERS}
        self.journal = Journal.open(path / "journal.db", now=self.world.now, ballast_bytes=0)
        self.journal.begin_epoch()
        self.setup = the_setup(self.world, self.servers)
        self.view = SiteView(SITE, {role: its.home for role, its in self.setup.roles.items()})
        self.world.on_wait = self._leave_waiting
        self.looks_left = 20
        self._noticed: dict[str, datetime] = {}
        self.heard = 0
        """The number of the newest event that the monitor was told."""
        self.monitor: Monitor
        self.runner: Runner

    # the daemon ------------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Start the daemon, and let it see that all is well."""
        sight = SiteSight(self.setup, lambda: self.view.holders, self, lambda: None)  # type: ignore[arg-type]
        scenes = ToyScenes(
            self.setup, sight, lambda: self.view.holders, lambda check: self.monitor.checks.newest(check),
            self._silent_since, asyncio.get_running_loop(), Copies(),
            swap=self.view.databases.swaps.get,
        )  # fmt: skip
        scenes.world = self.world
        self.runner = Runner(
            SITE,
            self.journal,
            scenes.scene,
            lambda: self.setup.plans,
            clock=self.world,
            spawn=lambda work, _name: work(),
        )
        self.monitor = Monitor(
            self.setup, self.journal, self.view, self, sight, self, scenes, self, now=self.world.now  # type: ignore[arg-type]
        )  # fmt: skip
        self.standbys = StandbyKeeper(self.setup, self.view, self, clock=self.world.monotonic, now=self.world.now)  # type: ignore[arg-type]
        await self.rounds(4)
        await self.ahead()

    def _silent_since(self, server: str) -> datetime | None:
        """As :meth:`Monitor.silent_since`; what falls silent in mid-run is noticed when the run asks."""
        reached = self.world.hosts[server].on and self.world.reach("monitor", server)
        if reached:
            self._noticed.pop(server, None)
            return None
        return self.monitor.silent_since(server) or self._noticed.setdefault(server, self.world.now())

    def close(self) -> None:
        self.monitor.readiness.close()
        self.journal.close()

    async def ask(self, server: str, verb: str, within_seconds: float, **args: Any) -> Any:
        """As :class:`failover.monitor.sight.Asker`."""
        return self.servers[server].ask(verb, within_seconds=within_seconds, **args)

    def write(self, kind: str, data: Any, *, by: str = "daemon", run: int | None = None) -> Future[Event | None]:
        """As :class:`failover.monitor.scribe.Scribe`."""
        return _done(
            lambda: self.journal.append(kind, site=SITE, run=run, by=by, data=data() if callable(data) else data)
        )

    @property
    def under_way(self) -> RunView | None:
        """As :class:`failover.monitor.starts.Starts`: a run that waits for a person keeps the site busy."""
        return next((run for run in self.view.runs.unfinished if run.kind is not RunKind.AHEAD), None)

    def recover(self, plan: str, cause: Cause) -> Future[RunView | None]:
        """As :class:`failover.monitor.starts.Starts`; the run is over, or waits for a person, when this returns."""
        return _done(lambda: self._carried(lambda: self.runner.start(plan, RunKind.RECOVER, cause)))

    def keep(self, name: str, plan: Plan, kind: RunKind, cause: Cause) -> Future[RunView | None]:
        """As :class:`failover.monitor.starts.Starts`."""
        return _done(lambda: self._carried(lambda: self.runner.keep(name, plan, kind, cause)))

    def _carried(self, work: Callable[[], RunView | None]) -> RunView | None:
        self.looks_left = 20
        try:
            return work()
        except LeftWaiting:
            return None

    def _leave_waiting(self, _seconds: float) -> None:
        """Runs are carried out in the test's own thread: one that waits for a person is left after some looks."""
        newest = self.journal.events(kinds=["run.opened", "run.waiting", "run.resumed"], newest_first=True, limit=1)
        if newest and newest[0].kind == "run.waiting":
            self.looks_left -= 1
            if self.looks_left == 0:
                raise LeftWaiting

    async def hear(self) -> None:
        """Let the monitor hear what the journal has, and what comes of that."""
        for _ in range(20):
            await asyncio.sleep(0)
            events = self.journal.events(after=self.heard)
            if not events:
                return
            self.heard = events[-1].seq
            for event in events:
                self.monitor._heard(event)

    async def round(self, seconds: float = 1.0) -> None:
        """Look at everything, decide, act, and ask whether the plans would work where that may have changed."""
        began = self.world.time
        for name, probe in self.setup.checks.items():
            holder = probe.server or self.view.holders[str(probe.role)]
            self.monitor.checks.took(name, self.world.check(name, holder))
        for name in SERVERS:
            await self.monitor.world.look(name)
        await self.monitor.observers.look_at("gateway")
        await self.hear()
        await self.monitor.judge.decide()
        await self.hear()
        if self.monitor.readiness._soon.is_set():
            self.monitor.readiness._soon.clear()
            for plan in self.setup.plans:
                await self.monitor.readiness._ask(plan)
            await self.hear()
        for duty in self.standbys._duties if self.monitor.standbys._soon.is_set() else ():
            await self.standbys._look(duty)
        self.monitor.standbys._soon.clear()
        await self.hear()
        self.world.editors_work("round")
        self.world.pass_time(max(0.0, began + seconds - self.world.time))

    async def rounds(self, count: int, seconds: float = 1.0) -> None:
        for _ in range(count):
            await self.round(seconds)

    async def settle(self) -> None:
        """Rounds until the daemon has begun nothing for a while, and then what it does ahead of time."""
        quiet = 0
        for _ in range(MOST_ROUNDS):
            before = self._runs_begun()
            await self.round()
            quiet = quiet + 1 if self._runs_begun() == before else 0
            if quiet >= QUIET_ROUNDS:
                break
        await self.ahead()

    def _runs_begun(self) -> int:
        return len(self.journal.events(kinds=["run.opened", "run.resumed"]))

    async def ahead(self) -> None:
        """What the calendar has done every few minutes: content copied and backups restored on the standbys."""
        for number in range(len(self.monitor.ahead._contents)):
            await self.monitor.ahead._copy(number)
        for number in range(len(self.monitor.ahead._databases)):
            await self.monitor.ahead._restore(number)
        await self.hear()

    async def say(self, word: str) -> None:
        """A person has gone to see, and confirms it; the run that waits goes on."""
        run = self.under_way
        assert run is not None, "no run waits for a word"
        self.runner.word(run.number, word, LIN)
        self._carried(lambda: self._taken_up())
        await self.hear()

    def _taken_up(self) -> None:
        self.runner.recover_unfinished()

    # what happened ---------------------------------------------------------------------------------------------

    def moves(self, after: int = 0) -> list[str]:
        """Every role that moved since event ``after``, in order, as ``web moves to web-backup``."""
        moved = self.journal.events(kinds=["role.moved"], after=after)
        return [f"{event.data['role']} moves to {event.data['to']}" for event in moved]

    def runs(self, after: int = 0) -> Iterator[RunView]:
        """Every run that moved a role, or tried to, since event ``after``."""
        for event in self.journal.events(kinds=["run.opened"], after=after):
            run = self.view.runs.by_number[int(event.run or 0)]
            if run.kind is not RunKind.AHEAD:
                yield run

    def state_of(self, number: int) -> RunState:
        """How far a run has come."""
        return self.view.runs.by_number[number].state

    def told(self, after: int = 0) -> list[str]:
        """All that people are told, or find in ``failover status`` and ``runs show``, since event ``after``."""
        found: list[str] = []
        for event in self.journal.events(after=after):
            run = self.view.runs.by_number.get(event.run) if event.run is not None else None
            message = message_of(event, str(run.kind) if run is not None else None)
            if message is not None:
                found += [message.title, message.text]
            if event.kind == "decision.made":
                found.append(str(event.data["reason"]))
            if event.kind == "run.noted" and run is not None and run.kind is not RunKind.AHEAD:
                found.append(str(event.data["text"]))
        return found


def _done(work: Callable[[], Any]) -> Future[Any]:
    future: Future[Any] = Future()
    try:
        future.set_result(work())
    except FailoverError as error:
        future.set_exception(error)
    return future
