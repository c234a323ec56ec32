"""The verb ``database``: what stands there; restore a backup beside what serves, put it in place, keep writes out.

Nothing that serves is touched by a restore (I7): it fills a database of a new name, checks it, and only then notes that
it is whole. What has no such note is half made, and is cleared away by the next restore.
"""

import os
import re
import time
from contextlib import ExitStack
from typing import Any, Callable, Dict, List, Optional

from . import mariadb_restore, postgresql_restore
from .client import Client, trouble
from .core import (
    Answer,
    Args,
    Refused,
    Verb,
    Work,
    among,
    boottime,
    flag,
    not_in_policy,
    text,
    utc_text,
)
from .engine import GROWTH, Engine, Source
from .reading import checksum
from .scratch import Scratch
from .shelf import Shelf
from .tool import Unsound
from .unfit import Disk, Down, Unfit

ENGINES: Dict[str, Any] = {"postgresql": postgresql_restore.PostgreSQL, "mariadb": mariadb_restore.MariaDB}
SCRATCH = ("base", "mariadb-backup")
CLEAN_SECONDS = 30.0


def opened(work: Work, name: str, client: Client) -> Engine:
    """The engine of a database of the policy.

    Raises:
        Refused: ``not-in-policy``, ``bad-policy``.
    """
    entry = work.policy.databases.get(name)
    if entry is None:
        raise not_in_policy("database", name, work.policy.databases)
    try:
        for key in ("name", "owner", "user"):
            if not re.match(r"[a-z_][a-z0-9_]{0,39}\Z", entry[key]):
                raise ValueError(f"{entry[key]!r} is no {key}")
        engine: Engine = ENGINES[entry["engine"]](work, entry, client)
    except (KeyError, TypeError, ValueError) as error:
        raise Refused("bad-policy", f"the database {name!r} of the policy: {error}") from None
    return engine


def _client(work: Work, name: str) -> Client:
    entry = work.policy.databases.get(name) or {}
    return Client(work, str(entry["os_user"])) if "os_user" in entry else Client(work)


# ---------------------------------------------------------------------------------------------------------------------
# asking


def ask_database(work: Work, args: Args) -> Answer:
    """What stands there; with ``rows``, exact counts; with ``query``, the answer to a question of the site's own."""
    with _client(work, args["name"]) as client:
        engine = opened(work, args["name"], client)
        of = engine.of_ours(args.get("of", engine.name))
        try:
            if "query" in args:
                if args["query"] not in engine.queries:
                    raise not_in_policy("query", args["query"], engine.queries)
                return {"value": engine.query(engine.queries[args["query"]], of)}
            if args.get("rows"):
                return {"tables": engine.tables(of)}
            return _state(engine)
        except Down as error:
            if "query" in args or args.get("rows"):
                raise engine.unless_down(str(error)) from None
            return {
                "engine": engine.engine, "version": None, "up": False, "exists": False, "read_only": False,
                "bytes": 0, "connections": 0, "databases": [], "problem": str(error),
            }  # fmt: skip


def _state(engine: Engine) -> Answer:
    version, found, read_only = engine.standing()
    serves = next((entry for entry in found if entry["name"] == engine.name), None)
    return {
        "engine": engine.engine,
        "version": version,
        "up": True,
        "exists": serves is not None,
        "read_only": read_only,
        "bytes": serves["bytes"] or 0 if serves else 0,
        "connections": serves["connections"] if serves else 0,
        "databases": [_told(entry) for entry in found],
    }


def _told(entry: Answer) -> Answer:
    """A database as the monitor knows it: its note is the backup that it holds, once it is whole."""
    note = entry["note"]
    return {
        "name": entry["name"], "bytes": entry["bytes"] or 0, "note": note.get("backup"),
        "created_at": note.get("restored_at"),
    }  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------------
# changing


