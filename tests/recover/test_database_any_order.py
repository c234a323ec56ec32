"""Failures, backups, moves, crashes and writers in any order: hypothesis looks for a way to lose a row.

I7: no row that was written stands nowhere. I8: what serves came whole from a good backup. I9: no run is forgotten.
I11: nobody writes to the old database once the new one serves; one that came back only until it is parked.
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
from tests.recover.bureau import DAEMON, LIN, MOST_CHANGES, LeftWaiting
from tests.recover.database_bureau import DatabaseBureau
from tests.recover.test_crashes import Tripwire, WiredJournal
from tests.recover.toys import Killed

PAIR = st.sampled_from(["db", "db-backup"])
FAULTS = st.sampled_from(["", "", "truncated", "empty", "error: bad dump"])


class AnyOrder(RuleBasedStateMachine):
    """The bureau's databases, and everything that can happen to them."""

    def __init__(self) -> None:
        super().__init__()
        memory = Path("/dev/shm")
        self.folder = Path(mkdtemp(dir=memory if memory.is_dir() else None))

    @initialize(fence=st.booleans())
    def begin(self, fence: bool) -> None:
        self.bureau = DatabaseBureau(self.folder, fence=fence)
        self.world.at_call = self.bureau.always_writing

    def teardown(self) -> None:
        if hasattr(self, "bureau"):
            self.bureau.kill_daemon()
        shutil.rmtree(self.folder)

    @property
    def world(self) -> Any:
        return self.bureau.world

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
        self.world.at_call = self.bureau.always_writing
        self.bureau.restart()

    def _busy(self) -> bool:
        return bool(self.bureau.runner._past.unfinished())

    # what happens ------------------------------------------------------------------------------------------------

    @rule()
    def the_database_fails(self) -> None:
        self.bureau.down = True

    @rule()
    def it_is_mended(self) -> None:
        self.bureau.down = False

    @rule(name=PAIR)
    def power_fails(self, name: str) -> None:
        self.world.power_off(name)

    @rule(name=PAIR)
    def it_boots(self, name: str) -> None:
        if not self.world.hosts[name].on:
            self.bureau.boot(name)

    @rule(name=PAIR)
    def a_person_starts_its_database(self, name: str) -> None:
        self.world.hosts[name].services["postgresql"] = "active"
        self.bureau.returned.add(name)

    @rule(
        pair=st.sampled_from([("monitor", "db"), ("monitor", "db-backup"), ("db-backup", "third"), ("db", "db-backup")])
    )
    def a_link_is_cut(self, pair: tuple[str, str]) -> None:
        self.world.cut.add(pair)

    @rule()
    def links_heal(self) -> None:
        self.world.cut.clear()

    @rule(
        verb=st.sampled_from(["database", "backups", "service", "fence"]),
        fate=st.sampled_from(["executed", "lost", "late", "unreachable", "failed:trouble"]),
    )
    def the_next_request_meets_its_fate(self, verb: str, fate: str) -> None:
        if len(self.world.fates) < 3:
            self.world.fates.append((verb, fate))

    @rule(seconds=st.sampled_from([3.0, 600.0, 20_000.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    @rule(fault=FAULTS, on=st.sampled_from(["db-backup", "third"]), verified=st.booleans())
    def a_backup_is_made(self, fault: str, on: str, verified: bool) -> None:
        holder = self.world.hosts[self.bureau.stored_holder]
        if holder.on and "wcm" in holder.databases:
            self.world.pass_time(1)
            self.bureau.backup(at_hours=0, fault=fault, on=on, verified=verified)

    @rule(room=st.sampled_from([10_000, 60_000, 10**12]), name=PAIR)
    def the_disk_is(self, room: int, name: str) -> None:
        self.world.hosts[name].db_room = room

    # what the daemon and people do -------------------------------------------------------------------------------

    @precondition(lambda self: not self._busy())
    @rule(force=st.booleans())
    def recover(self, force: bool) -> None:
        cause = LIN if force else DAEMON
        self._let(lambda: self.bureau.runner.start("database", RunKind.RECOVER, cause, force=force))

    @precondition(lambda self: not self._busy())
    @rule()
    def switch(self) -> None:
        self._let(lambda: self.bureau.runner.start("database", RunKind.SWITCH, LIN))

    @precondition(lambda self: not self._busy())
    @rule()
    def restore_ahead(self) -> None:
        self._let(self.bureau.ahead)

    @precondition(lambda self: not self._busy())
    @rule()
    def park(self) -> None:
        self._let(self.bureau.park)

    @rule(point=st.integers(0, 90), kind=st.sampled_from([RunKind.RECOVER, RunKind.SWITCH, RunKind.ROLLBACK]))
    def a_run_is_killed(self, point: int, kind: RunKind) -> None:
        wire = Tripwire(point)
        self.bureau.kill_daemon()
        self.bureau.wrap = lambda journal: WiredJournal(journal, wire)
        self.bureau.start_daemon()

        def at_call(where: str) -> None:
            self.bureau.always_writing(where)
            wire(where)

        self.world.at_call = at_call
        self._let(lambda: self.bureau.runner.recover_unfinished())
        if not wire.dead and not self._busy():
            self._let(lambda: self.bureau.runner.start("database", kind, LIN))
        self._restart()

    def _open_runs(self) -> list[int]:
        numbers = [int(event.run or 0) for event in self.bureau.journal.events(kinds=["run.opened"])]
        return [number for number in numbers if self.bureau.end(number).state in (RunState.WAITING, RunState.STOPPED)]

    @precondition(lambda self: self._open_runs())
    @rule(then=st.sampled_from(["resume", "abort"]), word=st.booleans())
    def a_person_decides(self, then: str, word: bool) -> None:
        """They go and look first: a service is called stopped only where it is."""
        number = self._open_runs()[-1]
        old = self.world.hosts[str(self.bureau.end(number).old)]
        if word:
            self._let(lambda: self.bureau.runner.word(number, "loss:database", LIN))
            if not old.on or old.services["postgresql"] != "active":
                self._let(lambda: self.bureau.runner.word(number, "off:db", LIN))
        self._let(lambda: getattr(self.bureau.runner, then)(number, LIN))

    # what must always be so ----------------------------------------------------------------------------------------

    @invariant()
    def no_row_stands_nowhere(self) -> None:
        if hasattr(self, "bureau"):
            self.bureau.look_for_losses("now")
            assert not self.bureau.lost

    @invariant()
    def nothing_half_serves(self) -> None:
        if hasattr(self, "bureau"):
            assert not self.world.unsound

    @invariant()
    def nobody_writes_to_the_old_one(self) -> None:
        if hasattr(self, "bureau"):
            assert not self.bureau.strays

    @invariant()
    def no_run_is_forgotten(self) -> None:
        if not hasattr(self, "bureau"):
            return
        for event in self.bureau.journal.events(kinds=["run.opened"]):
            run = self.bureau.end(int(event.run or 0))
            assert run.state.ended or run.state is RunState.WAITING, f"run {run.number} is {run.state}"
            assert len(run.changes) < MOST_CHANGES, f"run {run.number} goes on for ever"


AnyOrder.TestCase.settings = settings(
    max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestDatabaseAnyOrder = AnyOrder.TestCase
