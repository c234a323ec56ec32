"""Which units were found fit to be started, and when."""

from __future__ import annotations

import threading
from datetime import datetime

KEEPS_SECONDS = 90.0
"""How long that counts in a recovery: readiness asks anew each minute, and no plan is begun that it found not ready."""


class Fits:
    """Remembers it for as long as the config is the same: a recovery needn't ask what was asked just now.

    Only what comes before the old server is touched is spared; each start asks once more, just before.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[tuple[str, str], datetime] = {}

    def found(self, server: str, unit: str, at: datetime) -> None:
        """Nothing speaks against starting the unit there."""
        with self._lock:
            self._found[server, unit] = at

    def unfit(self, server: str, unit: str) -> None:
        """Something does, or nobody can tell."""
        with self._lock:
            self._found.pop((server, unit), None)

    def last(self, server: str, unit: str) -> datetime | None:
        """When it was last found fit, if it was found so when it was last asked."""
        with self._lock:
            return self._found.get((server, unit))
