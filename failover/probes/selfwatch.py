"""Whether this monitor can be trusted to judge: its loop's lag and its file descriptors, sampled all the time.

A look that ran out of time while the loop stood still says nothing about the website (FAULTS.md, P7). The composition
root starts one :class:`SelfWatch` and offers its :meth:`~SelfWatch.own_fault` as that of every ``Sight``.
"""

from __future__ import annotations

import asyncio
import os
import resource
import time
from collections import deque
from collections.abc import Callable

from failover.model import format_span

TICK_SECONDS = 0.1
FDS_EVERY_SECONDS = 5.0


class SelfWatch:
    """Samples the loop it runs on ten times a second; costs about 0.1 % of a core.

    Args:
        lag_seconds: lag of the loop above which no failed look is evidence.
        memory_seconds: for how long a lag counts. At least the longest timeout of the checks, since a look that began
            before the lag ends after it.
        fds_share: share of the allowed file descriptors above which no failed look is evidence.
        clock: monotonic seconds; tests bring their own.
    """

    def __init__(
        self,
        *,
        lag_seconds: float = 0.5,
        memory_seconds: float = 10.0,
        fds_share: float = 0.95,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._allowed = lag_seconds
        self._memory = memory_seconds
        self._fds_share = fds_share
        self._clock = clock
        self._due: float | None = None
        self._lags: deque[tuple[float, float]] = deque()
        self._fds = (0, 0)
        self._fds_at = float("-inf")

    async def run(self) -> None:
        """Samples until cancelled."""
        while True:
            self.tick(self._clock() + TICK_SECONDS)
            await asyncio.sleep(TICK_SECONDS)
            self.late(self._clock())

    def tick(self, due: float) -> None:
        """The next sample is to come at ``due``."""
        self._due = due
        if self._clock() - self._fds_at >= FDS_EVERY_SECONDS:
            self._fds, self._fds_at = count_fds(), self._clock()

    def late(self, now: float) -> None:
        """The sample that was due came at ``now``."""
        if self._due is None:
            return
        lag, self._due = max(0.0, now - self._due), None
        # Kept in falling order, so that the worst of the window is always the first.
        while self._lags and self._lags[-1][1] <= lag:
            self._lags.pop()
        self._lags.append((now, lag))
        while now - self._lags[0][0] > self._memory:
            self._lags.popleft()

    def worst_lag_seconds(self) -> float:
        """The loop's worst lag of late, one that is still going on among it."""
        now = self._clock()
        overdue = now - self._due if self._due is not None else 0.0
        return max([0.0, overdue, *(lag for at, lag in self._lags if now - at <= self._memory)])

    def own_fault(self) -> str | None:
        """Why no failed look counts at the moment, or None."""
        lag = self.worst_lag_seconds()
        if lag > self._allowed:
            return f"its own loop stood still for {format_span(lag)}, allowed are {format_span(self._allowed)}"
        used, allowed = self._fds
        if allowed and used > allowed * self._fds_share:
            return f"it has {used} of {allowed} file descriptors open"
        return None


def count_fds() -> tuple[int, int]:
    """Open file descriptors of this process, and how many it may have (0: no limit)."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        used = len(os.listdir("/proc/self/fd")) - 1  # the listing itself needs one
    except OSError:  # ENFILE, or none left for the listing: that's the answer
        used = limit
    return used, 0 if limit == resource.RLIM_INFINITY else limit
