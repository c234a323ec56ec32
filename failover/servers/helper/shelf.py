"""The backups of one set on this server: the files, and the catalogue that says what is known of each.

What failover made lies in the set's folder as ``ID.EXT`` with ``ID.json`` beside it. What other tools made is taken in
as it lies there: nothing is written beside it, so its catalogue is kept with the helper's own state.
"""

import fnmatch
import json
import os
import re
import stat
import time
from typing import Any, List, Optional

from .core import (
    Answer,
    Policy,
    Refused,
    Work,
    content_user,
    name_of,
    not_in_policy,
    parse_json,
    put_file,
    remove_tree,
    sync_folder,
    utc_text,
)
from .reading import recognise

EXTENSION = {"custom": "dump", "plain.gz": "sql.gz", "dump.gz": "sql.gz", "tar.gz": "tar.gz"}
MOST_BACKUPS = 500
MOST_CATALOGUE_BYTES = 1 << 19
SETTLE_SECONDS = 120.0
KEYS = (
    "id set kind engine server_version tool_version format path bytes sha256 taken_at finished_at tables verified_at"
    " restored_at problem made_by store trees"
).split()
ID = r"-\d{8}T\d{6}Z(\.[0-9a-f]{6})?\Z"


class Shelf:
    """One set's.

    Raises:
        Refused: ``not-in-policy``, ``bad-policy``.
    """

    def __init__(self, work: Work, name: str) -> None:
        entry = work.policy.backups.get(name)
        if entry is None:
            raise not_in_policy("backup set", name, work.policy.backups)
        try:
            self.folder = Policy._path(entry["path"])
            self.kind = str(entry["kind"])
        except (KeyError, ValueError) as error:
            raise Refused("bad-policy", f"the backup set {name!r} of the policy: {error}") from None
        self.work, self.name, self.entry = work, name, entry
        self.notes = f"{work.places.state}/backups/{name_of(name)}"

    @property
    def found(self) -> bool:
        """Whether other tools make its backups."""
        return self.kind == "found"

    def check_id(self, backup: str) -> str:
        """The id, if it is one of this set."""
        if not backup.startswith(self.name) or not re.match(ID, backup[len(self.name) :]):
            raise Refused("bad-request", f"{backup[:100]!r} is no id of a backup of {self.name}")
        return backup

    def file_of(self, backup: str, form: str) -> str:
        """Where a backup of ours lies."""
        return f"{self.folder}/{backup}.{EXTENSION[form]}"

    # the catalogue --------------------------------------------------------------------------------------------------

    def entries(self) -> List[Answer]:
        """All of them, newest first."""
        found = self._scan() if self.found else self._catalogued()
        found.sort(key=lambda entry: (entry["taken_at"], entry["id"]), reverse=True)
        return found[:MOST_BACKUPS]

    def one(self, backup: str) -> Answer:
        """The entry of a backup.

        Raises:
            Refused: ``no-backup``.
        """
        self.check_id(backup)
        if not self.found:
            entry = self._read(self._json(backup))
            entries = [entry] if entry is not None else []
        else:
            entries = self._scan()
        for entry in entries:
            if entry["id"] == backup:
                return entry
        raise Refused("no-backup", f"there is no backup {backup} in {self.folder}")

    def write(self, entry: Answer) -> None:
        """Put an entry into the catalogue, whole or not at all."""
        data = json.dumps({key: entry.get(key) for key in KEYS}, indent=1, sort_keys=True).encode()
        path = self._json(entry["id"])
        os.makedirs(os.path.dirname(path), mode=0o750, exist_ok=True)
        put_file(path, data, 0o640)
        if not self.found:
            self.give(path, 0o640)
        sync_folder(os.path.dirname(path))

    def give(self, path: str, mode: int) -> None:
        """Let those read it who copy backups from here, and nobody else; it is root's."""
        try:
            user = content_user(self.work.policy)
        except Refused:
            user = None  # nobody copies anything from this server
        os.chown(path, 0, user[1] if user is not None else 0)
        os.chmod(path, mode)

    def prepare(self) -> None:
        """The folder is there."""
        if not os.path.isdir(self.folder):
            os.makedirs(self.folder, mode=0o750)
        self.give(self.folder, 0o750)

    def remove(self, backup: str) -> None:
        """Remove a backup of ours: the file first, so that what is left of an interruption says that it is gone."""
        entry = self.one(backup)
        path = entry["path"]
        if os.path.dirname(path) != self.folder:
            raise Refused("bad-catalogue", f"{backup} lies in {path}, not in {self.folder}")
        if os.path.isdir(path) and not os.path.islink(path):
            remove_tree(path)
        elif os.path.lexists(path):
            os.unlink(path)
        os.unlink(self._json(backup))
        sync_folder(self.folder)

    def since(self) -> str:
        """Since when this server knows of the set, so that nobody expects older backups."""
        path = f"{self.notes}/since"
        try:
            with open(path) as file:
                return file.read(100).strip()
        except OSError:
            pass
        now = utc_text(time.time())
        try:
            os.makedirs(self.notes, mode=0o750, exist_ok=True)
            put_file(path, now.encode(), 0o644, durable=False)
        except OSError:
            pass  # it is asked again
        return now

    def _json(self, backup: str) -> str:
        return f"{self.notes if self.found else self.folder}/{backup}.json"

    def _read(self, path: str, lies: Optional[str] = None) -> Optional[Answer]:
        """An entry as it is written down, with what is wrong with its file now; ``lies``: where that is by now."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:
            return None
        try:
            with open(fd, "rb") as file:
                entry = understood(parse_json(file.read(MOST_CATALOGUE_BYTES)), self)
        except (OSError, ValueError) as error:
            return self._strange(os.path.basename(path)[:-5], f"its entry in the catalogue can't be read: {error}")
        entry["path"] = lies or entry["path"]
        try:
            info = os.lstat(entry["path"])
        except OSError:
            return dict(entry, problem="its file is gone", bytes=0)
        if stat.S_ISREG(info.st_mode) and info.st_size != entry["bytes"] and not self.found:
            entry["problem"] = "its file has {} bytes, and had {}".format(info.st_size, entry["bytes"])
        return entry

    def _strange(self, backup: str, problem: str) -> Optional[Answer]:
        try:
            self.check_id(backup)
        except Refused:
            return None
        entry: Answer = dict.fromkeys(KEYS)
        entry.update(id=backup, set=self.name, kind=self.kind, bytes=0, problem=problem, made_by="failover", path="")
        stamp = time.strptime(backup[len(self.name) + 1 :][:16], "%Y%m%dT%H%M%SZ")
        entry["taken_at"] = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", stamp)
        return entry

    def _catalogued(self) -> List[Answer]:
        try:
            names = [name for name in os.listdir(self.folder) if name.endswith(".json")]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise Refused("unreadable", f"{self.folder} can't be read: {error.strerror}") from None
        found = [self._read(f"{self.folder}/{name}") for name in sorted(names)[-2 * MOST_BACKUPS :]]
        return [entry for entry in found if entry is not None]

    # what others made -----------------------------------------------------------------------------------------------

    def _scan(self) -> List[Answer]:
        try:
            listed = os.listdir(self.folder)
        except OSError as error:
            raise Refused("unreadable", f"{self.folder} can't be read: {error.strerror}") from None
        pattern = str(self.entry.get("pattern", "*"))
        found = []
        for name in sorted(listed):
            if name.startswith(".") or not fnmatch.fnmatchcase(name, pattern):
                continue
            path = f"{self.folder}/{name}"
            try:
                info = os.lstat(path)
            except OSError:
                continue  # it vanished meanwhile
            if stat.S_ISREG(info.st_mode) or stat.S_ISDIR(info.st_mode):
                found.append(self._taken_in(path, info))
        once = {entry["id"]: entry for entry in reversed(found)}
        self._forget(set(once))
        return list(once.values())

    def _taken_in(self, path: str, info: os.stat_result) -> Answer:
        """One of them, with what is known of it while it is as it was."""
        changed = max(info.st_mtime, info.st_ctime) if stat.S_ISREG(info.st_mode) else _newest(path)
        taken = min(info.st_mtime, changed) if stat.S_ISREG(info.st_mode) else changed
        size = info.st_size if stat.S_ISREG(info.st_mode) else _size(path)
        # Not by its name: many tools call yesterday's backup another name today.
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(taken))
        backup = f"{self.name}-{stamp}." + name_of(f"{taken} {size}")[:6]
        known = self._read(f"{self.notes}/{backup}.json", path)
        if known is not None:
            return known
        entry: Answer = dict.fromkeys(KEYS)
        entry.update(
            id=backup, set=self.name, kind="database", path=path, bytes=size, made_by="found",
            taken_at=utc_text(taken), finished_at=utc_text(changed),
        )  # fmt: skip
        young = time.time() - changed
        settle = float(self.entry.get("settle_seconds", SETTLE_SECONDS))
        if young < settle:
            entry["problem"] = f"it was written to {max(0.0, young):.0f} s ago, and may not be complete"
            return entry
        try:
            kind = recognise(path)
        except OSError as error:
            entry["problem"] = f"it can't be read: {error.strerror}"
            return entry
        entry.update(format=kind.format, engine=kind.engine, problem=kind.why or None)
        if kind.format == "tar.gz":
            entry["kind"] = "files"
        return entry

    def _forget(self, live: Any) -> None:
        """Drop notes of what is gone."""
        try:
            names = os.listdir(self.notes)
        except OSError:
            return
        for name in names:
            if name.endswith(".json") and name[:-5] not in live:
                os.unlink(f"{self.notes}/{name}")


def understood(found: Any, shelf: Shelf) -> Answer:
    """An entry of a catalogue, checked: one may come from another server.

    Raises:
        ValueError: it isn't that.
    """
    if not isinstance(found, dict) or set(found) - set(KEYS):
        raise ValueError("it is no entry of a catalogue")
    entry: Answer = dict(dict.fromkeys(KEYS), **found)
    texts = [entry[key] for key in ("id", "set", "kind", "path", "taken_at", "made_by")]
    if not all(isinstance(text, str) and text.isprintable() for text in texts) or entry["set"] != shelf.name:
        raise ValueError("it is of no backup of this set")
    if not isinstance(entry["bytes"], int) or entry["bytes"] < 0:
        raise ValueError("it has no size")
    if entry["sha256"] is not None and not re.match(r"[0-9a-f]{64}\Z", str(entry["sha256"])):
        raise ValueError("its checksum is none")
    try:
        shelf.check_id(entry["id"])
    except Refused as error:
        raise ValueError(str(error)) from None
    return entry


def without_tables(entries: List[Answer], budget: int) -> List[Answer]:
    """The entries for one line: row counts only as long as they fit, newest first, and nothing of our own."""
    told = []
    for entry in entries:
        entry = {key: value for key, value in entry.items() if key != "trees"}
        size = len(json.dumps(entry.get("tables")))
        budget -= size
        told.append(entry if budget > 0 else dict(entry, tables=None))
    return told


def _newest(path: str) -> float:
    newest = 0.0
    for above, _, files in os.walk(path):
        for name in [above] + [os.path.join(above, file) for file in files]:
            try:
                info = os.lstat(name)
            except OSError:
                continue
            newest = max(newest, info.st_mtime)
    return newest


def _size(path: str) -> int:
    total = 0
    for above, _, files in os.walk(path):
        for name in files:
            try:
                total += os.lstat(os.path.join(above, name)).st_size
            except OSError:
                continue
    return total
