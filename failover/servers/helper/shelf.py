"""The backups of one set on this server: the files, and the catalogue that says what is known of each.

What failover made lies in the set's folder as ``ID.EXT`` with ``ID.json`` beside it. What other tools made is taken in
as it lies there: nothing is written beside it, so its catalogue is kept with the helper's own state.
"""

import json
import os
import stat
import time
from typing import Collection, Dict, List, Optional

from .catalogue_entry import KEYS, MOST_CATALOGUE_BYTES, check_id, understood
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
from .found_backup import SETTLE_SECONDS, found_in

EXTENSION = {"custom": "dump", "plain.gz": "sql.gz", "dump.gz": "sql.gz", "tar.gz": "tar.gz"}
MOST_BACKUPS = 500


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
        check_id(self.name, backup)
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
                entry = understood(parse_json(file.read(MOST_CATALOGUE_BYTES)), self.name)
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
            check_id(self.name, backup)
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
        """Each with what is known of it while it is as it was."""
        settle = float(self.entry.get("settle_seconds", SETTLE_SECONDS))
        once: Dict[str, Answer] = {}
        for one in found_in(self.folder, str(self.entry.get("pattern", "*"))):
            backup = one.id_in(self.name)
            once.setdefault(backup, self._read(self._json(backup), one.path) or one.entry(self.name, settle))
        self._forget(once)
        return list(once.values())

    def _forget(self, live: Collection[str]) -> None:
        """Drop notes of what is gone."""
        try:
            names = os.listdir(self.notes)
        except OSError:
            return
        for name in names:
            if name.endswith(".json") and name[:-5] not in live:
                os.unlink(f"{self.notes}/{name}")
