"""Backups that other tools made: which there are in a folder, and what is known of one that nobody looked into yet."""

import fnmatch
import os
import stat
import time
from typing import Iterator

from .catalogue_entry import KEYS
from .core import Answer, Refused, name_of, utc_text
from .reading import recognise

SETTLE_SECONDS = 120.0


class FoundBackup:
    """One of them, as it lies there."""

    def __init__(self, path: str, info: os.stat_result) -> None:
        self.path = path
        if stat.S_ISREG(info.st_mode):
            self.bytes, self.changed = info.st_size, max(info.st_mtime, info.st_ctime)
            self.taken = min(info.st_mtime, self.changed)
        else:
            self.bytes, self.changed = _size(path), _newest(path)
            self.taken = self.changed

    def id_in(self, name: str) -> str:
        """Its id in the set of that name. Not by its own name: many tools call yesterday's another name today."""
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self.taken))
        return f"{name}-{stamp}." + name_of(f"{self.taken} {self.bytes}")[:6]

    def entry(self, name: str, settle_seconds: float) -> Answer:
        """Its entry in the catalogue of the set of that name. Until it has kept still that long, it is no good."""
        entry: Answer = dict.fromkeys(KEYS)
        entry.update(
            id=self.id_in(name), set=name, kind="database", path=self.path, bytes=self.bytes, made_by="found",
            taken_at=utc_text(self.taken), finished_at=utc_text(self.changed),
        )  # fmt: skip
        young = time.time() - self.changed
        if young < settle_seconds:
            entry["problem"] = f"it was written to {max(0.0, young):.0f} s ago, and may not be complete"
            return entry
        try:
            kind = recognise(self.path)
        except OSError as error:
            entry["problem"] = f"it can't be read: {error.strerror}"
            return entry
        entry.update(format=kind.format, engine=kind.engine, problem=kind.why or None)
        if kind.format == "tar.gz":
            entry["kind"] = "files"
        return entry


def found_in(folder: str, pattern: str) -> Iterator[FoundBackup]:
    """Those in a folder, by name.

    Raises:
        Refused: ``unreadable``.
    """
    try:
        listed = os.listdir(folder)
    except OSError as error:
        raise Refused("unreadable", f"{folder} can't be read: {error.strerror}") from None
    for name in sorted(listed):
        if name.startswith(".") or not fnmatch.fnmatchcase(name, pattern):
            continue
        path = f"{folder}/{name}"
        try:
            info = os.lstat(path)
        except OSError:
            continue  # it vanished meanwhile
        if stat.S_ISREG(info.st_mode) or stat.S_ISDIR(info.st_mode):
            yield FoundBackup(path, info)


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
