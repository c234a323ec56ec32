"""What the journal says of the roles' databases: which backup serves, and what was restored ahead of time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from failover.model import Event


@dataclass(frozen=True, slots=True)
class Swap:
    """The newest time that a role's database was put in place: a restored one, or by a rollback the one of before."""

    role: str
    server: str
    set: str
    backup: str
    """The backup that it was restored from; none where a rollback let serve again what a server had kept."""
    taken_at: datetime
    at: datetime
    tables: Mapping[str, int] | None = None
    """Rows by table in what was restored."""
    loss_seconds: float = 0.0
    """How much of what was written was lost by it; nothing in a planned move."""


@dataclass(frozen=True, slots=True)
class Restored:
    """The newest time that a backup was restored, and what it took: what the next one is foretold from."""

    role: str
    server: str
    set: str
    backup: str
    taken_at: datetime
    into: str
    bytes: int
    rows: int
    seconds: float
    ahead: bool
    at: datetime


class Databases:
    """A fold: by role, the newest swap; by role and server, the newest restore."""

    def __init__(self) -> None:
        self.swaps: dict[str, Swap] = {}
        self.restored: dict[tuple[str, str], Restored] = {}

    def apply(self, event: Event) -> None:
        """Take in one more event; others than its own change nothing."""
        data = event.data
        if event.kind == "database.swapped":
            self.swaps[data["role"]] = Swap(
                role=data["role"],
                server=data["server"],
                set=data["set"],
                backup=data["backup"],
                taken_at=datetime.fromisoformat(data["taken_at"]),
                at=event.at,
                tables=data.get("tables"),
                loss_seconds=float(data.get("loss_seconds") or 0.0),
            )
        elif event.kind == "database.reinstated":
            self.swaps[data["role"]] = Swap(
                role=data["role"],
                server=data["server"],
                set="",
                backup="",
                taken_at=datetime.fromisoformat(data["since"]),
                at=event.at,
                loss_seconds=float(data["loss_seconds"]),
            )
        elif event.kind == "database.restored":
            self.restored[data["role"], data["server"]] = Restored(
                role=data["role"],
                server=data["server"],
                set=data["set"],
                backup=data["backup"],
                taken_at=datetime.fromisoformat(data["taken_at"]),
                into=data["into"],
                bytes=int(data.get("bytes") or 0),
                rows=int(data.get("rows") or 0),
                seconds=float(data.get("seconds") or 0.0),
                ahead=bool(data.get("ahead")),
                at=event.at,
            )


DATABASE_KINDS = ("database.swapped", "database.reinstated", "database.restored")
"""The kinds of events that :class:`Databases` is made of."""
