"""One plan in a situation: the questions that guards and the choice have in common."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from failover.decide import when
from failover.decide.situation import CheckFact, PlanFact, Sighting, Situation
from failover.model import Standing, format_span

FAILING = (Standing.SUSPECT, Standing.DOWN)


@dataclass(frozen=True)
class Case:
    """A plan, and the situation as it looks from there."""

    situation: Situation
    plan: PlanFact

    @cached_property
    def condition(self) -> when.Condition:
        """When the plan applies."""
        return when.parse(self.plan.when)

    @cached_property
    def applies(self) -> bool:
        """Whether the plan's condition holds now."""
        return self.condition.holds(self.situation.standings)

    @cached_property
    def faults(self) -> tuple[str, ...]:
        """The checks of the condition that are down; where none is, those that aren't well."""
        return self._of_condition(Standing.DOWN) or self._of_condition(Standing.SUSPECT, Standing.UNKNOWN)

    def _of_condition(self, *standings: Standing) -> tuple[str, ...]:
        checks = self.situation.checks
        return tuple(name for name in self.condition.checks if name in checks and checks[name].standing in standings)

    @cached_property
    def failing(self) -> bool:
        """Whether looks are failing right now at a check that may make the plan apply."""
        return any(self.situation.checks[name].failing_since for name in self.would_apply_if_down(Standing.SUSPECT))

    def would_apply_if_down(self, *standings: Standing) -> tuple[str, ...]:
        """The checks standing so, if the plan would apply were they down."""
        names = self._of_condition(*standings)
        supposed = {**self.situation.standings, **dict.fromkeys(names, Standing.DOWN)}
        return names if names and self.condition.holds(supposed) else ()

    @cached_property
    def since(self) -> datetime:
        """When the newest of the faults began: what anybody saw before that proves nothing about it."""
        names = self.faults or self._of_condition(Standing.UP)
        return max((self.situation.checks[name].began for name in names), default=self.situation.now)

    def tell(self, *names: str) -> str:
        """What these checks say: ``website is down since 2 s (connection refused)``."""
        return "; ".join(self._tell(name, self.situation.checks[name]) for name in names)

    def _tell(self, name: str, check: CheckFact) -> str:
        age = self.situation.age_seconds(check.began)
        since = f" for {format_span(age)}" if age >= 0 else ""
        return f"{name} is {check.standing}{since} ({check.verdict.reason})"

    def cause_of(self, name: str) -> str | None:
        """A failing or unjudged check that may explain this failure.

        Not one of the server that the plan leaves: a dead host explains its web server, and is what the plan is for.
        Nor one that others still see: what the monitor alone can't reach explains nothing.
        """
        seen, left = {name}, [name]
        while left:
            for other in self.situation.checks[left.pop()].depends_on:
                cause = self.situation.checks.get(other)
                if other in seen or (cause is not None and (cause.standing is Standing.UP or self.seen_anyway(other))):
                    continue
                if cause is None or not self._is_ours(cause):
                    return other
                seen.add(other)
                left.append(other)
        return None

    def unseen_cause_of(self, name: str) -> str | None:
        """A check that may explain this failure and wasn't looked at since that began: it was well before, only."""
        began = self.situation.checks[name].began
        return next((other for other, cause in self._well_causes(name) if cause.verdict.last < began), None)

    def mended_cause_of(self, name: str) -> str | None:
        """A check that may explain this failure, and is well again since a moment ago only.

        Whenever this failure began: who saw its cause gone may leave it alone for a while after it is back.
        """
        aftermath = self.situation.limits.aftermath_seconds
        for other, cause in self._well_causes(name):
            if cause.mended_at is not None and 0 <= self.situation.age_seconds(cause.mended_at) < aftermath:
                return other
        return None

    def _well_causes(self, name: str) -> Iterator[tuple[str, CheckFact]]:
        """Every check that is up and may explain this failure, as in :meth:`cause_of`."""
        seen, left = {name}, [name]
        while left:
            for other in self.situation.checks[left.pop()].depends_on:
                cause = self.situation.checks.get(other)
                if cause is None or other in seen:
                    continue
                seen.add(other)
                if self._is_ours(cause):
                    left.append(other)
                elif cause.standing is Standing.UP:
                    yield other, cause

    def _is_ours(self, check: CheckFact) -> bool:
        return (check.server is not None and check.server == self.plan.holder) or (
            check.role is not None and check.role == self.plan.role
        )

    @cached_property
    def fresh_sightings(self) -> tuple[Sighting, ...]:
        """The newest that each observer said of each fault since that began, and not too long ago."""
        return self._sightings(*self.faults)

    def seen_anyway(self, *names: str) -> bool:
        """Whether others see these all the same: the fault may lie between them and the monitor."""
        fresh = self._sightings(*names)
        up = sum(sighting.seen is True for sighting in fresh)
        return up > 0 and up >= sum(sighting.seen is False for sighting in fresh)

    def _sightings(self, *names: str) -> tuple[Sighting, ...]:
        newest: dict[tuple[str, str], Sighting] = {}
        for sighting in sorted(self.situation.sightings, key=lambda sighting: sighting.at):
            if sighting.check in names and self._counts(sighting):
                newest[sighting.check, sighting.observer] = sighting
        # As they stand in the situation: no reason reads otherwise because one answered sooner.
        return tuple(sighting for sighting in self.situation.sightings if sighting in newest.values())

    def _counts(self, sighting: Sighting) -> bool:
        # Who was asked while the check was only suspect may have seen the last good answer of a server on its way down.
        check = self.situation.checks[sighting.check]
        since = max(check.verdict.since, check.began) if sighting.seen else check.began
        return sighting.at >= since and self.situation.fresh(sighting.at, self.situation.limits.sighting_seconds)

    @cached_property
    def unasked(self) -> dict[str, tuple[str, ...]]:
        """By fault, the observers that haven't answered yet, nor been found silent."""
        answered = {(sighting.check, sighting.observer) for sighting in self.fresh_sightings}
        left = {name: tuple(who for who in self.observers(name) if (name, who) not in answered) for name in self.faults}
        return {name: observers for name, observers in left.items() if observers}

    def observers(self, name: str) -> tuple[str, ...]:
        """Who can be asked about a fault: never the server that is to be left, which would judge itself."""
        return tuple(who for who in self.situation.checks[name].observers if who != self.plan.holder)

    def failing_servers(self) -> Iterator[tuple[str, datetime]]:
        """Every server that seems to fail for a reason of its own, and since when."""
        for name in self.server_names:
            since = [
                check.began
                for label, check in self.situation.checks.items()
                if check.server == name and check.standing in FAILING and not self._explained(label)
            ]
            if (server := self.situation.servers.get(name)) and server.reachable is False:
                since.append(server.since or self.since)
            if any(seen.observer == name and seen.seen is None for seen in self.fresh_sightings):
                since.append(self.since)
            if since:
                yield name, min(since)

    @cached_property
    def server_names(self) -> tuple[str, ...]:
        """Every server that something is known about."""
        of_checks = (check.server for check in self.situation.checks.values() if check.server)
        return tuple(dict.fromkeys((*self.situation.servers, *of_checks)))

    def _explained(self, name: str) -> bool:
        checks = self.situation.checks
        return any(other in checks and checks[other].standing in FAILING for other in checks[name].depends_on)
