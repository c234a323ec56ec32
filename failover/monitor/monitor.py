"""One site's monitor: everything that looks, judges and keeps, wired together on the loop."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from failover.decide import incident
from failover.decide.health import Health
from failover.journal.journal import Journal
from failover.journal.site_view import SiteView
from failover.model import Event, Reading, RunKind, RunState, Standing, State, utc_now
from failover.monitor.addresses import AddressNow, judge
from failover.monitor.ahead import Ahead
from failover.monitor.backups import BackupKeeper
from failover.monitor.calendar import Calendar
from failover.monitor.checks import Checks
from failover.monitor.incidents import Book
from failover.monitor.judge import Judge
from failover.monitor.keep import Keeper
from failover.monitor.looks import Looks
from failover.monitor.observers import Observers
from failover.monitor.pages import target
from failover.monitor.ready import PlanReady, Readiness
from failover.monitor.scenes import Scenes
from failover.monitor.scribe import Scribe
from failover.monitor.setup import Setup
from failover.monitor.sight import Asker, SiteSight
from failover.monitor.situation import Situations
from failover.monitor.standbys import StandbyKeeper
from failover.monitor.starts import Starts
from failover.monitor.urgency import Urgency
from failover.monitor.world import ServerNow, World

log = logging.getLogger(__name__)

HOUSEKEEPING_SECONDS = 5.0
STUCK_SECONDS = 30.0
_RUN_EVENTS: Mapping[str, incident.Event] = {
    "run.opened": incident.Event.RUN_STARTED,
    "run.resumed": incident.Event.RUN_STARTED,
    "run.waiting": incident.Event.RUN_ASKED,
    "run.word": incident.Event.RUN_ANSWERED,
    "plan.acknowledged": incident.Event.ACKNOWLEDGED,
}


class Monitor:
    """Watches one site. Everything here happens on the loop; what blocks is handed to threads."""

    def __init__(
        self,
        setup: Setup,
        journal: Journal,
        view: SiteView,
        starts: Starts,
        sight: SiteSight,
        asker: Asker,
        scenes: Scenes,
        scribe: Scribe,
        *,
        before: Monitor | None = None,
        looked: Callable[[Reading], None] = lambda _reading: None,
        late: Callable[[float], None] = lambda _seconds: None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.setup = setup
        self.view = view
        self._journal = journal
        self._sight = sight
        self._scribe = scribe
        self._now = now
        self._loop = asyncio.get_running_loop()
        self.checks: Checks = Checks(
            setup, sight, scribe, self._verdict_changed, self._news,
            before=before.checks if before else None, looked=looked, late=late, now=now,
        )  # fmt: skip
        self._urgency = Urgency(setup, view, sight, self.checks.healths)
        self._judging_since: float = before._judging_since if before else time.monotonic()
        self.world = World(setup, asker, self._server_looked, now)
        self.addresses: tuple[AddressNow, ...] = ()
        self._moved_at: datetime | None = None
        self.observers = Observers(setup, sight, asker, lambda: self.world.servers, now)
        self.book = Book(journal, scribe, view.incidents.open, setup.settle)
        self.readiness = Readiness(
            setup, scenes, view, lambda: self.world.servers, self.checks.newest, self._ready_changed
        )
        self._situations = Situations(
            setup, view, sight, self.observers, self.readiness, self.checks.healths,
            lambda: self.world.servers, self.world.hangs_since, lambda: self.addresses,
        )  # fmt: skip
        self.judge = Judge(self._situation, self.observers, scribe, starts, self.book, now)
        self.keeper = Keeper(setup, view, scribe, starts)
        self.standbys = StandbyKeeper(setup, view, starts, now=now)
        self._calendar = Calendar(scribe.write)
        self.ahead = Ahead(setup, lambda: view.holders, starts, self._calendar)
        kept = before.backups if before else None
        self.backups: BackupKeeper = BackupKeeper(setup, view, starts, asker, self._calendar, kept, now)
        self._witness_looks = Looks(setup.witnesses, sight, self._witness_took)
        self._unsubscribe: Callable[[], None] | None = None

    async def run(self) -> None:
        """Watch until cancelled. Any part's end is the end of all: systemd starts a monitor that broke anew."""
        self._unsubscribe = self._journal.subscribe(self._tell_loop)
        self.view.catch_up(self._journal)
        self.backups.recall(self._journal)
        try:
            async with asyncio.TaskGroup() as group:
                parts = (self.checks.looks, self._witness_looks, self.world, self.readiness, self.judge, self._calendar)
                for part in (*parts, self.standbys):
                    group.create_task(part.run(), name=f"{type(part).__name__} of {self.setup.site}")
                group.create_task(self._keep_house(), name=f"housekeeping of {self.setup.site}")
        finally:
            self._unsubscribe()
            self.readiness.close()

    def silent_since(self, server: str) -> datetime | None:
        """Since when a server gives no sign of life on any path; any thread may ask."""
        if server not in self.world.servers or (since := self.world.silent_since(server)) is None:
            return None
        return self.checks.silent_since(server, since)

    def witnesses_seen(self) -> dict[str, bool | None]:
        """Whether each witness was seen lately, None where it wasn't looked at; any thread may ask."""
        lately, now = self.setup.limits.witness_seconds, self._now()
        return {
            name: one.seen if (now - one.at).total_seconds() <= lately else None
            for name, one in dict(self.observers.witnesses).items()
        }

    def stuck(self) -> list[str]:
        """What should have moved on long ago; empty while the monitor does its work."""
        late = [f"check {name} doesn't look" for name in (*self.checks.looks.stuck(), *self._witness_looks.stuck())]
        if time.monotonic() - self.judge.decided_at > STUCK_SECONDS:
            late.append("nothing is decided any more")
        return late

    def decide_soon(self) -> None:
        """Something changed that only others know of; any thread may call."""
        self._loop.call_soon_threadsafe(self.judge.news)

    def _tell_loop(self, event: Event) -> None:
        try:
            self._loop.call_soon_threadsafe(self._heard, event)
        except RuntimeError:
            pass  # the loop has ended, and with it all that would want to know

    def _situation(self, now: datetime) -> Any:
        if self._sight.own_fault():
            self._judging_since = time.monotonic()
        return self._situations.now(now, time.monotonic() - self._judging_since)

    def _news(self) -> None:
        self.judge.news()

    def _verdict_changed(self, health: Health) -> None:
        name = health.check
        if health.standing in (Standing.SUSPECT, Standing.DOWN):
            self.world.soon(target(self.setup.checks[name], self._sight))
        if health.standing is Standing.DOWN:
            self.book.failed(name, self._urgency.of(name, self._now()), f"{name} is down: {health.reason}", self._now())
        elif health.standing is Standing.UP:
            self.book.happened(name, incident.Event.HEALED, health.reason, self._now())
        self.judge.news()

    def _witness_took(self, name: str, reading: Reading) -> float:
        self.observers.took(name, reading.state, reading.reason, reading.at)
        probe = self.setup.witnesses[name]
        return probe.every if reading.state is State.UP else min(probe.every, 1.0)

    def _server_looked(self, before: ServerNow, now: ServerNow) -> None:
        self._judge_addresses()
        self.keeper.looked(
            tuple(one for one in self.addresses if one.expected == now.name or now.name in one.held_by), self._now()
        )
        if before.reachable is not now.reachable:
            self.judge.news()
            self.readiness.ask_soon()
            self.standbys.look_soon(now.name)
            if now.reachable:
                self.ahead.copy_soon()
        about = f"server {now.name}"
        if now.key_changed:
            self.book.failed(about, "page", now.reason, self._now())
        elif now.reachable:
            self.book.happened(about, incident.Event.HEALED, now.reason, self._now())

    def _ready_changed(self, plan: str, found: PlanReady) -> None:
        why = "; ".join(found.texts("stops") or found.texts("loss"))
        log.info("plan %s is %s%s", plan, found.stands, f": {why}" if why else "")
        if (data := found.event_data(plan)) is not None:
            self._scribe.write("plan.forecast", data)
        self.judge.news()

    def _heard(self, event: Event) -> None:
        self.view.apply(event)
        if event.site not in ("", self.setup.site):
            return
        self._note_run(event)
        self.backups.heard(event)
        if event.kind == "role.moved":
            self.checks.look_anew(str(event.data["role"]), moved=True)
        if event.kind == "run.ended":
            self._run_ended(event)
        if event.kind in ("backup.made", "backup.verified"):
            self.ahead.restore_soon()
        if event.kind not in ("verdict.changed", "decision.made", "plan.forecast"):
            self.judge.news()

    def _run_ended(self, event: Event) -> None:
        """Ask everybody anew: what was said while a run moved things is neither true any more nor drift."""
        run = self.view.runs.by_number.get(event.run) if event.run is not None else None
        if run is not None and run.kind is RunKind.AHEAD:
            self.ahead.ended(run)
            self.backups.ended(run)
        elif run is not None:
            self._moved_at = event.at
            self._judge_addresses()
            self.ahead.copy_soon()
            if run.old is not None:
                self.standbys.look_soon(run.old)
            healed = run.kind is RunKind.RECOVER and run.state is RunState.DONE
            if healed and run.role and self.view.holders.get(run.role) == run.old:
                self.checks.look_anew(run.role, moved=False)
        self.backups.look_soon()
        self.readiness.ask_soon()
        for name in self.world.servers:
            self.world.soon(name)

    def _judge_addresses(self) -> None:
        self.addresses = judge(self.setup, self.view.holders, self.world.servers, self._now(), self._moved_at)

    def _note_run(self, event: Event) -> None:
        """A run, or a person's acknowledgement, moves the incidents that its plan is for."""
        run = self.view.runs.by_number.get(event.run) if event.run is not None else None
        name = str(event.data.get("plan") or (run.plan if run else ""))
        plan, edge = self.setup.plans.get(name), self._run_edge(event)
        if plan is None or edge is None:
            return
        why = str(event.data.get("reason") or event.data.get("why") or "")
        for about in (f"plan {name}", *(plan.condition.checks if plan.condition else ())):
            self.book.happened(about, edge, why, self._now(), by=event.by)

    def _run_edge(self, event: Event) -> incident.Event | None:
        run = self.view.runs.by_number.get(event.run) if event.run is not None else None
        if run is not None and not run.kind.moves:
            return None
        if event.kind == "run.ended":
            done = event.data["state"] == "done"
            return incident.Event.RUN_DONE if done else incident.Event.RUN_GAVE_UP
        return _RUN_EVENTS.get(event.kind)

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(HOUSEKEEPING_SECONDS)
            now = self._now()
            self.book.settle(now)
            for window in self.view.maintenance.over(now):
                self._scribe.write("maintenance.ended", {"about": window.about, "why": "its time is over"})
