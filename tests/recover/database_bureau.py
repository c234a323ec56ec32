"""The toys put together around a database: two database servers, backups, somebody who writes to both all the time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from failover.backups import DatabaseSet, FoundSet
from failover.journal import Journal
from failover.journal.database_view import Databases, Swap
from failover.journal.queries import RunView, holders
from failover.model import Reading, RunKind, State
from failover.recover import builtin
from failover.recover.databases import Database, Restores
from failover.recover.plan import Plan
from failover.recover.runner import Runner
from failover.recover.scene import RoleNow, Scene
from failover.recover.steps import DatabaseRestored
from tests.recover.bureau import DAEMON, LIN, Bureau, LeftWaiting
from tests.recover.toy_databases import Backup, Db, Rows, copied, stamp
from tests.recover.toy_fence import ToyFence
from tests.recover.toy_server import ToyServer
from tests.recover.toy_world import World, address_of

PLAN: dict[str, Any] = {
    "when": "database is down",
    "mode": "auto",
    "role": "database",
    "steps": [
        {"service_stopped": {"unit": "postgresql"}},
        {"database_restored": {"backups": ["wcm-db", "paper"], "max_loss": "8h", "within": "10m"}},
        {"answers": {"check": "database", "every": "2s"}},
    ],
}
SETS = {
    "wcm-db": DatabaseSet(role="database", on="db-backup", also_on="third", path="/backups/wcm-db", at=("02:00",)),
    "paper": FoundSet(role="database", on="db-backup", path="/backups/paper"),
}
WCM = Database("postgresql", "wcm", "wcm", "failover", 5432)


class DatabaseBureau(Bureau):
    """``db`` serves and ``db-backup`` stands by; ``third`` is the second place of the backups."""

    def __init__(
        self, path: Path, *, fence: bool = False, plan: dict[str, Any] | None = None,
        wrap: Callable[[Journal], Any] = lambda journal: journal,
    ) -> None:  # fmt: skip
        self.path = path / "journal.db"
        self.world = World("db", "db-backup", "third")
        self.written: set[str] = set()
        self.strays: list[str] = []
        """Writes that a server took though another one serves (I11)."""
        self.lost: list[str] = []
        """Moments at which a row that was once written stood nowhere any more (I7)."""
        self.returned: set[str] = set()
        self.runs = {"db": True, "db-backup": True}
        self.before: set[str] = set()
        self.ready = 0
        """The journal's newest line when the test began, and what stood on the standby then."""
        for name in ("db", "db-backup"):
            self.world.hosts[name].services["postgresql"] = "active"
        for name in ("db-backup", "third"):
            self.world.hosts[name].backups["wcm-db"] = {}
        self.world.hosts["db-backup"].backups["paper"] = {}
        self.world.hosts["db"].databases["wcm"] = Db({"pages": set(), "revisions": set()})
        self.world.hosts["db-backup"].databases["wcm"] = Db({"pages": {"years ago"}}, read_only=True)
        self.written.add("years ago")
        self.world.serving = "db"
        self.servers: dict[str, Any] = {name: ToyServer(self.world, name) for name in self.world.hosts}
        if fence:
            self.servers["fence:db"] = ToyFence(self.world, "db")
        self.plans = {"database": Plan.model_validate(plan or PLAN)}
        self.restores = Restores()
        self.silent: dict[str, Any] = {}
        self.told: list[RunView] = []
        self.looks_left: int | None = None
        self.down = False
        """Whether the database on ``db`` has failed, though its server runs."""
        self.world.on_wait = self._leave_waiting
        self.spawn: Callable[[Callable[[], None], str], None] = lambda work, _name: work()
        self.wrap = wrap
        self.start_daemon()
        self.write_some("db", 20)
        self.backup(at_hours=-7)
        self.write_some("db", 5)

    def start_daemon(self) -> None:
        self.journal = Journal.open(self.path, now=self.world.now, ballast_bytes=0)
        self.journal.begin_epoch()
        self.restores = Restores()
        self.runner = Runner(
            "shop", self.wrap(self.journal), self.scene, lambda: self.plans, clock=self.world, spawn=self.spawn
        )
        self.runner.under_way.subscribe(self.told.append)

    def scene(self, role: str, kind: RunKind) -> Scene:
        holder = holders(self.journal.events(kinds=["role.moved"]), {"database": "db"})["database"]
        standby = "db-backup" if holder == "db" else "db"
        database = RoleNow("database", holder, standby, database=WCM, unit="postgresql")
        return Scene(
            site="shop", kind=kind, role=database, old=holder, new=standby, roles={"database": database}, addresses={},
            servers=self.servers, hosts={name: address_of(name, self.world) for name in self.world.hosts},
            look=self.look, silent_since=self.silent.get, now=self.world.now, backups=SETS, restores=self.restores,
            swap=self.swap,
        )  # fmt: skip

    def swap(self, role: str) -> Swap | None:
        view = Databases()
        for event in self.journal.events(kinds=["database.swapped"]):
            view.apply(event)
        return view.swaps.get(role)

    def look(self, check: str, server: str) -> Reading:
        self.world.pass_time(0.004)
        host = self.world.hosts[server]
        good = host.on and self.world.reach("monitor", server) and host.services["postgresql"] == "active"
        good = good and "wcm" in host.databases and not (self.down and server == "db")
        return Reading(
            check, State.UP if good else State.DOWN, "answers" if good else "nobody answers", self.world.now()
        )

    # what tests do ---------------------------------------------------------------------------------------------

    def fail(self) -> None:
        """The database on ``db`` answers nobody any more."""
        self.down = True

    def write(self, name: str) -> bool:
        """Somebody writes a row to the database of a server, if that takes it."""
        host = self.world.hosts[name]
        db = host.databases.get("wcm")
        if db is None or db.read_only or not host.on or host.services["postgresql"] != "active":
            return False
        row = f"row {len(self.written)}"
        self.written.add(row)
        db.rows.setdefault("pages", set()).add(row)
        if self.world.serving not in (name, None) and name not in self.returned:
            self.strays.append(f"at {self.world.time:.3f} s {name} takes {row}, and {self.world.serving} serves")
        return True

    def write_some(self, name: str, count: int) -> None:
        for _ in range(count):
            assert self.write(name)

    def always_writing(self, where: str) -> None:
        """For ``at_call``: at every moment somebody tries to write everywhere, and everything is looked at."""
        for name in ("db", "db-backup"):
            runs = self.world.hosts[name].services["postgresql"] == "active"
            if runs and not self.runs[name]:
                self.returned.add(name)  # it takes what it is sent until it is parked, like one that was booted
            self.runs[name] = runs
            if not self._takes_writes(name):
                self.returned.discard(name)
            self.write(name)
        self.look_for_losses(where)

    def look_for_losses(self, where: str) -> None:
        there = {
            row
            for host in self.world.hosts.values()
            for db in host.databases.values()
            for rows in db.rows.values()
            for row in rows
        }
        if gone := self.written - there:
            self.lost.append(f"{where}: {len(gone)} rows stand nowhere any more, as {min(gone)!r}")

    def backup(self, *, of: str = "wcm-db", at_hours: float, on: str = "db-backup", **more: Any) -> Backup:
        """A backup of what the holder has now, as if it had been taken so many hours from midnight."""
        taken = self.world.now() + timedelta(hours=at_hours)
        rows: Rows = copied(self.world.hosts[self.stored_holder].databases["wcm"].rows)
        backup = Backup(f"{of}-{stamp(taken)}", of, rows, taken, **more)
        self.world.hosts[on].backups[of][backup.id] = backup
        return backup

    def boot(self, name: str) -> None:
        """It comes back, and systemd starts its database as it always did."""
        self.world.boot(name)
        self.world.hosts[name].services["postgresql"] = "active"
        self.returned.add(name)

    def restart(self) -> None:
        """kill -9, and start again; a run that waits for a person is left after some looks."""
        try:
            self.restart_daemon()
        except LeftWaiting:
            pass

    def recover(self, cause: Any = DAEMON, **more: Any) -> RunView:
        return self._last(lambda: self.runner.start("database", RunKind.RECOVER, cause, **more))

    def switch(self) -> RunView:
        return self._last(lambda: self.runner.start("database", RunKind.SWITCH, LIN))

    def ahead(self) -> RunView | None:
        plan = builtin.restore_ahead("database", self.step)
        view = self.runner.keep("restore-ahead-database", plan, RunKind.AHEAD, DAEMON)
        return self.end(view.number) if view else None

    def park(self) -> RunView | None:
        view = self.runner.keep("park-database", builtin.park_database("database"), RunKind.KEEP, DAEMON)
        self.returned = {name for name in self.returned if self._takes_writes(name)}
        return self.end(view.number) if view else None

    def _takes_writes(self, name: str) -> bool:
        host = self.world.hosts[name]
        return host.services["postgresql"] == "active" and not getattr(host.databases.get("wcm"), "read_only", True)

    @property
    def step(self) -> DatabaseRestored:
        return next(step for step in self.plans["database"].steps if isinstance(step, DatabaseRestored))

    @property
    def stored_holder(self) -> str:
        return self.scene("database", RunKind.RECOVER).role.holder

    def databases(self, name: str) -> dict[str, Db]:
        return self.world.hosts[name].databases

    def rows(self, name: str, database: str = "wcm") -> set[str]:
        return {row for rows in self.databases(name)[database].rows.values() for row in rows}


BuildDatabases = Callable[..., DatabaseBureau]
"""Of the fixture ``build_databases``."""


def changes(run: Any) -> list[str]:
    """What a run changed, where."""
    return [f"{change.server} {change.args.get('want')}" for change in run.changes]
