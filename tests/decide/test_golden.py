"""Situations as files, each with what must be decided and the sentences that people read."""

from pathlib import Path
from typing import Any

import pytest

from failover.decide import Decision, Situation, choose
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


def test_every_guard_is_in_a_case_alone_or_is_the_only_reason() -> None:
    from failover.decide.guards import GUARDS

    alone = {
        tuple(decision["guards"])
        for path in CASES
        for decision in (load(path).get("expect") or {}).values()
        if len(decision.get("guards", ())) == 1
    }
    assert len(alone) >= len(GUARDS), f"only {len(alone)} of {len(GUARDS)} guards hold alone in a case: {sorted(alone)}"


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_a_situation_survives_being_stored(path: Path) -> None:
    situation = situation_of(load(path))
    assert Situation.model_validate_json(situation.model_dump_json()) == situation
