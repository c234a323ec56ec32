"""What keeps a backup from being restored here: it is no good, the database is down, the disk is too small."""

import os
import time
from typing import Dict, Iterable, Tuple

from .core import size_text

RESERVE_BYTES = 64 << 20
"""What is left free on a disk whatever happens: the database that serves needs it to go on."""
STEP_SECONDS = 1.0
"""What grew since a look that is longer ago says nothing of the pace: something else was done meanwhile."""


class Unfit(Exception):
    """A backup can't be restored here, or not well. ``kind`` is for programs, the sentence for people."""

    def __init__(self, kind: str, sentence: str) -> None:
        super().__init__(sentence)
        self.kind = kind


class Down(Exception):
    """The database doesn't answer; the sentence says how."""


class Disk:
    """Watches the disks on which something grows."""

    def __init__(self, folders: Iterable[str]) -> None:
        self.folders = sorted({folder for folder in folders if os.path.isdir(folder)})
        self._seen: Dict[str, Tuple[float, int]] = {}
        """By folder, when it was looked at last, and what was free then."""

    @staticmethod
    def free(folder: str) -> int:
        """Bytes."""
        disk = os.statvfs(folder)
        return disk.f_bavail * disk.f_frsize

    def need(self, folder: str, needed: int) -> None:
        """Refuse now what would end with a full disk.

        Raises:
            Unfit: ``no-space``.
        """
        if os.path.isdir(folder) and self.free(folder) < needed + RESERVE_BYTES:
            raise Unfit(
                "no-space",
                f"it needs at least {size_text(needed)} and {size_text(RESERVE_BYTES)} of reserve in {folder}, where "
                f"{size_text(self.free(folder))} are free",
            )

    def look(self) -> None:
        """Asked again and again while something grows. It is stopped where one more step as large as the last one
        would reach into the reserve: by the time that it has ended it has grown on.

        Raises:
            Unfit: ``no-space``: it must stop before the database that serves has no room either.
        """
        now = time.monotonic()
        for folder in self.folders:
            free = self.free(folder)
            looked_at, before = self._seen.get(folder, (now, free))
            self._seen[folder] = now, free
            grown = max(0, before - free) if now - looked_at <= STEP_SECONDS else 0
            if free - grown < RESERVE_BYTES:
                raise Unfit(
                    "no-space",
                    f"{folder} has only {size_text(free)} left, of which {size_text(RESERVE_BYTES)} are kept free; the"
                    " restore was stopped there",
                )

    def full(self) -> bool:
        """Whether one of them has less than what is kept free."""
        return any(self.free(folder) < RESERVE_BYTES for folder in self.folders)
