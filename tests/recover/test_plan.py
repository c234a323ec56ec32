"""A plan as people write it, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from failover.recover.plan import Plan
from failover.recover.steps import AddressHeld, ContentSynced, Released, ServiceRunning
from tests.recover.bureau import HEALING, PLAN


def test_a_plan_reads_as_it_is_written() -> None:
    plan = Plan.model_validate({**PLAN, "steps": [HEALING, *PLAN["steps"]]})
    assert [type(step) for step in plan.steps[:4]] == [ServiceRunning, Released, ContentSynced, AddressHeld]
    assert plan.steps[0].heals == "website"


def test_the_stored_text_is_the_plan() -> None:
    plan = Plan.model_validate({**PLAN, "steps": [HEALING, *PLAN["steps"]], "cooldown": "30m"})
    assert Plan.from_text(plan.text) == plan
    assert Plan.from_text(plan.text).sha256 == plan.sha256
    assert Plan.model_validate(PLAN).sha256 != plan.sha256


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"steps": []}, "at least 1"),
        ({"steps": [{"relased": {"address": "www"}}]}, "does not match any of the expected tags"),
        ({"steps": [{"released": {"adress": "www"}}]}, "adress"),
        ({"when": "website down"}, "expected 'is'"),
        ({"steps": PLAN["steps"][1:]}, "no step before it is 'released: {address: www}'"),
        ({"steps": [{"content_synced": {"from": "wcm", "path": "srv/site"}}]}, "not an absolute path"),
        ({"steps": [{"content_synced": {"from": "wcm", "path": "/srv/../etc"}}]}, "not an absolute path"),
        ({"steps": [{"service_running": {"unit": "nginx; rm -rf /"}}]}, "should match pattern"),
        ({"cooldown": 60}, "not a span of time"),
    ],
)
def test_what_would_be_dangerous_or_a_typo_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as error:
        Plan.model_validate({**PLAN, **change})
    assert said in str(error.value)
