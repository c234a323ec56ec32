"""Judging, without touching anything: readings become verdicts, a situation becomes decisions with their reasons.

::

    health = fold(health, reading, thresholds)            # health.py: per reading
    verdict = health.verdict(now, stale_after_seconds)    # what it amounts to
    wait = next_look_in(health, every, confirm_every)     # when to look next
    decisions = choose(situation)                         # choose.py: one for every plan
    event_data = record(decision, situation)              # explain.py: the data of `decision.made`
    explanation = explain(event_data)                     # and back, decided again
"""

from failover.decide.choose import choose
from failover.decide.decision import Action, Ask, Decision, Guard
from failover.decide.explain import Explanation, explain, record
from failover.decide.health import Health, Thresholds, fold, next_look_in
from failover.decide.situation import (
    CheckFact,
    LastRun,
    Limits,
    PlanFact,
    ProofFact,
    RunFact,
    Seen,
    ServerFact,
    Sighting,
    Situation,
    Switched,
    Window,
)
from failover.decide.when import Condition, WhenError, parse

__all__ = [
    "Action",
    "Ask",
    "CheckFact",
    "Condition",
    "Decision",
    "Explanation",
    "Guard",
    "Health",
    "LastRun",
    "Limits",
    "PlanFact",
    "ProofFact",
    "RunFact",
    "Seen",
    "ServerFact",
    "Sighting",
    "Situation",
    "Switched",
    "Thresholds",
    "WhenError",
    "Window",
    "choose",
    "explain",
    "fold",
    "next_look_in",
    "parse",
    "record",
]
