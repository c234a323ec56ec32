"""A role's database: what its servers hold of it, and the names by which a restored one is told from one that serves.

``wcm`` serves; ``wcm__20261124t020000`` is restored and not yet in place, a *shadow*, named by the moment that it
holds; ``wcm__old_20261124t091450`` served until then and is kept. Only shadows are ever dropped (I7).
"""

from __future__ import annotations

import re
import threading
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

Engine = Literal["postgresql", "mariadb"]

NAME = r"^[a-z_][a-z0-9_]{0,39}$"
"""Names of databases: so short that a kept one's name still fits (PostgreSQL cuts names at 63 bytes)."""

_SHADOW = re.compile(r"__(\d{8}t\d{6})")
_OLD = re.compile(r"__old_(\d{8}t\d{6})")
_STAMP = "%Y%m%dt%H%M%S"


@dataclass(frozen=True, slots=True)
class Database:
    """A role's database as the config has it."""

    engine: Engine
    name: str
    owner: str
    user: str
    port: int
    queries: Mapping[str, str] = field(default_factory=dict)
    """Questions of the site's own that a good copy answers, by name."""


def shadow_name(name: str, moment: datetime) -> str:
    """What a copy restored beside the database is called: ``wcm__20261124t020000``."""
    return f"{name}__{moment.astimezone(UTC):{_STAMP}}"


def old_name(name: str, moment: datetime, taken: Container[str] = ()) -> str:
    """What a database is called once it was taken out of service: ``wcm__old_20261124t091450``; never one ``taken``."""
    while (found := f"{name}__old_{moment.astimezone(UTC):{_STAMP}}") in taken:
        moment += timedelta(seconds=1)
    return found


def moment_of(name: str, found: str) -> datetime | None:
    """The moment that a shadow of ``name`` holds; None for every other database."""
    match = _SHADOW.fullmatch(found.removeprefix(name)) if found.startswith(name) else None
    return datetime.strptime(match[1], _STAMP).replace(tzinfo=UTC) if match else None


def kept(name: str, found: str) -> bool:
    """Whether it is one that served once and was taken out of service."""
    return found.startswith(name) and _OLD.fullmatch(found.removeprefix(name)) is not None


@dataclass(frozen=True, slots=True)
class Shadow:
    """A restored copy that stands beside the database of its name."""

    into: str
    backup: str | None
    """The backup that it was restored from and checked against; None while it is half made."""
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """What a server's helper says of the database."""

    up: bool
    exists: bool
    read_only: bool
    version: str
    bytes: int
    notes: Mapping[str, str | None]
    """Every database of that name, itself, shadows and kept ones, with the backup that it was restored from."""
    shadows: tuple[Shadow, ...]
    """Newest moment first."""

    @property
    def takes_writes(self) -> bool:
        """Whether somebody could write to it now."""
        return self.up and self.exists and not self.read_only

    def shadow_of(self, backup: str) -> Shadow | None:
        """The finished shadow of a backup."""
        return next((shadow for shadow in self.shadows if shadow.backup == backup), None)


def seen(name: str, answer: Mapping[str, Any]) -> Seen:
    """Read a helper's answer to ``database``."""
    found = [entry for entry in answer.get("databases") or () if str(entry["name"]).startswith(name)]
    shadows = [
        Shadow(str(entry["name"]), _note(entry), int(entry.get("bytes") or 0))
        for entry in found
        if moment_of(name, str(entry["name"])) is not None
    ]
    return Seen(
        up=bool(answer["up"]),
        exists=bool(answer.get("exists")),
        read_only=bool(answer.get("read_only")),
        version=str(answer.get("version") or ""),
        bytes=int(answer.get("bytes") or 0),
        notes={str(entry["name"]): _note(entry) for entry in found},
        shadows=tuple(sorted(shadows, key=lambda shadow: shadow.into, reverse=True)),
    )


def _note(entry: Mapping[str, Any]) -> str | None:
    return str(entry["note"]) if entry.get("note") else None


class Restores:
    """Which backups a server could not restore, for the life of the daemon: a recovery tries these last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._refused: dict[tuple[str, str], str] = {}

    def refused(self, server: str, backup: str, why: str) -> None:
        """The backup was tried there and is not good, or not for that server."""
        with self._lock:
            self._refused[server, backup] = why

    def restored(self, server: str, backup: str) -> None:
        """The backup was restored there after all."""
        with self._lock:
            self._refused.pop((server, backup), None)

    def refusal(self, server: str, backup: str) -> str | None:
        """Why it can't be restored there, as far as is known."""
        with self._lock:
            return self._refused.get((server, backup))
