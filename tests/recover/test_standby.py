"""What every plan needs of its standby, asked of toys: each lack is named, weighed, and about the right server."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from failover.errors import Refused
from failover.model import Reading, RunKind, State
from failover.recover.problem import MONITOR, Problem, Ready, judge, once
from failover.recover.readiness import ready
from failover.recover.scene import Page, Scene
from failover.servers.enroll_plan import helper_sha256
from failover.servers.policy import Policy
from tests.recover.bureau import WWW, Bureau

POLICY = Policy("shop", "web-backup", units=("nginx",), commands={"wcm-version": ("/opt/wcm/version",)})
Prepare = Callable[[Bureau], dict[str, Any]]


def enrolled(bureau: Bureau) -> Scene:
    for host in bureau.world.hosts.values():
        host.helper.update(sha256=helper_sha256(), policy_sha256=POLICY.sha256)
        host.policy = json.loads(POLICY.text())
    return replace(bureau.scene("web", RunKind.RECOVER), policy=lambda _server: POLICY)


def old_helper(bureau: Bureau) -> dict[str, Any]:
    bureau.world.hosts["web-backup"].helper["sha256"] = "0" * 64
    return {}


def has_policy(bureau: Bureau, server: str, policy: Policy) -> dict[str, Any]:
    host = bureau.world.hosts[server]
    host.helper["policy_sha256"], host.policy = policy.sha256, json.loads(policy.text())
    return {}


def narrow_policy(bureau: Bureau) -> dict[str, Any]:
    return has_policy(bureau, "web-backup", replace(POLICY, units=("ghost",), commands={}))


def narrow_policy_of_the_holder(bureau: Bureau) -> dict[str, Any]:
    return has_policy(bureau, "web", replace(POLICY, units=()))


def wider_policy(bureau: Bureau) -> dict[str, Any]:
    return has_policy(bureau, "web-backup", replace(POLICY, units=("nginx.service", "ghost"), see=("10.77.0.0/24",)))


def policy_of_another(bureau: Bureau) -> dict[str, Any]:
    return has_policy(bureau, "web-backup", replace(POLICY, server="db"))


def no_power(bureau: Bureau) -> dict[str, Any]:
    bureau.world.hosts["web-backup"].lacks.append("the helper has no capability net_admin")
    return {}


def other_nginx(bureau: Bureau) -> dict[str, Any]:
    bureau.world.hosts["web-backup"].versions["nginx"] = "1.18.0"
    return {}


def other_wcm(bureau: Bureau) -> dict[str, Any]:
    bureau.world.hosts["web"].versions["wcm-version"] = "4.2"
    bureau.world.hosts["web-backup"].versions["wcm-version"] = "4.1"
    return {}


def cut_off(_bureau: Bureau) -> dict[str, Any]:
    return {"witnesses": lambda: {"gateway": False, "dns": None}}


def certificate(state: State, reason: str, **values: float) -> Prepare:
    def prepare(bureau: Bureau) -> dict[str, Any]:
        reading = Reading("website", state, reason, bureau.world.now(), values=values)
        return {
            "page": lambda _check, _server: Page(f"https://{WWW}/", host="www.example.cn"),
            "certificate": lambda _check, _server: reading,
        }

    return prepare


SOON = datetime(2026, 3, 6, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("prepare", "severity", "about", "said"),
    [
        (old_helper, "stops", "web-backup", "the helper of web-backup isn't current (sha256 000000000000…"),
        (narrow_policy, "stops", "web-backup", "it lacks unit nginx, command wcm-version: failover enroll web-backup"),
        (narrow_policy_of_the_holder, "hint", "web", "the policy of web isn't current"),
        (wider_policy, "hint", "web-backup", "allows all that the plans need: failover enroll web-backup"),
        (policy_of_another, "stops", "web-backup", "it lacks anything: it is the policy of db"),
        (no_power, "stops", "web-backup", "web-backup: the helper has no capability net_admin"),
        (other_nginx, "hint", "web-backup", "nginx: web-backup has 1.18.0, web has 1.22.1"),
        (other_wcm, "stops", "web-backup", "wcm-version: web-backup has 4.1, web has 4.2"),
        (cut_off, "stops", MONITOR, "no witness is seen (gateway, dns)"),
        (
            certificate(State.DOWN, "certificate has expired"), "stops", "web-backup",
            "the certificate for website, asked at web-backup: certificate has expired",
        ),
        (
            certificate(State.UNKNOWN, "the ca_file can't be read"), "hint", "web-backup",
            "the certificate for website, asked at web-backup: the ca_file can't be read",
        ),
        (
            certificate(State.UP, "lasts", ssl_earliest_cert_expiry=SOON), "hint", "web-backup",
            "the certificate for website, asked at web-backup, ends in",
        ),
    ],
)  # fmt: skip
def test_what_the_standby_lacks_is_named_and_weighed(
    bureau: Bureau, prepare: Prepare, severity: str, about: str, said: str
) -> None:
    scene = enrolled(bureau)
    scene = replace(scene, **prepare(bureau))
    (problem,) = ready(bureau.plans["web"], scene)
    assert (problem.severity, problem.about) == (severity, about)
    assert said in problem.text
    assert problem.measured_at.tzinfo is UTC


def test_a_standby_like_its_holder_lacks_nothing(bureau: Bureau) -> None:
    good = Reading("website", State.UP, "lasts", bureau.world.now(), values={"ssl_earliest_cert_expiry": 4e9})
    scene = replace(
        enrolled(bureau),
        witnesses=lambda: {"gateway": True, "dns": False},
        page=lambda _check, _server: Page(f"https://{WWW}/", host="www.example.cn"),
        certificate=lambda _check, _server: good,
    )
    assert ready(bureau.plans["web"], scene) == []


def test_witnesses_that_werent_looked_at_yet_say_nothing(bureau: Bureau) -> None:
    scene = replace(bureau.scene("web", RunKind.RECOVER), witnesses=lambda: {"gateway": None})
    assert ready(bureau.plans["web"], scene) == []


def test_a_standby_that_refuses_a_steps_question_stops_the_plan(bureau: Bureau) -> None:
    def refuse(path: str) -> dict[str, Any]:
        raise Refused("web-backup", "not-in-policy", f"the path {path} is not in this server's policy")

    bureau.servers["web-backup"]._ask_content = refuse
    (problem,) = ready(bureau.plans["web"], enrolled(bureau))
    assert (problem.severity, problem.about) == ("stops", "web-backup")
    assert "is not in this server's policy" in problem.text


def test_a_silent_holder_is_no_reason_against_its_own_recovery(bureau: Bureau) -> None:
    scene = enrolled(bureau)
    bureau.world.power_off("web")
    problems = ready(bureau.plans["web"], scene)
    assert judge(problems) is Ready.READY
    assert {problem.about for problem in problems} == {"web"}


def problem(text: str, severity: Any) -> Problem:
    return Problem(text, severity, None, datetime(2026, 3, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("severities", "stands"),
    [
        ((), Ready.READY),
        (("hint",), Ready.READY),
        (("hint", "loss"), Ready.WITH_LOSS),
        (("loss", "stops", "hint"), Ready.NOT_READY),
    ],
)
def test_the_heaviest_problem_decides(severities: tuple[str, ...], stands: Ready) -> None:
    assert judge(problem(f"{number}", each) for number, each in enumerate(severities)) is stands


def test_a_sentence_that_is_said_twice_counts_at_its_heaviest() -> None:
    assert [one.severity for one in once([problem("no session", "hint"), problem("no session", "stops")])] == ["stops"]


def test_problems_that_differ_in_their_numbers_only_are_no_news() -> None:
    assert problem("verified 2 h 3 min ago", "loss").gist == problem("verified 2 h 4 min ago", "loss").gist
    assert problem("verified 2 h ago", "loss").gist != problem("verified 2 h ago", "hint").gist
