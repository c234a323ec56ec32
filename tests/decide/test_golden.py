"""Situations as files, each with what must be decided and the sentences that people read."""

from pathlib import Path
from typing import Any

import pytest

from failover.decide import Decision, Situation, choose, guards
from tests.decide.cases import GOLDEN, load, situation_of

CASES = sorted(GOLDEN.glob("*.yaml"))


def shown(decision: Decision) -> dict[str, Any]:
    """A decision as the files have it: what is empty is left out."""
    fields = {
        "action": str(decision.action),
        "severity": decision.severity,
        "guards": [guard.name for guard in decision.guards],
        "reason": decision.reason,
        "ask": [{"check": ask.check, "observers": list(ask.observers)} for ask in decision.ask],
        "look_at": list(decision.look_at),
    }
    return {key: value for key, value in fields.items() if value}


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_case(path: Path) -> None:
    case = load(path)
    decisions = {decision.plan: shown(decision) for decision in choose(situation_of(case))}
    for plan in decisions:
        wanted = (case.get("expect") or {}).get(plan)
        if wanted is None:
            assert decisions[plan]["action"] == "nothing", f"{case['says']}: nothing was expected of {plan}"
        else:
            assert decisions[plan] == wanted, case["says"]


def test_the_catalogue_of_faults_is_covered() -> None:
    covered = {fault for path in CASES for fault in load(path).get("of", ())}
    wanted = {f"D{number}" for number in range(1, 14)} | {"P4", "P6", "P9", "P12", "P14", "I14", "M5"}
    assert wanted <= covered, f"no case is about {sorted(wanted - covered)}"
    assert len(CASES) >= 70


def test_every_guard_holds_alone_in_a_case() -> None:
    decisions = [decision for path in CASES for decision in (load(path).get("expect") or {}).values()]
    alone = {decision["guards"][0] for decision in decisions if len(decision.get("guards", ())) == 1}
    assert len(alone) == len(guards.GUARDS), f"{len(alone)} of {len(guards.GUARDS)} guards: {sorted(alone)}"


@pytest.mark.parametrize("left_out", guards.GUARDS, ids=lambda guard: guard.__name__)
def test_a_guard_that_is_left_out_is_missed(left_out: guards.Question, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "GUARDS", tuple(guard for guard in guards.GUARDS if guard is not left_out))
    cases = [load(path) for path in CASES]
    wrong = [case["says"] for case in cases if any(_differs(case, decision) for decision in choose(situation_of(case)))]
    assert wrong


def _differs(case: dict[str, Any], decision: Decision) -> bool:
    wanted = (case.get("expect") or {}).get(decision.plan, {"action": "nothing"})
    found = shown(decision)
    return bool(found["action"] != wanted["action"] or found.get("guards") != wanted.get("guards"))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_a_situation_survives_being_stored(path: Path) -> None:
    situation = situation_of(load(path))
    assert Situation.model_validate_json(situation.model_dump_json()) == situation
