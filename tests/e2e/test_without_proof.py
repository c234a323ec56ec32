"""Web is silent and nothing proves that it let go of the address: the daemon waits, and calls a person."""

import re

import pytest

from tests.e2e.bureau import Bureau
from tests.e2e.phone import Phone
from tests.lab import Oracle, Visitor

pytestmark = pytest.mark.lab

FENCE = re.compile(r"\n    fence: .*")


def test_without_a_fence_the_run_waits_until_a_person_gives_their_word(
    bureau: Bureau, oracle: Oracle, visitor: Visitor, phone: Phone
) -> None:
    with bureau.other_config(FENCE.sub("", bureau.config)):
        bureau.ready()
        bureau.lab.web.power_off()
        run = bureau.until_run("recover", ("waiting",), 30)
        number = str(run["number"])
        page = phone.await_page(f"run {number} waits for a person: Is web switched off or unplugged?", within=30)
        assert f"failover confirm {number} off:web --why" in page["text"]
        assert oracle.holders("10.77.0.100") == [], "silence is no proof"

        why = "I stand before it: its power lamp is dark"
        refused = bureau.cli("confirm", number, "off:wcm", "--why", why, check=False)
        assert refused.code != 0
        assert "off:web" in refused.err, "says which words it waits for"
        bureau.cli("confirm", number, "off:web", "--why", why)  # one word for all its addresses
        visitor.await_host("web-backup", within=20)

        run = bureau.until_run("recover", ("done",), 20)
        told = bureau.told(run)
        assert f"root (uid 0) says off:web: {why}" in told
    oracle.check()
    visitor.check_whole()
    assert [one["number"] for one in bureau.moves()] == [run["number"]]


def test_a_second_switch_is_answered_with_the_run_under_way_and_a_web_that_returns_is_proof_enough(
    bureau: Bureau, oracle: Oracle, visitor: Visitor
) -> None:
    with bureau.other_config(FENCE.sub("", bureau.config)):
        bureau.ready()
        bureau.lab.web.power_off()
        run = bureau.until_run("recover", ("waiting",), 30)

        second = bureau.cli("switch", "web", "--yes", check=False)
        assert second.code == 75
        assert f"run {run['number']}" in second.err

        bureau.lab.web.boot()
        run = bureau.until_run("recover", ("done", "undone"), 40)
    visitor.await_until(lambda visitor: visitor.sees("web") or visitor.sees("web-backup"), within=10)
    oracle.check()
    assert len(bureau.moves()) == 1
