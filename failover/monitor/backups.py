"""Has backups made when they are due, and read again from time to time; knows what every server has of every set."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol
from zoneinfo import ZoneInfo

from failover.backups import Backup, Catalogue, MadeSet
from failover.backups.catalogue import read_shelf
from failover.backups.due import last_due
from failover.backups.settings import DatabaseSet
from failover.errors import Busy, FailoverError, ServerError
from failover.journal.run_view import DAEMON, RunView
from failover.journal.site_view import SiteView
from failover.model import Cause, Event, RunKind, RunState, utc_now
from failover.monitor.calendar import Calendar
from failover.monitor.setup import Setup
from failover.monitor.sight import Asker
from failover.monitor.starts import Starts
from failover.recover.builtin import back_up, verify_backup
from failover.recover.plan import Plan
from failover.recover.steps.backup_made import newest_since

log = logging.getLogger(__name__)

ROUND_SECONDS = 60.0
"""A backup that is due and couldn't be begun is begun this soon after it can be."""
LIST_EVERY_SECONDS = 300.0
LIST_SECONDS = 30.0
RETRY_SECONDS = 900.0
"""After an attempt that failed: a full disk or a wrong password isn't another one a minute later."""
READ_AGAIN = timedelta(days=7)
TRY_READING_SECONDS = 6 * 3600.0
BACKUP_KINDS = ("backup.made", "backup.copied", "backup.verified", "backup.restored", "backup.pruned")
REMEMBERED = 200


class Events(Protocol):
    """Where past events come from: a :class:`~failover.journal.Journal`."""

    def events(
        self, *, site: str | None, kinds: tuple[str, ...] | None, newest_first: bool, limit: int | None
    ) -> list[Event]:
        """See the journal."""
        ...


