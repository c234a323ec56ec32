"""What the journal says of earlier runs that matters to the next one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from failover.errors import NotAllowed
from failover.journal import Journal
from failover.journal.move_view import MOVE_KINDS, Move, Moves, moves
from failover.journal.queries import RunView, runs
from failover.model import RunKind, Token, utc_now
from failover.recover.doubts import about, settles

OLDEST = Token(0, 0)
"""Of a run whose beginning wasn't read: nothing is settled by it, and any newer one settles it."""
_DOUBT_FOR = timedelta(hours=1)
"""How far back a request can matter: longer than any deadline, and than any jump of the clock that passes unnoticed."""


@dataclass(frozen=True, slots=True)
class Request:
    """A change that was sent, and of which nobody knows whether it was done."""

    server: str
    verb: str
    args: Mapping[str, Any]
    within_seconds: float
    token: Token
    at: datetime


class Past:
    """Asks the journal of one site."""

    def __init__(self, journal: Journal, site: str, now: Callable[[], datetime] = utc_now) -> None:
        self._journal = journal
        self._site = site
        self._now = now

    def unfinished(self) -> list[RunView]:
        """Runs that were opened and not ended, oldest first."""
        heads = self._journal.events(site=self._site, kinds=["run.opened", "run.resumed", "run.ended"])
        return [self._view(view.number) for view in runs(heads) if not view.state.ended]

    def _view(self, number: int) -> RunView:
        return runs(self._journal.events(run=number))[0]

    def requests_in_doubt(self) -> list[Request]:
        """Requests of the last hour that may still act: no outcome was written, or an unknown one; and the server did
        nothing about the same thing for a newer token since."""
        kinds = ["run.opened", "run.resumed", "change.intended", "change.outcome"]
        newest = self._journal.events(site=self._site, kinds=kinds, newest_first=True, limit=1000)
        tokens: dict[int | None, Token] = {}
        doubts: dict[tuple[int | None, int], Request] = {}
        for event in reversed(newest):
            data = event.data
            if event.kind in ("run.opened", "run.resumed"):
                if "token" in data:
                    tokens[event.run] = Token(*data["token"])
                continue
            key = event.run, int(data["change"])
            if event.kind == "change.intended":
                token = tokens.get(event.run, OLDEST)
                doubts[key] = Request(
                    data["server"], data["verb"], data["args"], data["within_seconds"], token, event.at
                )
                continue
            done = doubts.pop(key, None) if data["result"] != "unknown" else None
            if done is not None and data["result"] == "ok" and settles(done.verb, done.args):
                same = about(done.server, done.verb, done.args)
                doubts = {
                    key: kept
                    for key, kept in doubts.items()
                    if about(kept.server, kept.verb, kept.args) != same or kept.token >= done.token
                }
        since = self._now() - _DOUBT_FOR
        return [request for request in doubts.values() if request.at >= since]

    def unsettled(self, role: str) -> RunView | None:
        """The newest move of a role that left it open who holds it, and that no later move has settled."""
        open_runs: dict[int, bool] = {}
        kinds = ["run.opened", "run.resumed", "run.ended", "role.moved"]
        for event in self._journal.events(site=self._site, kinds=kinds):
            number = int(event.run or 0)
            if event.kind == "run.opened":
                if event.data.get("role") == role and RunKind(event.data["kind"]).moves:
                    open_runs[number] = True
            elif event.kind == "role.moved" and event.data["role"] == role:
                open_runs = {later: left for later, left in open_runs.items() if later > number}
            elif number in open_runs:
                open_runs[number] = event.kind == "run.resumed" or not event.data.get("settled", False)
        left = [number for number, is_open in open_runs.items() if is_open]
        return self._view(left[-1]) if left else None

    def moves(self) -> Moves:
        """Which moves of roles can be rolled back, and when a role left a server."""
        return moves(self._journal.events(site=self._site, kinds=MOVE_KINDS))

    def open_move(self, role: str, pair: tuple[str, str] | None = None) -> Move:
        """The move that a rollback takes back, by which the role would leave the pair's first server for its second.

        Raises:
            NotAllowed: there is none, or not any more; names what can be done instead.
        """
        newest = self.moves().newest.get(role)
        instead = f"to move {role} as planned, use: failover switch {role}"
        if newest is None:
            raise NotAllowed(f"{role} was never moved, so there is nothing to roll back or to commit; {instead}")
        if not newest.open(self._now()):
            raise NotAllowed(f"{newest.stands}; {instead}")
        if pair not in (None, (newest.new, newest.old)):
            raise NotAllowed(
                f"{role} moved from {newest.old} to {newest.new} in run {newest.run}, and that isn't how the config "
                f"and the journal have it now; {instead}"
            )
        return newest

    def moved_since(self, view: RunView) -> int | None:
        """The number of a newer run that moved the same role, if there is one."""
        for event in self._journal.events(site=self._site, kinds=["role.moved"], newest_first=True, limit=50):
            if event.data["role"] == view.role and event.run is not None and event.run > view.number:
                return event.run
        return None
