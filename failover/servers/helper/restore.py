"""One restore of a backup, beside what serves: filled, checked, and only then noted as whole (I7, I8)."""

import os
import re
import time
from contextlib import ExitStack
from typing import Any, Dict, List, Optional, Union

from .core import Answer, Refused, boottime, utc_text
from .engine import GROWTH, Engine, Source
from .reading import checksum
from .scratch import Scratch
from .shelf import Shelf
from .tool import Unsound
from .unfit import Disk, Down, Unfit

SCRATCH = ("base", "mariadb-backup")
CLEAN_SECONDS = 30.0
LOST = re.compile("server closed the connection|SSL SYSCALL|terminating connection|Lost connection|has gone away")
"""What clients of both engines say when the server went away: it may be back before we look."""


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
            except (Unfit, Down) as error:
                cause = self.cause_of(error)
                self.clean()
                raise cause from None
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

    def cause_of(self, error: Union[Unfit, Down]) -> Exception:
        """What a failure is put down to: not to the backup, where the disk is full or the server went away meanwhile.

        Asked before anything is cleared away, which makes room.
        """
        if isinstance(error, Unfit) and error.kind != "bad-backup":
            return error
        if self.disk.full():
            return Unfit("no-space", f"the database's disk is full: {error}")
        try:
            self.engine.found(self.into)
        except Down as down:
            return Down(f"{down}; it went away in the middle of the restore: {error}")
        return Down(str(error)) if LOST.search(str(error)) else error

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