def change_database(work: Work, args: Args) -> Answer:
    """Restore, exchange, keep writes out, drop."""
    want = args["want"]
    needs = {"restored": ("set", "backup", "into"), "swapped": ("into", "keep"), "swapped-back": ("into", "keep"),
             "dropped": ("into",)}.get(want, ())  # fmt: skip
    for key in needs:
        if key not in args:
            raise Refused("bad-request", f"database: want={want} needs {key!r}")
    with _client(work, args["name"]) as client:
        engine = opened(work, args["name"], client)
        began = time.monotonic()
        try:
            resumed = engine.unfinished()
            if resumed:
                work.begin()
                engine.resume()
            answer = CHANGES_BY_WANT[want](engine, args)
            if resumed and "changed" in answer:
                answer["changed"] = True
        except Down as error:
            raise engine.unless_down(str(error)) from None
        return dict(answer, seconds=time.monotonic() - began)


def _restored(engine: Engine, args: Args) -> Answer:
    into = args["into"]
    if not engine.is_restored(into):
        raise Refused("not-in-policy", f"{into[:100]!r} isn't of the form {engine.name}__YYYYMMDDtHHMMSS")
    there = engine.found(into)
    if there is not None and there["note"].get("backup") == args["backup"]:
        note = there["note"]
        return {
            "into": into,
            "bytes": there["bytes"],
            "tables": note.get("tables"),
            "rows": note.get("rows"),
            "warnings": [],
        }
    if there is not None and "backup" in there["note"]:
        raise Refused("exists", "{} holds {}".format(into, there["note"]["backup"]))
    restore = Restore(engine, into, args["set"], args["backup"])
    try:
        return restore.run()
    except Unfit as error:
        raise trouble(engine.work, error.kind, f"{args['backup']}: {error}") from None


