"""Puts everything that a decision rests on into one frozen value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from failover.decide import when
from failover.decide.health import Health, Thresholds
from failover.decide.situation import (
    CheckFact,
    LastRun,
    PlanFact,
    RunFact,
    ServerFact,
    Situation,
    Switched,
    Window,
)
from failover.journal.site_view import SiteView
from failover.model import Standing
from failover.monitor.addresses import AddressNow
from failover.monitor.observers import Observers
from failover.monitor.pages import target
from failover.monitor.ready import Readiness
from failover.monitor.setup import Setup
from failover.monitor.sight import SiteSight
from failover.monitor.world import ServerNow


def relevant(setup: Setup) -> frozenset[str]:
    """The checks that decisions always rest on: those of the plans' conditions, and what these depend on."""
    open_ = [name for plan in setup.plans.values() if plan.condition for name in plan.condition.checks]
    found: set[str] = set()
    while open_:
        name = open_.pop()
        if name in setup.checks and name not in found:
            found.add(name)
            open_ += setup.checks[name].depends_on
    return frozenset(found)


def thresholds(setup: Setup) -> dict[str, Thresholds]:
    """Each check's, from its schedule."""
    return {
        name: Thresholds.for_schedule(probe.fall, probe.rise, probe.every, probe.timeout)
        for name, probe in setup.checks.items()
    }


class Situations:
    """Builds situations of one site, on the loop. Of ten thousand healthy checks only those that matter go in."""

    def __init__(
        self,
        setup: Setup,
        view: SiteView,
        sight: SiteSight,
        observers: Observers,
        readiness: Readiness,
        healths: Mapping[str, Health],
        servers: Callable[[], Mapping[str, ServerNow]],
        hangs_since: Callable[[str], datetime | None],
        addresses: Callable[[], tuple[AddressNow, ...]],
    ) -> None:
        self._setup = setup
        self._view = view
        self._sight = sight
        self._observers = observers
        self._readiness = readiness
        self._healths = healths
        self._servers = servers
        self._hangs_since = hangs_since
        self._addresses = addresses
        self._relevant = relevant(setup)
        self._thresholds = thresholds(setup)

    def now(self, now: datetime, since_start_seconds: float) -> Situation:
        """The situation at this moment."""
        switch = self._view.automation
        return Situation(
            now=now,
            site=self._setup.site,
            since_start_seconds=since_start_seconds,
            checks=self._checks(now),
            servers=self._server_facts(now),
            witnesses=tuple(self._observers.witnesses.values()),
            sightings=self._observers.in_order(),
            own_fault=self._sight.own_fault(),
            plans=tuple(self._plan(name, now) for name, plan in self._setup.plans.items() if plan.when is not None),
            run=self._run(),
            automation=Switched(on=switch.on, by=switch.by, why=switch.why),
            maintenance=tuple(
                Window(about=one.about, until=one.until, why=one.why, by=one.by)
                for one in self._view.maintenance.now(now)
            ),
            limits=self._setup.limits,
        )

    def _checks(self, now: datetime) -> dict[str, CheckFact]:
        facts = {}
        for name, health in self._healths.items():
            if name not in self._relevant and health.standing is Standing.UP:
                continue
            probe, limits = self._setup.checks[name], self._thresholds[name]
            facts[name] = CheckFact(
                verdict=health.verdict(now, limits.stale_after_seconds),
                role=probe.role,
                server=target(probe, self._sight),
                depends_on=probe.depends_on,
                fails_over=probe.fails_over,
                stale_after_seconds=limits.stale_after_seconds,
                observers=self._observers.of(name) if name in self._relevant else (),
                failing_since=health.failing_since,
                mended_at=health.mended_at,
            )
        return facts

    def _server_facts(self, now: datetime) -> dict[str, ServerFact]:
        lately = timedelta(seconds=max(15.0, 4 * self._setup.world_every))
        return {
            name: ServerFact(
                reachable=seen.reachable if seen.at is not None and now - seen.at < lately else None,
                since=seen.since,
                hangs_since=self._hangs_since(name),
                reason=seen.reason if not seen.reachable else "",
            )
            for name, seen in self._servers().items()
        }

    def _plan(self, name: str, now: datetime) -> PlanFact:
        plan = self._setup.plans[name]
        role = self._setup.role_of_plan(name)
        holder = self._view.holders.get(role) if role else None
        last = self._view.runs.last_automatic(name, now - timedelta(seconds=plan.cooldown))
        acknowledged = self._view.acknowledged.get(name)
        drifts = [one.reason for one in self._addresses() if one.role == role and one.drift]
        return PlanFact(
            name=name,
            mode=plan.mode,
            when=str(when.parse(plan.when or "")),
            role=role,
            holder=holder,
            standby=self._setup.roles[role].other(holder) if role and holder else None,
            cooldown_seconds=plan.cooldown,
            last_automatic=LastRun(run=last.number, at=last.opened_at, state=last.state) if last else None,
            acknowledged_at=acknowledged.at if acknowledged else None,
            not_ready=self._readiness.stops(name),
            not_ready_since=self._readiness.not_ready_since(name),
            proofs=self._readiness.proofs(name),
            drift="; ".join(drifts) if drifts and self._view.run is None else None,
        )

    def _run(self) -> RunFact | None:
        run = self._view.run
        if run is None or run.kind == "ahead":  # gives way to every other kind
            return None
        question = run.question.question if run.question else run.reason
        return RunFact(run=run.number, plan=run.plan, state=run.state, reason=question)
