"""When a backup was due last: what was missed, because something was down, is made as soon as it can be."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, time, timedelta, tzinfo


def last_due(now: datetime, times: Iterable[time], zone: tzinfo) -> datetime:
    """The newest of these times of the day that is not later than ``now``, as aware UTC.

    A time that a day lacks, because clocks go forward, counts as if they hadn't; one that it has twice is due once.
    """
    local = now.astimezone(zone)
    found = [
        due
        for back in range(3)
        for at in times
        if (due := datetime.combine(local.date() - timedelta(days=back), at, zone).astimezone(UTC)) <= now
    ]
    return max(found)
