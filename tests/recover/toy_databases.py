"""Database servers and catalogues of backups in memory, behind the same helper: rows that can be lost, and aren't.

A row is a name that is written once and never again, so that whoever has it can be told at any time. What is restored
takes time, and a machine that loses its power in the middle has half a database.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from failover.errors import ChangeFailed, OutcomeUnknown, Refused
from failover.servers.base import Answer

if TYPE_CHECKING:
    from tests.recover.toy_world import Host, World

BYTES_A_ROW = 1000
BYTES_A_SECOND = 10_000
"""Slow, so that a restore is seen to take its time."""

Rows = dict[str, set[str]]
"""By table, the rows."""


@dataclass
class Db:
    """One database."""

    rows: Rows = field(default_factory=dict)
    note: str | None = None
    read_only: bool = False
    sound: bool = True
    """Whether all of it came from what was read to its end and whole."""

    @property
    def bytes(self) -> int:
        return BYTES_A_ROW * sum(len(rows) for rows in self.rows.values())


@dataclass
class Backup:
    """One backup's file and what its catalogue says of it."""

    id: str
    set: str
    rows: Rows
    taken_at: datetime
    version: str = "15.20"
    verified: bool = True
    fault: str = ""
    """What is wrong with the file: ``truncated`` and ``empty`` are seen on reading it, ``broken`` only on restoring."""
    restored_at: str | None = None
    made_by: str = "failover"

    @property
    def tables(self) -> dict[str, int]:
        return {table: len(rows) for table, rows in self.rows.items()}

    @property
    def entry(self) -> dict[str, Any]:
        at = self.taken_at.isoformat()
        return {
            "id": self.id, "set": self.set, "kind": "database", "engine": "postgresql", "server_version": self.version,
            "tool_version": self.version, "format": "custom", "path": f"/backups/{self.id}", "sha256": "0" * 64,
            "bytes": max(1, BYTES_A_ROW * sum(self.tables.values())), "taken_at": at, "finished_at": at,
            "tables": self.tables, "verified_at": at if self.verified else None, "restored_at": self.restored_at,
            "problem": None, "made_by": self.made_by,
        }  # fmt: skip


def copied(rows: Mapping[str, set[str]]) -> Rows:
    """The same rows in sets of their own."""
    return {table: set(names) for table, names in rows.items()}


