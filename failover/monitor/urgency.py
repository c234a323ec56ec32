"""How urgently people are told that a check is down: by night only for what a plan is for and nothing explains."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from failover.decide.health import Health
from failover.journal.site_view import SiteView
from failover.model import Standing
from failover.monitor.pages import target
from failover.monitor.setup import Setup
from failover.monitor.situation import relevant
from failover.probes.base import Probe, Sight
from failover.recover.steps import Connected

_FAILING = (Standing.SUSPECT, Standing.DOWN)


class Urgency:
    """Of one site's checks, as things are when it is asked."""

    def __init__(self, setup: Setup, view: SiteView, sight: Sight, healths: Mapping[str, Health]) -> None:
        self._setup = setup
        self._view = view
        self._sight = sight
        self._healths = healths
        self._relevant = relevant(setup)

    def of(self, name: str, now: datetime) -> str:
        """``page``, ``warning``, or ``info`` for what people, or a run of ours, make fail themselves."""
        probe = self._setup.checks[name]
        about = {"site", probe.role, target(probe, self._sight)}
        if any(window.about in about for window in self._view.maintenance.now(now)) or self._moves(probe):
            return "info"
        explained = any(self._healths[one].standing in _FAILING for one in probe.depends_on if one in self._healths)
        return "page" if name in self._relevant and not explained else "warning"

    def _moves(self, probe: Probe) -> bool:
        """Whether a run is under way that makes it fail for a moment: what it moves, and what depends on that."""
        run = self._view.run
        if run is None or not run.kind.moves or run.role is None:
            return False
        plan = self._setup.plans.get(run.plan)
        roles = {run.role, *(step.role for step in (plan.steps if plan else ()) if isinstance(step, Connected))}
        causes = (self._setup.checks[name].role for name in probe.depends_on if name in self._setup.checks)
        return bool(roles & {probe.role, *causes})
