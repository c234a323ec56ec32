"""What the monitor knows of all backups: what the servers said last, and what the journal says was done."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from failover.backups.backup import Backup
from failover.model import Event


@dataclass(frozen=True, slots=True)
class Shelf:
    """The backups of one set on one server, as that server last said."""

    set: str
    server: str
    backups: tuple[Backup, ...] = ()
    """Newest first."""
    at: datetime | None = None
    """When it was asked; None: not yet."""
    trouble: str | None = None
    """Why the newest question had no answer; the backups are then as they were before."""
    free_bytes: int | None = None
    since: datetime | None = None
    """Since when the server knows of the set: nobody can expect older backups."""

    @property
    def good(self) -> tuple[Backup, ...]:
        """Those that can be used, newest first."""
        return tuple(one for one in self.backups if one.good)


@dataclass(frozen=True, slots=True)
class LastMade:
    """The newest attempt to make a backup of a set."""

    id: str
    server: str
    at: datetime
    problem: str | None = None


def read_shelf(name: str, server: str, answer: Mapping[str, Any], at: datetime) -> Shelf:
    """What a server says that it has of a set; an entry that can't be understood is trouble, and hides no other."""
    found: list[Backup] = []
    trouble: str | None = None
    for entry in answer.get("backups", ()):
        try:
            found.append(Backup.of(entry, server))
        except ValueError as error:
            trouble = str(error)
    found.sort(key=lambda one: (one.taken_at, one.id), reverse=True)
    free, since = answer.get("free_bytes"), answer.get("since")
    return Shelf(
        name,
        server,
        tuple(one for one in found if one.set == name),
        at,
        trouble,
        free if isinstance(free, int) else None,
        datetime.fromisoformat(since) if isinstance(since, str) else None,
    )


class Catalogue:
    """Keeps it. Thread-safe: what is read is a value that doesn't change any more."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shelves: dict[tuple[str, str], Shelf] = {}
        self._made: dict[str, LastMade] = {}

    def apply(self, event: Event) -> None:
        """Take in an event of the journal; others than those of backups change nothing."""
        data = event.data
        with self._lock:
            if event.kind == "backup.made":
                self._made[data["set"]] = LastMade(data["id"], data["server"], event.at, data.get("problem"))
            elif event.kind == "backup.verified":
                for key, shelf in self._shelves.items():
                    if key[0] == data["set"] and data.get("server", key[1]) == key[1]:
                        self._shelves[key] = replace(shelf, backups=tuple(_told(one, event) for one in shelf.backups))
            elif event.kind == "backup.pruned":
                gone = set(data["ids"])
                for key, shelf in self._shelves.items():
                    if key[0] == data["set"] and data.get("server", key[1]) == key[1]:
                        left = tuple(one for one in shelf.backups if one.id not in gone)
                        self._shelves[key] = replace(shelf, backups=left)

    def took(self, shelf: Shelf) -> None:
        """A server answered."""
        with self._lock:
            self._shelves[shelf.set, shelf.server] = shelf

    def missed(self, name: str, server: str, why: str) -> None:
        """A server didn't."""
        with self._lock:
            before = self._shelves.get((name, server), Shelf(name, server))
            self._shelves[name, server] = replace(before, trouble=why)

    def shelf(self, name: str, server: str) -> Shelf:
        """What is known of a set on a server."""
        with self._lock:
            return self._shelves.get((name, server), Shelf(name, server))

    def shelves(self, name: str | None = None) -> tuple[Shelf, ...]:
        """All of a set, or of all sets."""
        with self._lock:
            return tuple(shelf for key, shelf in self._shelves.items() if name in (None, key[0]))

    def backups(self, *names: str) -> tuple[Backup, ...]:
        """Every backup of these sets, on every server, newest first."""
        with self._lock:
            found = [one for key, shelf in self._shelves.items() if key[0] in names for one in shelf.backups]
        return tuple(sorted(found, key=lambda one: (one.taken_at, one.id), reverse=True))

    def last_made(self, name: str) -> LastMade | None:
        """The newest attempt to make a backup of a set, over restarts of the daemon."""
        with self._lock:
            return self._made.get(name)


def _told(one: Backup, event: Event) -> Backup:
    if one.id != event.data["id"]:
        return one
    return (
        replace(one, verified_at=event.at, problem=None)
        if event.data["sound"]
        else replace(one, problem=event.data.get("why") or "it was found unsound")
    )