class Restore:
    """One restore, beside what serves."""

    def __init__(self, engine: Engine, into: str, name: str, backup: str) -> None:
        self.engine, self.work, self.into = engine, engine.work, into
        self.set, self.backup = name, backup
        self.warnings: List[str] = []
        self.phases: Dict[str, float] = {}
        self.data = engine.data_folder()
        self.disk = Disk([self.data] if self.data else [])

    def run(self) -> Answer:
        """What the restored database holds.

        Raises:
            Unfit: the backup is no good, or not for this server. Nothing half made is left.
            Refused, Failed: otherwise.
        """
        source = self.source()
        tables = source.record.get("tables")
        client, path = self.engine.client, source.path
        needs_copy = source.format in SCRATCH or os.path.isdir(path) and not client.can_read(path + "/toc.dat")
        self.room(source, needs_copy)
        with ExitStack() as stack:
            if needs_copy:
                scratch = stack.enter_context(Scratch(client, self.engine.scratch_folder(), self.disk))
            if needs_copy and source.format not in SCRATCH:
                scratch.fill(path)
                source = source._replace(path=scratch.data)
            self.engine.preflight(source)
            self.work.begin()
            self.sweep()
            if source.format in SCRATCH:
                with self.phase("unpack"):
                    source, counted = self.engine.unpacked(source, scratch)
                tables = tables or counted
            try:
                return self.fill(source, tables)
            except BaseException:
                self.clean()
                raise

    def source(self) -> Source:
        """The backup, as its catalogue has it (I8).

        Raises:
            Unfit, Refused: it isn't there, or isn't what was verified.
        """
        record = Shelf(self.work, self.set).one(self.backup)
        path, form = record["path"], record["format"]
        if record.get("problem"):
            raise Unfit("bad-backup", str(record["problem"]))
        if record.get("engine") not in (None, self.engine.engine):
            raise Unfit("bad-backup", f"it is of {record['engine']}, and {self.engine.name} is {self.engine.engine}")
        if form not in GROWTH:
            raise Unfit("bad-backup", f"its format is {form}, which holds no database")
        if not record["bytes"]:
            raise Unfit("bad-backup", "it is empty")
        if not record.get("verified_at") and record.get("sha256"):
            try:
                found = checksum(self.work, path)
            except (OSError, Unsound) as error:
                raise Unfit("bad-backup", f"it can't be read: {error}") from None
            if found["sha256"] != record["sha256"]:
                raise Unfit("bad-backup", "its SHA-256 was {}, and is {}".format(record["sha256"], found["sha256"]))
        return Source(path, form, int(record["bytes"]), record)

    def sweep(self) -> None:
        """Drop what is half made: its restore was cut off. Changes run one at a time, so no other is under way."""
        for entry in self.engine.databases():
            if self.engine.is_restored(entry["name"]) and "backup" not in entry["note"]:
                self.work.places.log("drops {}: its restore was cut off".format(entry["name"]))
                self.engine.drop(entry["name"])

    def room(self, source: Source, needs_copy: bool) -> None:
        """Whether the disk can hold it (B6).

        Raises:
            Unfit: ``no-space``.
        """
        serves = self.engine.found(self.engine.name)
        needed = int(source.bytes * GROWTH[source.format])
        if serves and serves["bytes"] and source.record.get("tables") is None:
            needed = max(needed, int(serves["bytes"]))
        if self.data is not None:
            self.disk.need(self.data, needed)
        else:
            self.warnings.append("the disk of the database can't be looked at: nothing listens on its port here")
        if needs_copy:
            folder = self.engine.scratch_folder()
            while not os.path.isdir(folder):
                folder = os.path.dirname(folder)
            self.disk.need(folder, int(source.bytes * 1.3))

    def fill(self, source: Source, tables: Optional[Dict[str, int]]) -> Answer:
        """Make it, fill it, check it, note that it is whole."""
        engine, into = self.engine, self.into
        engine.create(into, source, {"restoring": self.backup})
        with self.phase("restore"):
            self.warnings += engine.restore(source, into, self.disk, self.work.progress)
        with self.phase("check"):
            self.work.progress(phase="checking")
            engine.analyze(into)
            rows = engine.tables(into)
            self.compare(rows, tables)
            self.ask(into)
        self.disk.look()
        engine.settle(into)
        self.work.in_time()
        note = {"backup": self.backup, "set": self.set, "into": into, "restored_at": utc_text(time.time()),
                "tables": len(rows), "rows": sum(rows.values())}  # fmt: skip
        engine.set_note(into, note)
        there = engine.found(into) or {}
        return {"into": into, "bytes": there.get("bytes"), "tables": len(rows), "rows": sum(rows.values()),
                "warnings": self.warnings, "phases": self.phases}  # fmt: skip

    def compare(self, rows: Dict[str, int], expected: Optional[Dict[str, int]]) -> None:
        """Every table has the rows that were counted in the backup.

        Raises:
            Unfit: ``bad-backup``.
        """
        if not rows:
            raise Unfit("bad-backup", "no table is in it")
        if expected is None:
            self.warnings.append("how many rows it should have isn't known: nobody counted them when it was made")
            return
        wrong = [
            "{} has {} rows instead of {}".format(table, rows.get(table, "no"), count)
            for table, count in sorted(expected.items())
            if rows.get(table) != count
        ]
        if wrong:
            more = f" and {len(wrong) - 5} tables more" if len(wrong) > 5 else ""
            raise Unfit("bad-backup", "; ".join(wrong[:5]) + more)

    def ask(self, into: str) -> None:
        """The site's own questions have an answer that isn't empty or 0.

        Raises:
            Unfit: ``bad-backup``.
        """
        for name, sql in sorted(self.engine.queries.items()):
            try:
                value = self.engine.query(sql, into)
            except Refused as error:
                raise Unfit("bad-backup", f"the query {name} fails on it: {error}") from None
            if value in (None, "", "0", 0, "f", "false"):
                raise Unfit("bad-backup", f"the query {name} has the answer {value!r} on it")

    def clean(self) -> None:
        """Leave nothing half made behind; the next restore tries again what can't be done now."""
        until = time.monotonic() + CLEAN_SECONDS
        while True:
            try:
                self.engine.drop(self.into)
                return
            except (Refused, Down) as error:
                if time.monotonic() > until or boottime() >= self.work.end:
                    self.work.places.log(f"{self.into} is left half made: {error}")
                    return
                time.sleep(0.5)  # a server that ran out of disk starts anew first

    def phase(self, name: str) -> "Phase":
        """Times a part of it."""
        return Phase(self.phases, name)