class BackupKeeper:
    """Of one site. Runs give way to every recovery, and are begun again after it; what was missed is made up for."""

    def __init__(
        self,
        setup: Setup,
        view: SiteView,
        starts: Starts,
        asker: Asker,
        calendar: Calendar,
        before: BackupKeeper | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._setup = setup
        self._view = view
        self._starts = starts
        self._asker = asker
        self._calendar = calendar
        self._now = now
        self._zone = ZoneInfo(setup.timezone)
        self.catalogue: Catalogue = before.catalogue if before is not None else Catalogue()
        self._asked: dict[tuple[str, str], float] = {}
        self._not_before: dict[str, float] = {}
        self._read: dict[tuple[str, str], float] = {}
        if setup.backups:
            calendar.every("backups", ROUND_SECONDS, self._round)
        for name, its in self._made_sets():
            calendar.daily(f"backup {name}", its.times, self._zone, partial(self._make_if_due, name))

    def recall(self, journal: Events) -> None:
        """Take in what the journal has of the last backups."""
        events = journal.events(site=self._setup.site, kinds=BACKUP_KINDS, newest_first=True, limit=REMEMBERED)
        for event in reversed(events):
            self.catalogue.apply(event)

    def heard(self, event: Event) -> None:
        """A backup was made, copied, read, restored or removed: servers are asked again soon. Or the database moved,
        and one is due."""
        if event.kind in BACKUP_KINDS:
            self.catalogue.apply(event)
            self._asked = {key: at for key, at in self._asked.items() if key[0] != event.data["set"]}
        if event.kind in (*BACKUP_KINDS, "role.moved"):
            self._calendar.soon("backups")

    def look_soon(self) -> None:
        """A run ended: what is due and couldn't be begun beside it can be now."""
        self._calendar.soon("backups")

    def ended(self, run: RunView) -> None:
        """A run of ours ended; one that gave way is begun again at the next round."""
        if run.plan.startswith("backup-") and run.state is not RunState.ABORTED:
            wait = 0.0 if run.state is RunState.DONE else RETRY_SECONDS
            self._not_before[run.plan] = time.monotonic() + wait

    # what there is ---------------------------------------------------------------------------------------------

    async def look(self, name: str) -> None:
        """Ask every server of a set what it has."""
        await asyncio.gather(*(self._list(name, server) for server in self._setup.backups[name].servers))

    async def _list(self, name: str, server: str) -> None:
        try:
            answer = await self._asker.ask(server, "backups", LIST_SECONDS, set=name)
            self.catalogue.took(read_shelf(name, server, answer, self._now()))
        except ServerError as error:
            self.catalogue.missed(name, server, error.sentence)
        self._asked[name, server] = time.monotonic()

    async def _round(self) -> None:
        stale = time.monotonic() - LIST_EVERY_SECONDS
        for name, its in self._setup.backups.items():
            if any(self._asked.get((name, server), float("-inf")) <= stale for server in its.servers):
                await self.look(name)
        for name, _ in self._made_sets():
            await self._make_if_due(name)
        await self._read_one()

    def _made_sets(self) -> Iterator[tuple[str, MadeSet]]:
        yield from ((name, its) for name, its in self._setup.backups.items() if isinstance(its, MadeSet))

    # what is due -----------------------------------------------------------------------------------------------

    async def _make_if_due(self, name: str) -> None:
        """Begin to make a backup, or to bring it to its second place, if that is due and isn't done."""
        its = self._setup.backups[name]
        assert isinstance(its, MadeSet)  # noqa: S101 - only such sets are on the calendar
        due = self.due(its)
        if self.is_done(name, its, due):
            return
        plan = back_up(its.role, name, due, self._setup.timezone)
        await self._begin(f"backup-{name}", plan, f"a backup of {name} is due since {due:%Y-%m-%d %H:%M} UTC")

    def due(self, its: MadeSet) -> datetime:
        """Since when a backup is due: by the calendar, or since the database moved. The backups before are of another
        server's rows, and after a rollback the newest of them isn't what serves."""
        due = last_due(self._now(), its.times, self._zone)
        move = self._view.moves.newest.get(its.role)
        return max(due, move.at) if move is not None and isinstance(its, DatabaseSet) else due

    def is_done(self, name: str, its: MadeSet, due: datetime) -> bool:
        """Whether the backup that is due is made and copied, as far as its servers said; so while they say nothing."""
        shelf = self.catalogue.shelf(name, its.on)
        if shelf.at is None:
            return True  # nobody knows yet, and nothing could be made there either
        fresh = newest_since(shelf, due)
        if fresh is None:
            return False
        others = [self.catalogue.shelf(name, server) for server in its.servers[1:]]
        return all(
            other.at is None or other.trouble is not None or any(one.id == fresh.id for one in other.backups)
            for other in others
        )

    # what is to be read ----------------------------------------------------------------------------------------

    async def _read_one(self) -> None:
        """Read a backup that never was read, the newest first; else the one that wasn't for the longest time."""
        begun = time.monotonic() - TRY_READING_SECONDS
        waiting = [
            one
            for shelf in self.catalogue.shelves()
            if shelf.set in self._setup.backups and shelf.trouble is None
            for one in shelf.backups
            if one.problem is None and self._read.get((one.server, one.id), float("-inf")) <= begun
        ]
        chosen = self._to_read(waiting)
        if chosen is None:
            return
        role = self._setup.backups[chosen.set].role
        plan = verify_backup(role, chosen.set, chosen.id, chosen.server)
        why = f"{chosen.id} on {chosen.server} is read to its end"
        if await self._begin(f"verify-{chosen.set}", plan, why):
            self._read[chosen.server, chosen.id] = time.monotonic()

    def _to_read(self, waiting: list[Backup]) -> Backup | None:
        never = [one for one in waiting if one.verified_at is None]
        if never:
            return max(never, key=lambda one: one.taken_at)
        long_ago = [one for one in waiting if one.verified_at and self._now() - one.verified_at > READ_AGAIN]
        return min(long_ago, key=lambda one: one.verified_at or one.taken_at, default=None)

    async def _begin(self, name: str, plan: Plan, why: str) -> bool:
        """Begin a run unless another is under way, or the last attempt failed just now; whether it was begun."""
        if self._starts.under_way is not None or time.monotonic() < self._not_before.get(name, float("-inf")):
            return False
        try:
            run = await asyncio.wrap_future(self._starts.keep(name, plan, RunKind.AHEAD, Cause(DAEMON, why)))
        except Busy:
            return False
        except FailoverError as error:
            log.warning("%s: %s", name, error)
            self._not_before[name] = time.monotonic() + RETRY_SECONDS
            return False
        return run is not None


def why_frozen(view: SiteView) -> str | None:
    """Why no backup may be removed now: the newest ones may hold what the incident did, and the old ones may not."""
    serious = [one for one in view.incidents.open if one.severity == "page"]
    if not serious:
        return None
    return "; ".join(f"incident {one.number} is open: {one.about}" for one in serious)
