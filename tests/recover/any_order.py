"""What can happen to any pair of servers, in any order: power, links, requests held up, kill -9, people.

A machine for one role adds what can happen to that, and what must never be so. Every state machine here shrinks what
it finds to the shortest story.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from failover.errors import FailoverError
from failover.model import RunKind, RunState
from tests.recover.bureau import DAEMON, LIN, LeftWaiting
from tests.recover.test_crashes import Tripwire, WiredJournal
from tests.recover.toy_world import Killed

MOST_CHANGES = 60
"""More than any run comes to that gets somewhere, however often it is resumed."""
FATES = st.sampled_from(["executed", "lost", "late", "unreachable", "failed:trouble"])
WHICH = st.integers(0, 1)
"""The one at home, or its backup."""

LIMITS = settings(max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck))


class AnyOrder(RuleBasedStateMachine):
    """A bureau, and everything that can happen to it."""

    role: ClassVar[str]
    pair: ClassVar[tuple[str, str]]
    links: ClassVar[tuple[tuple[str, str], ...]]
    """Those that can be cut."""
    verbs: ClassVar[tuple[str, ...]]
    """Those whose requests can be held up or lost."""
    bureau: Any

    def __init__(self) -> None:
        super().__init__()
        memory = Path("/dev/shm")
        self.folder = Path(mkdtemp(dir=memory if memory.is_dir() else None))

    def teardown(self) -> None:
        if self._begun:
            self.bureau.kill_daemon()
        shutil.rmtree(self.folder)

    def always(self, where: str) -> None:
        """What goes on before and after every request."""

    def restart(self) -> None:
        """Start the daemon again; a run of it that waits for a person is left."""
        try:
            self.bureau.restart_daemon()
        except LeftWaiting:
            pass

    def words(self, old: Any) -> tuple[str, ...]:
        """What a person can truly say who went and looked at the old server."""
        return () if old.on else (f"off:{self.pair[0]}",)

    @property
    def _begun(self) -> bool:
        return hasattr(self, "bureau")

    @property
    def world(self) -> Any:
        return self.bureau.world

    def busy(self) -> bool:
        """A run that waits keeps the site busy, though here its thread was left."""
        return bool(self.bureau.runner._past.unfinished())

    def let(self, work: Callable[[], object]) -> None:
        """Do what a person or the daemon asks for; they may be told that it can't be."""
        try:
            work()
        except (LeftWaiting, FailoverError):
            pass
        except Killed:
            self._restart()

    def _restart(self) -> None:
        self.bureau.wrap = lambda journal: journal
        self.world.at_call = self.always
        self.restart()

    # what happens ----------------------------------------------------------------------------------------------

    @rule(which=WHICH)
    def power_fails(self, which: int) -> None:
        self.world.power_off(self.pair[which])

    @rule(which=WHICH)
    def it_boots(self, which: int) -> None:
        if not self.world.hosts[self.pair[which]].on:
            self.boot(self.pair[which])

    def boot(self, name: str) -> None:
        """As that role's servers do."""
        self.world.boot(name)

    @rule(which=st.integers(0, 3))
    def a_link_is_cut(self, which: int) -> None:
        self.world.cut.add(self.links[which % len(self.links)])

    @rule()
    def links_heal(self) -> None:
        self.world.cut.clear()

    @rule(which=st.integers(0, 3), fate=FATES)
    def the_next_request_meets_its_fate(self, which: int, fate: str) -> None:
        if len(self.world.fates) < 3:
            self.world.fates.append((self.verbs[which % len(self.verbs)], fate))

    @rule(seconds=st.sampled_from([0.5, 3.0, 20.0, 600.0, 20_000.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    # what the daemon and people do -----------------------------------------------------------------------------

    @precondition(lambda self: not self.busy())
    @rule(force=st.booleans())
    def recover(self, force: bool) -> None:
        cause = LIN if force else DAEMON
        self.let(lambda: self.bureau.runner.start(self.role, RunKind.RECOVER, cause, force=force))

    @precondition(lambda self: not self.busy())
    @rule()
    def switch(self) -> None:
        self.let(lambda: self.bureau.runner.start(self.role, RunKind.SWITCH, LIN))

    @precondition(lambda self: not self.busy())
    @rule()
    def roll_back(self) -> None:
        self.let(lambda: self.bureau.runner.start(self.role, RunKind.ROLLBACK, LIN, force=True))

    @rule(point=st.integers(0, 90), kind=st.sampled_from([RunKind.RECOVER, RunKind.SWITCH, RunKind.ROLLBACK]))
    def a_run_is_killed(self, point: int, kind: RunKind) -> None:
        wire = Tripwire(point)
        self.bureau.kill_daemon()
        self.bureau.wrap = lambda journal: WiredJournal(journal, wire)
        self.bureau.start_daemon()

        def at_call(where: str) -> None:
            self.always(where)
            wire(where)

        self.world.at_call = at_call
        self.let(lambda: self.bureau.runner.recover_unfinished())
        if not wire.dead and not self.busy():
            self.let(lambda: self.bureau.runner.start(self.role, kind, LIN))
        self._restart()

    @rule()
    def the_daemon_is_restarted(self) -> None:
        self._restart()

    def _open_runs(self) -> list[int]:
        numbers = [int(event.run or 0) for event in self.bureau.journal.events(kinds=["run.opened"])]
        return [number for number in numbers if self.bureau.end(number).state in (RunState.WAITING, RunState.STOPPED)]

    @precondition(lambda self: self._open_runs())
    @rule(then=st.sampled_from(["resume", "abort"]), word=st.booleans())
    def a_person_decides(self, then: str, word: bool) -> None:
        number = self._open_runs()[-1]
        if word:
            for said in self.words(self.world.hosts[str(self.bureau.end(number).old)]):
                self.let(lambda said=said: self.bureau.runner.word(number, said, LIN))  # type: ignore[misc]  # bound now
        self.let(lambda: getattr(self.bureau.runner, then)(number, LIN))

    # what must always be so ------------------------------------------------------------------------------------

    @invariant()
    def no_run_is_forgotten(self) -> None:
        if not self._begun:
            return
        for event in self.bureau.journal.events(kinds=["run.opened"]):
            run = self.bureau.end(int(event.run or 0))
            assert run.state.ended or run.state is RunState.WAITING, f"run {run.number} is {run.state}"
            assert len(run.changes) < MOST_CHANGES, f"run {run.number} goes on for ever"

    @invariant()
    def nobody_shares_anything(self) -> None:
        if self._begun:
            assert not self.world.oracle.overlaps
