"""Counts that no snapshot holds: looks by their result, runs by theirs, how long steps took, how late looks began."""

from __future__ import annotations

import bisect
import threading
from collections import defaultdict
from collections.abc import Iterable

from failover.model import Event, Reading, RunKind, RunState, State

LAG_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
RESULTS = tuple(state for state in RunState if state.ended)
KINDS = tuple(RunKind)


class Tally:
    """Thread-safe. Every set of labels begins at 0, so that the first failure is an increase and not a beginning."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.looks: dict[tuple[str, str, State], int] = {}
        self.runs: dict[tuple[str, str, RunKind, RunState], int] = {}
        self.steps: dict[tuple[str, str, int], tuple[int, float]] = {}
        """By site, plan and step: how often, and how many seconds in all."""
        self.last_run: dict[tuple[str, str, RunKind], float] = {}
        """By site, plan and kind: how long the newest took."""
        self.lags: dict[str, list[int]] = defaultdict(lambda: [0] * (len(LAG_BUCKETS) + 1))
        self.lag_sums: dict[str, float] = defaultdict(float)
        self._open: dict[int, tuple[str, RunKind]] = {}

    def expect(self, site: str, checks: Iterable[str], plans: Iterable[str]) -> None:
        """A site's config: begin at 0 what is new, and forget what is gone."""
        checks, plans = set(checks), set(plans)
        with self._lock:
            self.looks = {key: n for key, n in self.looks.items() if key[0] != site or key[1] in checks}
            self.runs = {key: n for key, n in self.runs.items() if key[0] != site or key[1] in plans}
            for check in checks:
                for state in State:
                    self.looks.setdefault((site, check, state), 0)
            for plan in plans:
                for kind in (kind for kind in RunKind if kind.moves):
                    for result in RESULTS:
                        self.runs.setdefault((site, plan, kind, result), 0)
            self.lags[site], self.lag_sums[site] = self.lags[site], self.lag_sums[site]

    def looked(self, site: str, reading: Reading) -> None:
        """A check looked; called on the loop, ten thousand times a second."""
        key = (site, reading.check, reading.state)
        self.looks[key] = self.looks.get(key, 0) + 1

    def late(self, site: str, seconds: float) -> None:
        """A look began so late."""
        self.lags[site][bisect.bisect_left(LAG_BUCKETS, seconds)] += 1
        self.lag_sums[site] += seconds

    def heard(self, event: Event) -> None:
        """One line of the journal."""
        if event.run is None:
            return
        with self._lock:
            if event.kind == "run.opened":
                self._open[event.run] = (str(event.data["plan"]), RunKind(event.data["kind"]))
                while len(self._open) > 1000:
                    del self._open[next(iter(self._open))]
            elif (known := self._open.get(event.run)) is not None:
                self._count(event, *known)

    def _count(self, event: Event, plan: str, kind: RunKind) -> None:
        if event.kind == "step.done" and isinstance(event.data.get("seconds"), int | float):
            key = (event.site, plan, int(event.data["step"]))
            count, total = self.steps.get(key, (0, 0.0))
            self.steps[key] = (count + 1, total + float(event.data["seconds"]))
        elif event.kind == "run.ended":
            result = (event.site, plan, kind, RunState(event.data["state"]))
            self.runs[result] = self.runs.get(result, 0) + 1
            self.last_run[event.site, plan, kind] = float(event.data.get("seconds") or 0.0)
