"""Why the daemon did what it did: a stored decision, decided again from the same situation, in lines people read.

:func:`record` gives the data of a ``decision.made`` event, :func:`explain` takes it back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from failover.decide.choose import choose
from failover.decide.decision import Decision
from failover.decide.situation import Situation
from failover.model import format_span


def record(decision: Decision, situation: Situation) -> dict[str, Any]:
    """The data of a ``decision.made`` event: plain JSON, from which the decision can be made again."""
    data = decision.model_dump(mode="json")
    return {**data, "situation": situation.model_dump(mode="json")}


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision of the past, and whether this program would decide the same."""

    said: Decision
    again: Decision | None
    """None: this program can't read what the other one stored, or no longer knows the plan."""
    lines: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether the same decision came out."""
        return self.said == self.again


def explain(data: Mapping[str, Any]) -> Explanation:
    """Decide again from what a ``decision.made`` event holds, and tell it.

    Raises:
        ValueError: that isn't the data of a decision.
    """
    fields = {name: value for name, value in data.items() if name != "situation"}
    said = Decision.model_validate(fields)
    try:
        situation = Situation.model_validate(data.get("situation"))
    except ValidationError as error:
        lines = (*_headline(said), f"what it rested on can't be read by this failover: {error.error_count()} problems")
        return Explanation(said, None, lines)
    again = next((decision for decision in choose(situation) if decision.plan == said.plan), None)
    lines = (*_headline(said, situation.now), *_seen(situation, said.plan), *_guards(said), _verdict_on(said, again))
    return Explanation(said, again, lines)


def _headline(said: Decision, now: datetime | None = None) -> Iterator[str]:
    at = f"{now:%Y-%m-%d %H:%M:%S} UTC, " if now else ""
    yield f"{at}plan {said.plan}: {said.action}"
    yield f"because {said.reason}"


def _seen(situation: Situation, plan_name: str) -> Iterator[str]:
    def ago(at: datetime) -> str:
        return f"{format_span(max(0.0, situation.age_seconds(at)))} ago"

    yield f"the monitor had been looking for {format_span(situation.since_start_seconds)}" + (
        f", and couldn't judge: {situation.own_fault}" if situation.own_fault else ""
    )
    for name, check in situation.checks.items():
        verdict = check.verdict
        of = f" of {check.server}" if check.server else ""
        times = f"since {ago(verdict.since)}, looked at {ago(verdict.last)}"
        yield f"check {name}{of}: {verdict.standing} {times}: {verdict.reason}"
    for server, fact in situation.servers.items():
        if fact.reachable is False:
            yield f"server {server}: can't be reached" + (f": {fact.reason}" if fact.reason else "")
    for witness in situation.witnesses:
        yield f"witness {witness.name}: {_sight(witness.seen)} {ago(witness.at)}" + _tail(witness.reason)
    for sighting in situation.sightings:
        told = f"{sighting.observer} asked for {sighting.check}: {_sight(sighting.seen)} {ago(sighting.at)}"
        yield told + _tail(sighting.reason)
    if situation.run:
        yield f"run {situation.run.run} of plan {situation.run.plan} was {situation.run.state}"
    for plan in situation.plans:
        if plan.name == plan_name:
            moves = f", moves {plan.role} from {plan.holder} to {plan.standby}" if plan.role else ""
            yield f"plan {plan.name}: {plan.mode}, when {plan.when}{moves}"


def _sight(seen: bool | None) -> str:
    return {True: "seen", False: "not seen", None: "couldn't tell"}[seen]


def _tail(reason: str) -> str:
    return f": {reason}" if reason else ""


def _guards(said: Decision) -> Iterator[str]:
    for guard in said.guards:
        yield f"{'held back' if guard.holds else 'known before'} by {guard.name}: {guard.reason}"
    if not said.guards:
        yield "no guard held it back"


def _verdict_on(said: Decision, again: Decision | None) -> str:
    if again is None:
        return "decided again now: the plan isn't in what was stored"
    if again == said:
        return "decided again now, from the same situation: the same"
    return f"decided again now, by this version: {again.action}, because {again.reason}"
