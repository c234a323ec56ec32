"""The whole of deciding in fake time: looks, fold, situation, choice, and a run that always succeeds."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from failover.decide import (
    Action,
    CheckFact,
    Health,
    LastRun,
    PlanFact,
    RunFact,
    Seen,
    ServerFact,
    Sighting,
    Situation,
    Thresholds,
    choose,
    fold,
    next_look_in,
)
from failover.model import Mode, Reading, State

BEGAN = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)


@dataclass
class Bureau:
    """A web server that flaps, whoever holds the role, and a monitor that looks at it."""

    period_seconds: float
    flaps: int
    cooldown_seconds: float = 3600.0
    acknowledges: bool = False
    thresholds: Thresholds = field(default_factory=Thresholds)
    seconds: float = 0.0
    recoveries: list[float] = field(default_factory=list)
    alarms: int = 0

    def is_up(self) -> bool:
        flap, rest = divmod(self.seconds - 60, self.period_seconds)
        fell = 60 + flap * self.period_seconds
        recovered = bool(self.recoveries) and fell <= self.recoveries[-1] <= self.seconds - 5
        return self.seconds < 60 or flap >= self.flaps or rest >= self.period_seconds / 2 or recovered

    @property
    def now(self) -> datetime:
        return BEGAN + timedelta(seconds=self.seconds)

    def live(self, until_seconds: float) -> None:
        health, spoken = Health.begin("website", self.now), None
        while self.seconds < until_seconds:
            state = State.UP if self.is_up() else State.DOWN
            health = fold(health, Reading("website", state, f"is {state}", self.now), self.thresholds)
            decision = choose(self.situation(health))[0]
            if decision.action is Action.RECOVER:
                self.recoveries.append(self.seconds)
            if decision.action is Action.ALARM and spoken is not Action.ALARM:
                self.alarms += 1
            spoken = decision.action
            self.seconds += next_look_in(health, 1.0, 0.2)

    def situation(self, health: Health) -> Situation:
        last = BEGAN + timedelta(seconds=self.recoveries[-1]) if self.recoveries else None
        running = bool(self.recoveries) and self.seconds - self.recoveries[-1] < 5
        others = ("wcm", "db", "web-backup")
        sightings = [
            Sighting(observer=who, check="website", seen=self.is_up(), at=self.now, reason="asked") for who in others
        ]
        plan = PlanFact(
            name="web",
            mode=Mode.AUTO,
            when="website is down",
            role="web",
            holder="web",
            standby="web-backup",
            cooldown_seconds=self.cooldown_seconds,
            last_automatic=LastRun(run=len(self.recoveries), at=last, state="done") if last else None,
            acknowledged_at=last if self.acknowledges else None,
        )
        return Situation(
            now=self.now,
            site="bureau",
            since_start_seconds=self.seconds,
            checks={
                "website": CheckFact(
                    verdict=health.verdict(self.now, 30.0),
                    failing_since=health.failing_since,
                    role="web",
                    server="web",
                    observers=others,
                )
            },
            servers={name: ServerFact(reachable=True) for name in ("web", *others)},
            witnesses=(Seen(name="gateway", seen=True, at=self.now),),
            sightings=tuple(sightings),
            plans=(plan,),
            run=RunFact(run=1, plan="web", state="running") if running else None,
        )


@pytest.mark.parametrize("period", [20.0, 45.0, 90.0])
def test_20_flaps_in_30_minutes_move_the_site_at_most_once(period: float) -> None:
    bureau = Bureau(period_seconds=period, flaps=20)
    bureau.live(1860)
    assert len(bureau.recoveries) == 1, "the first fall was a failure like any other"
    assert bureau.alarms <= 2, "one alarm for the fall within the cool-down, not one for each flap"


def test_even_a_plan_that_is_acknowledged_at_once_isnt_moved_by_each_flap() -> None:
    bureau = Bureau(period_seconds=90.0, flaps=20, cooldown_seconds=0.0, acknowledges=True)
    bureau.live(1860)
    assert 1 <= len(bureau.recoveries) <= 2, "the third fall within ten minutes is flapping"


def test_without_flapping_detection_and_cooldown_the_site_would_be_moved_again_and_again() -> None:
    """So that the two tests above are known to be about something."""
    deaf = Thresholds(flap_turns=1000)
    bureau = Bureau(period_seconds=90.0, flaps=20, cooldown_seconds=0.0, acknowledges=True, thresholds=deaf)
    bureau.live(1860)
    assert len(bureau.recoveries) >= 20


def test_a_dead_server_is_decided_upon_within_half_a_second_of_its_first_failed_look() -> None:
    bureau = Bureau(period_seconds=10_000, flaps=1)
    bureau.live(120)
    assert bureau.recoveries
    assert bureau.recoveries[0] - 60 <= 1.0 + 2 * 0.2 + 0.01
