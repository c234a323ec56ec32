"""Which backups may go. The newest verified one never may, and none may during an incident (B4, B17)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from failover.backups.backup import Backup
from failover.backups.settings import Keep

Period = Callable[[datetime], object]


@dataclass(frozen=True, slots=True)
class Retention:
    """What stays, with the reason, and what goes."""

    keep: Mapping[str, str]
    """By id, why it stays."""
    drop: tuple[str, ...]
    """Ids, oldest first."""


def retention(
    backups: Iterable[Backup], keep: Keep, now: datetime, zone: tzinfo, frozen: str | None = None
) -> Retention:
    """What may go of the backups of one set on one server.

    Only good ones fill the places of days, weeks and months: seven broken dumps in a row push nothing out. One day has
    one place however many backups were made in it, so that whoever can make backups can't flood the good ones away.

    Args:
        backups: all of the set, as the server has them.
        keep: how many of each period.
        now: aware; what is dated later stays, and counts for nothing.
        zone: where a day begins at midnight for these people.
        frozen: why nothing may go at the moment, or None.
    """
    there = sorted(backups, key=lambda one: (one.taken_at, one.id), reverse=True)
    if frozen is not None:
        return Retention({one.id: frozen for one in there}, ())
    reasons: dict[str, str] = {}
    past = [one for one in there if one.taken_at <= now]
    good = [one for one in past if one.good]
    for one in there:
        if one.taken_at > now:
            reasons[one.id] = "it is dated later than now"
        elif now - one.taken_at <= timedelta(seconds=keep.all_within):
            reasons[one.id] = "it is young"
    if good:
        reasons[good[0].id] = "it is the newest verified one"
        # What is newer may be verified yet, or tells people what goes wrong.
        reasons.update({one.id: "it is newer than the newest verified one" for one in past[: past.index(good[0])]})
    else:
        reasons.update({one.id: "none is verified" for one in there})
    periods: tuple[tuple[str, int, Period], ...] = (
        ("day", keep.daily, lambda at: at.date()),
        ("week", keep.weekly, lambda at: at.isocalendar()[:2]),
        ("month", keep.monthly, lambda at: (at.year, at.month)),
    )
    for name, count, period in periods:
        newest: dict[object, Backup] = {}
        for one in good:
            newest.setdefault(period(one.taken_at.astimezone(zone)), one)
        for one in list(newest.values())[:count]:
            reasons.setdefault(one.id, f"it is the newest of its {name}")
    return Retention(reasons, tuple(one.id for one in reversed(there) if one.id not in reasons))
