"""One site, living: its servers, its runner, and its monitor, which a reload replaces while a run goes on."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Executor

from failover.journal.journal import Journal
from failover.journal.site_view import SiteView
from failover.metrics import Tally
from failover.model import RunKind
from failover.monitor.backups import why_frozen
from failover.monitor.crier import Crier
from failover.monitor.monitor import Monitor
from failover.monitor.scenes import Scenes
from failover.monitor.scribe import Scribe
from failover.monitor.setup import Setup
from failover.monitor.sight import Asker, SiteSight
from failover.monitor.starts import Starts
from failover.recover.copies import Copies
from failover.recover.databases import Restores
from failover.recover.runner import Runner
from failover.recover.scene import Scene

log = logging.getLogger(__name__)


class House:
    """Holds the parts of one site together. Made and driven on the loop; the runner's callables come from threads."""

    def __init__(
        self,
        title: str,
        setup: Setup,
        journal: Journal,
        crier: Crier,
        tally: Tally,
        own_fault: Callable[[], str | None],
        fail: Callable[[BaseException], None],
        threads: Executor,
    ) -> None:
        self.name = setup.site
        self.title = title
        self._setup = setup
        self._journal = journal
        self._crier = crier
        self._tally = tally
        self._own_fault = own_fault
        self._fail = fail
        self._threads = threads
        self.copies = Copies()
        self.restores = Restores()
        self._scribe = Scribe(
            journal, setup.site, lambda kind, data, error: crier.unwritten(kind, setup.site, data, error)
        )
        self.runner = Runner(setup.site, journal, self._scene, lambda: self._setup.plans)
        self._starts = Starts(self.runner, setup.site)
        self._task: asyncio.Task[None] | None = None
        self._scenes: Scenes
        self._asker: Asker
        self.monitor: Monitor

    @property
    def setup(self) -> Setup:
        """What it works with now."""
        return self._setup

    @property
    def view(self) -> SiteView:
        """What the journal says of the site."""
        return self.monitor.view

    def caught_up(self, within_seconds: float = 1.0) -> bool:
        """Wait, in any thread but the loop's, until the view has all that is written now: whoever changed something
        and asks what is has to find it. False where that takes longer; the answer is then as old as the view."""
        head, deadline = self._journal.head[0], time.monotonic() + within_seconds
        while self.view.seen < head:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.002)
        return True

    async def open(self) -> None:
        """Begin to watch."""
        await self._furnish(self._setup, None)
        self._crier.catch_up(self.view)

    async def refurnish(self, title: str, setup: Setup) -> None:
        """Watch with another config. A run that is under way keeps what it began with."""
        before = self.monitor
        await self._leave()
        self.title = title
        await self._furnish(setup, before)

    async def close(self) -> None:
        """Stop watching. Runs are the caller's to end, before."""
        self._starts.close()
        await self._leave()
        await asyncio.get_running_loop().run_in_executor(self._threads, self._scribe.close)

    def scene(self, role: str, kind: RunKind) -> Scene:
        """The world as a run of this site would see it now."""
        return self._scenes.scene(role, kind)

    _scene = scene

    async def _furnish(self, setup: Setup, before: Monitor | None) -> None:
        loop = asyncio.get_running_loop()
        view = SiteView(setup.site, {role: its.home for role, its in setup.roles.items()})
        await loop.run_in_executor(self._threads, view.catch_up, self._journal)
        self._setup = setup
        self._asker = Asker(setup)
        sight = SiteSight(setup, lambda: view.holders, self._asker, self._own_fault)
        self._scenes = Scenes(
            setup,
            sight,
            lambda: view.holders,
            lambda check: self.monitor.checks.newest(check),
            lambda server: self.monitor.silent_since(server),
            loop,
            self.copies,
            lambda: self.monitor.witnesses_seen(),
            self.restores,
            lambda role: view.databases.swaps.get(role),
            lambda: why_frozen(view),
            lambda server: self.monitor.world.met(server),
        )
        self._tally.expect(setup.site, setup.checks, setup.plans)
        self.monitor = Monitor(
            setup,
            self._journal,
            view,
            self._starts,
            sight,
            self._asker,
            self._scenes,
            self._scribe,
            before=before,
            looked=lambda reading: self._tally.looked(setup.site, reading),
            late=lambda seconds: self._tally.late(setup.site, seconds),
        )
        self._task = asyncio.create_task(self.monitor.run(), name=f"monitor of {setup.site}")
        self._task.add_done_callback(self._ended)

    async def _leave(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task], timeout=10)
            self._asker.close()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task is self._task and not task.cancelled():
            self._fail(task.exception() or RuntimeError(f"the monitor of {self.name} ended"))
