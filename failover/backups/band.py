"""Whether a backup's size is one that its kind usually has: half a dump can be sound, and still be half a database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from failover.backups.backup import Backup
from failover.backups.settings import BackupSet

SAMPLES = 7
LEAST_SAMPLES = 3
"""Of fewer nobody can say what is usual."""


def usual_bytes(sizes: Sequence[int]) -> float | None:
    """The median of the last good ones, newest first; None while there are fewer than three."""
    return float(median(sizes[:SAMPLES])) if len(sizes) >= LEAST_SAMPLES else None


def outside(backup: Backup, others: Iterable[Backup], settings: BackupSet) -> str | None:
    """Why its size is a reason for doubt, against the good ones before it; None when it isn't."""
    before = sorted(
        (one for one in others if one.good and one.set == backup.set and one.taken_at < backup.taken_at),
        key=lambda one: one.taken_at,
        reverse=True,
    )
    # A copy of it on a second server is the same backup: it counts once.
    usual = usual_bytes([one.bytes for one in {one.id: one for one in before}.values()])
    if not usual:
        return None
    percent = 100.0 * backup.bytes / usual
    for bound, way in ((settings.smallest_percent, "least"), (settings.largest_percent, "most")):
        if (percent < bound) if way == "least" else (percent > bound):
            return (
                f"its {backup.bytes} bytes are {percent:.0f} % of the usual {usual:.0f}; at {way} {bound:g} % "
                "are expected"
            )
    return None
