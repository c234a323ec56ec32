"""``backup``: whether a set's backups are recent, good, many enough, in both places, and tried by restoring them."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

from pydantic import Field

from failover.backups.catalogue import Shelf, read_shelf
from failover.backups.judge import Wanted, problems
from failover.errors import Unhealthy
from failover.model import Span, format_span, utc_now
from failover.probes.base import Probe, Seen, Sight, ask

HOUR = 3600.0


class BackupProbe(Probe):
    """Up when the backups of a set are what people count on; the reason lists everything that they aren't.

    It never starts a plan: what a bad backup calls for is a good one.
    """

    kind: Literal["backup"] = "backup"
    every: Span = Field(default=300.0, gt=0, description="Time from one look to the next.")
    timeout: Span = Field(default=30.0, gt=0, description="Total time that one look may take.")
    confirm_every: Span = Field(default=60.0, gt=0, description="After a failed look the next follow at this distance.")
    fall: int = Field(default=2, ge=1, le=100, description="Failed looks in a row that mean down.")
    rise: int = Field(default=1, ge=1, le=100, description="Good looks in a row that mean up again.")
    fails_over: Literal[False] = Field(default=False, description="A backup is never a reason to move a role.")
    set: str = Field(description="The set, by its name under `backups`.")
    newest_within: Span = Field(default=26 * HOUR, gt=0, description="How old the newest good backup may be.")
    keep_days: int | None = Field(
        default=None, ge=1, le=400, description="Each of so many last days has a good backup, once the set is that old."
    )
    verified_within: Annotated[Span, Field(gt=0)] | None = Field(
        default=None, description="The newest good backup was read to its end, checksum and all, this recently."
    )
    restore_tested_within: Annotated[Span, Field(gt=0)] | None = Field(
        default=None, description="A backup of the set was restored to try it this recently."
    )

    async def look(self, sight: Sight) -> Seen:
        """See :class:`Probe`."""
        settings = sight.backup_set(self.set)
        shelves = await asyncio.gather(*(self._shelf(sight, server) for server in settings.servers))
        wanted = Wanted(self.newest_within, self.keep_days, self.verified_within, self.restore_tested_within)
        now = utc_now()
        found = list(problems(shelves, settings, wanted, now))
        if found:
            raise Unhealthy("; ".join(found))
        newest = shelves[0].good[0]
        age = max(0.0, (now - newest.taken_at).total_seconds())
        values = {"backup_age_seconds": age, "backup_bytes": float(newest.bytes)}
        return Seen(f"{newest.id}, {format_span(age)} old, of {newest.bytes} bytes", values=values)

    async def _shelf(self, sight: Sight, server: str) -> Shelf:
        answer = await ask(sight, server, "backups", self.timeout, set=self.set)
        return read_shelf(self.set, server, answer, utc_now())
