"""Failures, orders, crashes and late answers in any order: hypothesis looks for a way to break an invariant.

I1: nobody ever shares the address. I9: a run is never forgotten. I10: what comes back doesn't take the address.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from failover.errors import FailoverError
from failover.model import RunKind, RunState
from failover.recover import builtin
from tests.recover.bureau import DAEMON, LIN, MOST_CHANGES, WWW, Bureau, LeftWaiting
from tests.recover.test_crashes import Tripwire, WiredJournal
from tests.recover.toys import Killed

WEBS = st.sampled_from(["web", "web-backup"])
FATES = st.sampled_from(["executed", "lost", "late", "unreachable"])


class AnyOrder(RuleBasedStateMachine):
    """The bureau, and everything that can happen to it."""

    def __init__(self) -> None:
        super().__init__()
        memory = Path("/dev/shm")
        self.folder = Path(mkdtemp(dir=memory if memory.is_dir() else None))

    @initialize(fence=st.booleans())
    def begin(self, fence: bool) -> None:
        self.bureau = Bureau(self.folder, fence=fence)

    def teardown(self) -> None:
        if hasattr(self, "bureau"):
            self.bureau.kill_daemon()
        shutil.rmtree(self.folder)

    def _let(self, work: Any) -> None:
        """Do what a person or the daemon asks for; they may be told that it can't be."""
        try:
            work()
        except (LeftWaiting, FailoverError):
            pass
        except Killed:
            self._restart()

    def _restart(self) -> None:
        self.bureau.wrap = lambda journal: journal
        self.bureau.world.at_call = lambda _where: None
        try:
            self.bureau.restart_daemon()
        except LeftWaiting:
            pass

    @property
    def world(self) -> Any:
        return self.bureau.world

    # what happens to the bureau --------------------------------------------------------------------------------

    @rule(name=WEBS)
    def nginx_breaks(self, name: str) -> None:
        self.world.hosts[name].broken.add("nginx")

    @rule(name=WEBS)
    def nginx_is_mended(self, name: str) -> None:
        self.world.hosts[name].broken.clear()

    @rule(name=WEBS)
    def power_fails(self, name: str) -> None:
        self.world.power_off(name)

    @rule(name=WEBS, boot_config=st.booleans())
    def it_boots(self, name: str, boot_config: bool) -> None:
        self.world.hosts[name].boot_config = {WWW: ("eth0", 24)} if boot_config else {}
        if not self.world.hosts[name].on:
            self.world.boot(name)

    @rule(pair=st.sampled_from([("monitor", "web"), ("monitor", "web-backup"), ("web", "web-backup"), ("db", "web")]))
    def a_link_is_cut(self, pair: tuple[str, str]) -> None:
        self.world.cut.add(pair)

    @rule()
    def links_heal(self) -> None:
        self.world.cut.clear()

    @rule(verb=st.sampled_from(["address", "content", "fence"]), fate=FATES)
    def the_next_request_meets_its_fate(self, verb: str, fate: str) -> None:
        if len(self.world.fates) < 3:
            self.world.fates.append((verb, fate))

    @rule(seconds=st.sampled_from([0.5, 3.0, 20.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    @rule(name=WEBS)
    def something_puts_the_address_back(self, name: str) -> None:
        """DHCP, networkd, a person: where it's parked it isn't heard (N9)."""
        host = self.world.hosts[name]
        if WWW in host.parked:
            host.held[WWW] = ("eth0", 24)
            self.world.changed()

    @rule(digest=st.sampled_from(["d2", "d3"]))
    def something_is_published(self, digest: str) -> None:
        self.bureau.publish(digest)

    # what the daemon and people do -----------------------------------------------------------------------------

    def _busy(self) -> bool:
        """A run that waits keeps the site busy, though here its thread was left."""
        return bool(self.bureau.runner._past.unfinished())

    @precondition(lambda self: not self._busy())
    @rule(force=st.booleans())
    def recover(self, force: bool) -> None:
        self._let(lambda: self.bureau.runner.start("web", RunKind.RECOVER, LIN if force else DAEMON, force=force))

    @precondition(lambda self: not self._busy())
    @rule()
    def switch(self) -> None:
        self._let(lambda: self.bureau.runner.start("web", RunKind.SWITCH, LIN))

    @rule(point=st.integers(0, 60), kind=st.sampled_from([RunKind.RECOVER, RunKind.SWITCH, RunKind.ROLLBACK]))
    def a_run_is_killed(self, point: int, kind: RunKind) -> None:
        wire = Tripwire(point)
        self.bureau.kill_daemon()
        self.bureau.wrap = lambda journal: WiredJournal(journal, wire)
        self.bureau.start_daemon()
        self.world.at_call = wire
        self._let(lambda: self.bureau.runner.recover_unfinished())
        if not wire.dead and not self._busy():
            self._let(lambda: self.bureau.runner.start("web", kind, LIN))
        self._restart()

    @precondition(lambda self: not self._busy())
    @rule(what=st.sampled_from(["park", "reassert", "ahead", "follow"]))
    def the_world_is_kept(self, what: str) -> None:
        plan, kind = {
            "park": (builtin.park("web", "www"), RunKind.KEEP),
            "reassert": (builtin.reassert("web", "www"), RunKind.KEEP),
            "ahead": (builtin.copy_ahead("web", self.bureau.content), RunKind.AHEAD),
            "follow": (builtin.follow("web", self.bureau.content), RunKind.AHEAD),
        }[what]
        self._let(lambda: self.bureau.runner.keep(what, plan, kind, DAEMON))

    @rule()
    def the_daemon_is_restarted(self) -> None:
        self._restart()

    def _open_runs(self) -> list[int]:
        numbers = [int(event.run or 0) for event in self.bureau.journal.events(kinds=["run.opened"])]
        return [number for number in numbers if self.bureau.end(number).state in (RunState.WAITING, RunState.STOPPED)]

    @precondition(lambda self: self._open_runs())
    @rule(then=st.sampled_from(["resume", "abort"]), word=st.booleans())
    def a_person_decides(self, then: str, word: bool) -> None:
        """They go and look first: the word is given only for a server that really is off."""
        number = self._open_runs()[-1]
        old = self.world.hosts[str(self.bureau.end(number).old)]
        if word and not old.on:
            self._let(lambda: self.bureau.runner.word(number, "off:web", LIN))
        self._let(lambda: getattr(self.bureau.runner, then)(number, LIN))

    # what must always be so ------------------------------------------------------------------------------------

    @invariant()
    def nobody_shares_the_address(self) -> None:
        if hasattr(self, "bureau"):
            assert not self.world.oracle.overlaps

    @invariant()
    def no_run_is_forgotten(self) -> None:
        if not hasattr(self, "bureau"):
            return
        for event in self.bureau.journal.events(kinds=["run.opened"]):
            run = self.bureau.end(int(event.run or 0))
            assert run.state.ended or run.state is RunState.WAITING, f"run {run.number} is {run.state}"
            assert len(run.changes) < MOST_CHANGES, f"run {run.number} goes on for ever"

    @invariant()
    def the_map_is_the_world_where_it_is_called_settled(self) -> None:
        if not hasattr(self, "bureau") or self.bureau.runner._past.unsettled("web") is not None:
            return
        assert self.bureau.holds in (self.bureau.stored, None)


AnyOrder.TestCase.settings = settings(
    max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestAnyOrder = AnyOrder.TestCase