class Phase:
    """Seconds by part, so that the next one can be predicted."""

    def __init__(self, phases: Dict[str, float], name: str) -> None:
        self._phases, self._name, self._began = phases, name, 0.0

    def __enter__(self) -> None:
        self._began = time.monotonic()

    def __exit__(self, *_: Any) -> None:
        self._phases[self._name] = round(time.monotonic() - self._began, 3)


def _swapped(engine: Engine, args: Args) -> Answer:
    into, keep = args["into"], args["keep"]
    if not engine.is_restored(into) or not engine.is_kept(keep):
        raise Refused("not-in-policy", f"{into[:100]!r} and {keep[:100]!r} aren't names for a restored and a kept one")
    there = engine.notes()
    if into not in there:
        if there.get(engine.name, {}).get("into") == into:
            return {"changed": False}
        raise Refused("no-database", f"there is no {into} to put in the place of {engine.name}")
    if "backup" not in there[into]:
        raise Refused("half-made", f"{into} isn't whole")
    if keep in there and engine.name in there:
        raise Refused("exists", f"{keep} is there already")
    engine.work.begin()
    engine.exchange([(engine.name, keep), (into, engine.name)])
    return {"changed": True}


def _swapped_back(engine: Engine, args: Args) -> Answer:
    aside, keep = args["into"], args["keep"]
    if not (engine.is_restored(aside) or engine.is_kept(aside)) or not engine.is_kept(keep):
        raise Refused(
            "not-in-policy", f"{aside[:100]!r} and {keep[:100]!r} aren't names for one set aside and a kept one"
        )
    there = engine.notes()
    if keep not in there:
        if engine.name in there and aside in there:
            return {"changed": False}
        raise Refused("no-database", f"there is no {keep} to put back in the place of {engine.name}")
    if aside in there and engine.name in there:
        raise Refused("exists", f"{aside} is there already")
    engine.work.begin()
    engine.exchange([(engine.name, aside), (keep, engine.name)])
    return {"changed": True}


def _read_only(engine: Engine, args: Args) -> Answer:
    engine.work.begin()
    engine.set_read_only(engine.name, args["want"] == "read-only")
    return {"read_only": args["want"] == "read-only"}


def _dropped(engine: Engine, args: Args) -> Answer:
    into = args["into"]
    if not engine.is_restored(into) and not engine.is_kept(into):
        raise Refused("not-in-policy", f"{into[:100]!r} was neither restored nor kept by us; nothing else is dropped")
    engine.work.begin()
    engine.drop(into)
    return {"into": into}


CHANGES_BY_WANT: Dict[str, Callable[[Engine, Args], Answer]] = {
    "restored": _restored,
    "swapped": _swapped,
    "swapped-back": _swapped_back,
    "read-only": _read_only,
    "read-write": _read_only,
    "dropped": _dropped,
}

ASKS = {"database": Verb(ask_database, {"name": text(63)}, {"rows": flag, "of": text(63), "query": text(100)})}
CHANGES = {
    "database": Verb(
        change_database,
        {"name": text(63), "want": among(*CHANGES_BY_WANT)},
        {"backup": text(200), "set": text(100), "into": text(63), "keep": text(63)},
    )
}
SLOW_ASKS = {"database": 600.0}
