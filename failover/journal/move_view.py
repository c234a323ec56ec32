"""The roles' moves: when a role left a server, and until when its newest move can be rolled back. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from failover.model import Event


@dataclass(frozen=True, slots=True)
class Move:
    """A role's newest move: open until it is committed, by time or by a person's word."""

    role: str
    old: str
    """The server that it left, where a rollback moves it back to."""
    new: str
    run: int
    at: datetime
    until: datetime
    """When it is committed, or was."""
    by: str = ""
    """Who committed it, where that was a person."""

    def open(self, now: datetime) -> bool:
        """Whether it can still be rolled back."""
        return now < self.until

    @property
    def stands(self) -> str:
        """Why it can't be rolled back any more, in words."""
        who = f"{self.by} committed it at" if self.by else "it is committed since"
        moved = f"{self.role} moved from {self.old} to {self.new} in run {self.run}"
        return f"{moved}, and {who} {self.until:%Y-%m-%d %H:%M} UTC"


class Moves:
    """A fold over the moves of a site. What it holds is replaced, never changed, so that any thread may read."""

    def __init__(self) -> None:
        self.newest: dict[str, Move] = {}
        """By role."""
        self.left: dict[tuple[str, str], datetime] = {}
        """By role and server, when the role left the server last."""

    def apply(self, event: Event) -> None:
        """Take in one more event; others than its own change nothing."""
        data = event.data
        if event.kind == "role.moved":
            role, old = str(data["role"]), str(data["from"])
            until = event.at + timedelta(seconds=float(data.get("commit_within_seconds") or 0.0))
            self.newest[role] = Move(role, old, str(data["to"]), int(event.run or 0), event.at, until)
            self.left[role, old] = event.at
        elif event.kind == "move.committed":
            move = self.newest.get(str(data["role"]))
            if move is not None and move.run == data["run"]:
                self.newest[move.role] = replace(move, until=min(move.until, event.at), by=event.by)

    def open(self, role: str, now: datetime) -> Move | None:
        """The role's newest move, while it can be rolled back."""
        move = self.newest.get(role)
        return move if move is not None and move.open(now) else None


MOVE_KINDS = ("role.moved", "move.committed")
"""The kinds of events that :class:`Moves` is made of."""


def moves(events: Iterable[Event]) -> Moves:
    """What these events amount to."""
    found = Moves()
    for event in events:
        found.apply(event)
    return found
