"""One backup, as the server that has it says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Backup:
    """What is known of a backup on one server. Times are aware UTC."""

    id: str
    set: str
    server: str
    """Where this copy of it lies."""
    kind: str
    format: str | None
    bytes: int
    taken_at: datetime
    """The moment whose state it holds; for what was found, when its file was written last, which is no earlier."""
    finished_at: datetime | None = None
    engine: str | None = None
    server_version: str | None = None
    tool_version: str | None = None
    path: str = ""
    sha256: str | None = None
    tables: Mapping[str, int] | None = field(default=None, hash=False)
    """Rows by table, counted in the backup itself; None where that isn't known."""
    verified_at: datetime | None = None
    restored_at: datetime | None = None
    problem: str | None = None
    """Why it is no good, in a sentence."""
    made_by: str = "failover"

    @property
    def good(self) -> bool:
        """Whether it was read to its end, found sound, and nothing was found since (I8)."""
        return self.problem is None and self.verified_at is not None and self.bytes > 0

    @classmethod
    def of(cls, answer: Mapping[str, Any], server: str) -> Backup:
        """From what a helper says of it.

        Raises:
            ValueError: it isn't that; a server's word is checked before anything is decided by it.
        """
        try:
            taken = _time(answer["taken_at"])
            if taken is None:
                raise ValueError("it has no time")
            tables = answer.get("tables")
            return cls(
                id=_text(answer["id"]) or "",
                set=_text(answer["set"]) or "",
                server=server,
                kind=_text(answer["kind"]) or "",
                format=_text(answer.get("format")),
                bytes=int(answer["bytes"]),
                taken_at=taken,
                finished_at=_time(answer.get("finished_at")),
                engine=_text(answer.get("engine")),
                server_version=_text(answer.get("server_version")),
                tool_version=_text(answer.get("tool_version")),
                path=_text(answer.get("path")) or "",
                sha256=_text(answer.get("sha256")),
                tables={str(name): int(rows) for name, rows in tables.items()} if isinstance(tables, Mapping) else None,
                verified_at=_time(answer.get("verified_at")),
                restored_at=_time(answer.get("restored_at")),
                problem=_text(answer.get("problem")),
                made_by=_text(answer.get("made_by")) or "failover",
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{server} says of a backup what can't be understood: {error!r}") from None


def made_at(backup_id: str) -> datetime | None:
    """The time in the id of a backup, ``wcm-db-20261124T020000Z``."""
    stamp = backup_id.rpartition("-")[2].partition(".")[0]
    try:
        return datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


def new_id(name: str, now: datetime) -> str:
    """What a backup of the set ``name`` that is begun now is called."""
    return f"{name}-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise ValueError(f"{value!r} is no text")


def _time(value: object) -> datetime | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no time")
    at = datetime.fromisoformat(value)
    if at.tzinfo is None:
        raise ValueError(f"{value!r} has no time zone")
    return at.astimezone(UTC)
