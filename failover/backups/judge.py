"""Whether a set's backups are what people count on: recent, good, many enough, in both places, tried by restoring."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from failover.backups.band import outside
from failover.backups.catalogue import Shelf
from failover.backups.settings import BackupSet
from failover.model import format_span

DAY = timedelta(days=1)
SETTLES = timedelta(hours=1)
"""What was found is read soon after it was; until then it isn't held against the set."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of a set. Spans are in seconds; None: not asked."""

    newest_within: float
    keep_days: int | None = None
    verified_within: float | None = None
    restore_tested_within: float | None = None


def problems(shelves: Sequence[Shelf], settings: BackupSet, wanted: Wanted, now: datetime) -> Iterator[str]:
    """Every way in which the set isn't that, each in a sentence; the first place's come first.

    Args:
        shelves: what each of its servers has, the first place first.
        settings: the set's.
        wanted: what is asked of it.
        now: aware UTC.
    """
    for shelf in shelves:
        yield from _recent(shelf, wanted, now)
    first = shelves[0]
    newest = first.backups[0] if first.backups else None
    if newest is not None and not newest.good and (newest.made_by == "failover" or now - newest.taken_at > SETTLES):
        yield f"the newest one, {newest.id}, is no good: {newest.problem or 'it was never read to its end'}"
    if first.good:
        if (odd := outside(first.good[0], first.backups, settings)) is not None:
            yield f"{first.good[0].id}: {odd}"
        yield from _kept(first, wanted, now)
        yield from _read_again(first, wanted, now)
    yield from _restored(shelves, wanted, now)


def _recent(shelf: Shelf, wanted: Wanted, now: datetime) -> Iterator[str]:
    if not shelf.good:
        yield f"{shelf.server} has no good backup of {shelf.set}"
        return
    newest = next((one for one in shelf.good if one.taken_at <= now), shelf.good[-1])
    age = (now - newest.taken_at).total_seconds()
    if age > wanted.newest_within:
        yield (
            f"the newest good backup on {shelf.server}, {newest.id}, is {format_span(age)} old; "
            f"it is to be no older than {format_span(wanted.newest_within)}"
        )


def _kept(shelf: Shelf, wanted: Wanted, now: datetime) -> Iterator[str]:
    """One good backup for each of the last days, as far back as the server knows of the set."""
    if wanted.keep_days is None:
        return
    known = (now - shelf.since) // DAY if shelf.since is not None else wanted.keep_days
    days = range(min(wanted.keep_days, max(known, 0)))
    held = {(now - one.taken_at) // DAY for one in shelf.good}
    missing = [day for day in days if day not in held]
    if missing:
        yield f"{len(missing)} of the last {len(days)} days have no good backup on {shelf.server}"


def _read_again(shelf: Shelf, wanted: Wanted, now: datetime) -> Iterator[str]:
    newest = shelf.good[0]
    if wanted.verified_within is None or newest.verified_at is None:
        return
    age = (now - newest.verified_at).total_seconds()
    if age > wanted.verified_within:
        yield f"{newest.id} was read to its end {format_span(age)} ago, and not since"


def _restored(shelves: Sequence[Shelf], wanted: Wanted, now: datetime) -> Iterator[str]:
    if wanted.restore_tested_within is None:
        return
    limit = timedelta(seconds=wanted.restore_tested_within)
    times = [one.restored_at for shelf in shelves for one in shelf.backups if one.restored_at is not None]
    since = min((shelf.since for shelf in shelves if shelf.since is not None), default=None)
    last = max(times, default=None)
    if last is None:
        if since is None or now - since > limit:
            yield f"no backup of {shelves[0].set} was ever restored to try it"
    elif now - last > limit:
        age = format_span((now - last).total_seconds())
        yield f"no backup of {shelves[0].set} was restored to try it for {age}"