class ToyDatabases:
    """The verbs ``database`` and ``backups`` of a toy server."""

    world: World
    _name: str

    @property
    def host(self) -> Host:
        raise NotImplementedError

    @property
    def up(self) -> bool:
        return self.host.services.get("postgresql") == "active"

    # database --------------------------------------------------------------------------------------------------

    def _ask_database(self, name: str, rows: bool = False, of: str = "") -> Answer:
        if not self.up and rows:
            raise Refused(self._name, "database-down", "no database server runs here")
        if not self.up:
            return {"engine": "postgresql", "version": None, "up": False, "exists": False, "databases": []}
        if rows:
            self.world.pass_time(0.05)
            return {"tables": {table: len(names) for table, names in self._there(of).rows.items()}}
        serves = self.host.databases.get(name)
        return {
            "engine": "postgresql",
            "version": self.host.db_version,
            "up": True,
            "exists": serves is not None,
            "read_only": serves is not None and serves.read_only,
            "bytes": serves.bytes if serves else 0,
            "connections": 0,
            "databases": [
                {"name": found, "bytes": db.bytes, "note": db.note}
                for found, db in self.host.databases.items()
                if found == name or found.startswith(f"{name}__")
            ],
        }

    def _there(self, name: str) -> Db:
        if name not in self.host.databases:
            raise Refused(self._name, "no-database", f"there is no database {name}")
        return self.host.databases[name]

    def _change_database(self, args: dict[str, Any]) -> Answer:
        if not self.up:
            raise Refused(self._name, "database-down", "no database server runs here")
        want = args["want"].replace("-", "_")
        answer = getattr(self, f"_database_{want}")(args)
        assert isinstance(answer, dict)
        return answer

    def _database_restored(self, args: dict[str, Any]) -> Answer:
        backup = self._file(args["set"], args["backup"])
        into = args["into"]
        if (there := self.host.databases.get(into)) is not None:
            if there.note == backup.id:
                return {"into": into, "bytes": there.bytes, "rows": 0, "seconds": 0.0, "warnings": []}
            raise Refused(self._name, "exists", f"{into} is there already")
        if not self.host.db_account:
            raise Refused(self._name, "no-account", "the account failover_restore can't log in")
        if backup.fault in ("truncated", "empty"):
            raise Refused(self._name, "unsound", f"{backup.id} is {backup.fault}")
        seconds = BYTES_A_ROW * sum(backup.tables.values()) / BYTES_A_SECOND
        half = {table: set(sorted(rows)[: math.ceil(len(rows) * 0.6)]) for table, rows in backup.rows.items()}
        self.host.databases[into] = Db(half, sound=False)
        boot = self.host.boot
        self.world.pass_time(seconds * 0.6)
        self.world.at_call(f"during change {self._name} database")
        if not self.host.on or self.host.boot != boot:
            raise OutcomeUnknown(self._name, "the session broke")  # and the disk has the half
        need = BYTES_A_ROW * sum(backup.tables.values())
        others = sum(db.bytes for name, db in self.host.databases.items() if name != into)
        if others + need > self.host.db_room:
            del self.host.databases[into]
            raise ChangeFailed(self._name, "no-space", f"the disk is full after 60 % of {backup.id}")
        if backup.fault:
            del self.host.databases[into]
            raise ChangeFailed(self._name, "bad-backup", f"pg_restore: {backup.fault}")
        self.world.pass_time(seconds * 0.4)
        db = Db(copied(backup.rows), note=backup.id)
        self.host.databases[into] = db
        count = sum(backup.tables.values())
        return {
            "into": into, "bytes": db.bytes, "tables": len(backup.rows), "rows": count, "seconds": seconds,
            "warnings": [],
        }  # fmt: skip

    def _database_swapped(self, args: dict[str, Any]) -> Answer:
        name, into, keep = args["name"], args["into"], args["keep"]
        databases = self.host.databases
        if into not in databases:
            if name in databases:
                return {"seconds": 0.0}
            raise Refused(self._name, "no-database", f"there is no database {into}")
        if databases[into].note is None:
            raise Refused(self._name, "half-made", f"{into} isn't whole")
        if name in databases:
            if keep in databases:
                raise Refused(self._name, "exists", f"{keep} is there already")
            databases[keep] = databases.pop(name)
            self.world.at_call(f"during change {self._name} database")
        databases[name] = databases.pop(into)
        self.world.served(self._name, databases[name])
        return {"seconds": 0.002}

    def _database_swapped_back(self, args: dict[str, Any]) -> Answer:
        name, aside, keep = args["name"], args["into"], args["keep"]
        databases = self.host.databases
        if keep in databases:
            if name in databases:
                if aside in databases:
                    raise Refused(self._name, "exists", f"{aside} is there already")
                databases[aside] = databases.pop(name)
                self.world.at_call(f"during change {self._name} database")
            databases[name] = databases.pop(keep)
        self.world.unserved(self._name)
        return {"seconds": 0.002}

    def _database_read_only(self, args: dict[str, Any]) -> Answer:
        self._there(args["name"]).read_only = True
        return {"read_only": True}

    def _database_read_write(self, args: dict[str, Any]) -> Answer:
        self._there(args["name"]).read_only = False
        self.world.served(self._name, self._there(args["name"]))
        return {"read_only": False}

    def _database_dropped(self, args: dict[str, Any]) -> Answer:
        into, name = args["into"], args["name"]
        if not into.startswith(f"{name}__"):
            raise Refused(self._name, "not-in-policy", f"{into} is not ours to drop")
        self.host.databases.pop(into, None)
        return {}

    # backups ---------------------------------------------------------------------------------------------------

    def _ask_backups(self, verify: bool = False, **which: str) -> Answer:
        name = which["set"]
        if name not in self.host.backups:
            raise Refused(self._name, "not-in-policy", f"there is no set {name} here")
        if verify:
            backup = self._file(name, which["id"])
            self.world.pass_time(0.02)
            sound = backup.fault not in ("truncated", "empty")
            return {"sound": sound, "why": "" if sound else f"its end is missing: {backup.fault}"}
        found = sorted(self.host.backups[name].values(), key=lambda one: one.taken_at, reverse=True)
        return {"backups": [one.entry for one in found], "folder": f"/backups/{name}", "free_bytes": 10**12}

    def _file(self, name: str, backup: str) -> Backup:
        try:
            return self.host.backups[name][backup]
        except KeyError:
            raise Refused(self._name, "no-backup", f"there is no backup {backup}") from None

    def _change_backups(self, args: dict[str, Any]) -> Answer:
        shelf, want = self.host.backups.setdefault(args["set"], {}), args["want"]
        if want == "noted":
            self._file(args["set"], args["id"]).restored_at = args["restored_at"]
            return {}
        if args["id"] in shelf:
            return dict(shelf[args["id"]].entry)
        source = self.world.hosts[args["source"]]
        if not source.on or not self.world.reach(self._name, source.name):
            raise ChangeFailed(self._name, "source-unreachable", f"{source.name} can't be reached")
        if want == "copied":
            found = source.backups.get(args["set"], {}).get(args["id"])
            if found is None:
                raise Refused(self._name, "no-backup", f"{source.name} has no {args['id']}")
            shelf[found.id] = replace(found, verified=True, restored_at=None)  # it was read as it came
            return dict(found.entry)
        if source.services.get("postgresql") != "active" or "wcm" not in source.databases:
            raise ChangeFailed(self._name, "dump-failed", f"no database answers on {source.name}")
        taken = self.world.now()
        rows = copied(source.databases["wcm"].rows)
        self.world.pass_time(0.5)
        shelf[args["id"]] = Backup(args["id"], args["set"], rows, taken, version=source.db_version)
        return dict(shelf[args["id"]].entry)


def stamp(moment: datetime) -> str:
    """As ids have it."""
    return f"{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}"
