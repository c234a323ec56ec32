"""Failures, backups, moves, crashes and writers in any order: hypothesis looks for a way to lose a row.

I7: no row that was written stands nowhere. I8: what serves came whole from a good backup. I9: no run is forgotten.
I11: nobody writes to the old database once the new one serves; one that came back only until it is parked.
"""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from tests.recover.any_order import LIMITS, WHICH, AnyOrder
from tests.recover.database_bureau import DatabaseBureau

FAULTS = st.sampled_from(["", "", "truncated", "empty", "error: bad dump"])


class DatabaseInAnyOrder(AnyOrder):
    """The bureau's databases, with somebody who writes all the time."""

    role = "database"
    pair = ("db", "db-backup")
    links = (("monitor", "db"), ("monitor", "db-backup"), ("db-backup", "third"), ("db", "db-backup"))
    verbs = ("database", "backups", "service", "fence")

    @initialize(fence=st.booleans())
    def begin(self, fence: bool) -> None:
        self.bureau = DatabaseBureau(self.folder, fence=fence)
        self.world.at_call = self.always

    def always(self, where: str) -> None:
        self.bureau.always_writing(where)

    def restart(self) -> None:
        self.bureau.restart()

    def boot(self, name: str) -> None:
        self.bureau.boot(name)

    def words(self, old: Any) -> tuple[str, ...]:
        """A service is called stopped only where it is."""
        stopped = not old.on or old.services["postgresql"] != "active"
        return ("loss:database", *(["off:db"] if stopped else []))

    @rule()
    def the_database_fails(self) -> None:
        self.bureau.down = True

    @rule()
    def it_is_mended(self) -> None:
        self.bureau.down = False

    @rule(which=WHICH)
    def a_person_starts_its_database(self, which: int) -> None:
        self.world.hosts[self.pair[which]].services["postgresql"] = "active"
        self.bureau.returned.add(self.pair[which])

    @rule(fault=FAULTS, on=st.sampled_from(["db-backup", "third"]), verified=st.booleans())
    def a_backup_is_made(self, fault: str, on: str, verified: bool) -> None:
        holder = self.world.hosts[self.bureau.stored_holder]
        if holder.on and "wcm" in holder.databases:
            self.world.pass_time(1)
            self.bureau.backup(at_hours=0, fault=fault, on=on, verified=verified)

    @rule(room=st.sampled_from([10_000, 60_000, 10**12]), which=WHICH)
    def the_disk_is(self, room: int, which: int) -> None:
        self.world.hosts[self.pair[which]].db_room = room

    @precondition(lambda self: not self.busy())
    @rule()
    def restore_ahead(self) -> None:
        self.let(self.bureau.ahead)

    @precondition(lambda self: not self.busy())
    @rule()
    def park(self) -> None:
        self.let(self.bureau.park)

    @invariant()
    def no_row_stands_nowhere(self) -> None:
        if self._begun:
            self.bureau.look_for_losses("now")
            assert not self.bureau.lost

    @invariant()
    def nothing_half_serves(self) -> None:
        if self._begun:
            assert not self.world.unsound

    @invariant()
    def nobody_writes_to_the_old_one(self) -> None:
        if self._begun:
            assert not self.bureau.strays


DatabaseInAnyOrder.TestCase.settings = settings(LIMITS)
TestDatabaseInAnyOrder = DatabaseInAnyOrder.TestCase
