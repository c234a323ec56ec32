"""One site's checks: each one's newest reading and its health, folded as the looks come in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from failover.decide.health import Health, fold, next_look_in
from failover.model import Reading, Standing, Verdict, utc_now
from failover.monitor.looks import Looks
from failover.monitor.pages import target
from failover.monitor.scribe import Scribe
from failover.monitor.setup import Setup
from failover.monitor.sight import SiteSight
from failover.monitor.situation import thresholds
from failover.probes.base import Probe


class Checks:
    """What is known of every check, and how soon it is looked at again. Any thread may ask; the loop alone changes it.

    Args:
        setup: the site's.
        sight: what probes may see.
        scribe: writes every change of a verdict down.
        changed: told of a check whose standing is another than before.
        news: told of one that flaps, or doesn't any more.
        before: the checks of a monitor whose place this one takes; one that a reload left as it was goes on.
        looked: told of every reading.
        late: told how late each look begins, in seconds.
        now: the time.
    """

    def __init__(
        self,
        setup: Setup,
        sight: SiteSight,
        scribe: Scribe,
        changed: Callable[[Health], None],
        news: Callable[[], None],
        *,
        before: Checks | None = None,
        looked: Callable[[Reading], None] = lambda _reading: None,
        late: Callable[[float], None] = lambda _seconds: None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._setup = setup
        self._sight = sight
        self._scribe = scribe
        self._changed = changed
        self._news = news
        self._looked = looked
        self._now = now
        self._thresholds = thresholds(setup)
        self.readings: dict[str, Reading] = dict(before.readings) if before else {}
        self.healths: dict[str, Health] = {
            name: before.healths[name]
            if before is not None and _same(before._setup.checks.get(name), probe)
            else Health.begin(name, now())
            for name, probe in setup.checks.items()
        }
        self.looks = Looks(setup.checks, sight, self.took, late=late)

    def verdict(self, check: str, now: datetime) -> Verdict:
        """A check's verdict as of now."""
        return self.healths[check].verdict(now, self._thresholds[check].stale_after_seconds)

    def newest(self, check: str) -> Reading | None:
        """The newest reading of a check."""
        return self.readings.get(check)

    def silent_since(self, server: str, since: datetime) -> datetime | None:
        """Since when no check of a server that is silent since then hears it either; None when one does."""
        for name, probe in self._setup.checks.items():
            if target(probe, self._sight) == server:
                health = self.healths[name]
                if health.standing is Standing.UP:
                    return None
                since = max(since, health.failing_since or since)
        return since

    def took(self, name: str, reading: Reading) -> float:
        """Take a reading in; in how many seconds the next look is due."""
        before, probe = self.healths[name], self._setup.checks[name]
        health = fold(before, reading, self._thresholds[name])
        self.healths[name], self.readings[name] = health, reading
        self._looked(reading)
        if health.standing is not before.standing:
            self._write(before, health, reading)
            if health.standing in (Standing.SUSPECT, Standing.DOWN):
                for cause in probe.depends_on:
                    self.looks.soon(cause)
            self._changed(health)
        elif health.flapping is not before.flapping:
            self._news()
        return next_look_in(health, probe.every, probe.confirm_every)

    def _write(self, before: Health, health: Health, reading: Reading) -> None:
        data = {
            "check": health.check,
            "standing": str(health.standing),
            "was": str(before.standing),
            "reason": health.reason,
            "reading": {"state": str(reading.state), "reason": reading.reason, "seconds": round(reading.seconds, 4)},
        }
        self._scribe.write("verdict.changed", data)

    def look_anew(self, role: str, *, moved: bool) -> None:
        """What was seen of the role was seen of another server, or before it was healed where it is.

        And what depends on it failed for that: whether it still does is to be seen, before it is moved or called for.
        What came and went on the server that was left says nothing of the new one; how often a plan may move by itself
        is its cool-down's business.
        """
        plan = self._setup.plan_of_role(role)
        condition = self._setup.plans[plan].condition if plan else None
        its = {name for name, probe in self._setup.checks.items() if probe.role == role}
        its |= set(condition.checks) if condition else set()
        for name, probe in self._setup.checks.items():
            if name in its or its & set(probe.depends_on):
                before, now = self.healths[name], self._now()
                fresh = replace(Health.begin(name, now), reason=f"looking anew: a run for {role} is done")
                if name in its:
                    fresh = replace(fresh, mended_at=now)
                if not moved:
                    fresh = replace(fresh, turns=before.turns, flapping=before.flapping)
                self.healths[name] = fresh
                self.looks.soon(name)
                for symptom, other in self._setup.checks.items():
                    if name in other.depends_on:
                        self.looks.soon(symptom)


def _same(before: Probe | None, now: Probe) -> bool:
    """Whether a reload left a check as it was; what a probe remembers between looks doesn't matter."""
    return type(before) is type(now) and before is not None and before.model_dump() == now.model_dump()
