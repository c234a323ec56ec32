from typing import Any

import pytest

from failover.decide import choose, explain, record
from tests.decide.cases import situation_of

CASE: dict[str, Any] = {
    "checks": {"website": {"standing": "down", "for": 2, "failing": 2.4}},
    "servers": {"web": "no route to host"},
    "sightings": {"website": {"wcm": "not seen", "db": "not seen", "web-backup": {"seen": "silent", "reason": "busy"}}},
    "plans": {"web": {"not_ready": ["there is no verified copy"]}},
}


def recorded() -> dict[str, Any]:
    situation = situation_of(CASE)
    return record(choose(situation)[0], situation)


def test_a_decision_of_the_past_is_told_in_lines() -> None:
    explanation = explain(recorded())
    assert explanation.agrees
    lines = explanation.lines
    assert lines[0] == "2026-03-01 03:00:00 UTC, plan web: alarm"
    assert lines[1].startswith(
        "because website is down for 2.4 s (connection refused); plan web doesn't run: web-backup"
    )
    for line in (
        "the monitor had been looking for 1 d",
        "check website of web: down since 2 s ago, looked at 200 ms ago: connection refused",
        "server web: can't be reached: no route to host",
        "witness gateway: seen 500 ms ago",
        "web-backup asked for website: couldn't tell 500 ms ago: busy",
        "wcm asked for website: not seen 500 ms ago",
        "plan web: auto, when website is down, moves web from web to web-backup",
        "held back by not-ready: web-backup is not ready: there is no verified copy",
        "decided again now, from the same situation: the same",
    ):
        assert line in lines


def test_a_decision_that_doesnt_follow_from_its_situation_is_noticed() -> None:
    data = recorded()
    data["situation"]["plans"][0]["not_ready"] = []
    explanation = explain(data)
    assert not explanation.agrees
    assert explanation.lines[-1].startswith("decided again now, by this version: recover, because website is down")


def test_a_situation_of_another_version_is_no_reason_to_say_nothing() -> None:
    data = recorded()
    data["situation"]["weather"] = "typhoon"
    explanation = explain(data)
    assert explanation.again is None
    assert not explanation.agrees
    assert explanation.lines[-1] == "what it rested on can't be read by this failover: 1 problems"


def test_what_isnt_a_decision_is_refused() -> None:
    with pytest.raises(ValueError, match="plan"):
        explain({"text": "hello"})
