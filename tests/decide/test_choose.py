from datetime import datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from failover.decide import Action, Decision, Seen, Sighting, Situation, choose, explain, record
from failover.model import Mode, RunKind, Standing
from tests.decide.cases import CHECKS, NOW, SERVERS, situation_of

names = [fact["name"] for fact in CHECKS]
OBSERVERS = ["web", "web-backup", "wcm", "db"]


def mostly(usual: Any, *others: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from([usual] * 4 + list(others))


def sometimes(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), st.none(), st.none(), strategy)


ages = st.sampled_from([0.0, 0.5, 2.0, 9.0, 31.0, 70.0, 4000.0])
sights = mostly("not seen", "seen", "silent")
check_said = st.fixed_dictionaries(
    {"standing": st.sampled_from(["up", "down", "down", "suspect", "unknown"]), "for": ages, "last": mostly(0.2, 31.0)},
    optional={
        "failing": st.one_of(ages, ages, ages, st.none()),
        "flapping": mostly(False, True),
        "fails_over": mostly(True, False),
        "depends_on": mostly([], ["database"], ["wcm"], ["nowhere"]),
        "mended": mostly(None, 5),
    },
)
plan_said = st.fixed_dictionaries(
    {},
    optional={
        "mode": mostly("auto", "propose", "off"),
        "not_ready": mostly([], ["no verified copy"]),
        "source_suspect": mostly(None, "tampered"),
        "drift": mostly(None, "held by nobody"),
        "wait_seconds": mostly(0.0, 30.0),
        "last_automatic": mostly(None, {"run": 3, "ago": 100}, {"run": 3, "ago": 5000}, {"run": 3, "ago": -50}),
        "acknowledged": mostly(None, 50, 200),
        "rank": mostly(0, -1),
        "when": mostly("website is down", "wcm is down", "website is down and not database is down", "wcm is unknown"),
    },
)
anything = st.fixed_dictionaries(
    {
        "checks": st.dictionaries(st.sampled_from(names), check_said, max_size=4),
        "confirmed": mostly(names[:3], [], ["website"]),
        "sightings": st.dictionaries(
            st.sampled_from(names[:3]),
            st.dictionaries(
                st.sampled_from(OBSERVERS), st.fixed_dictionaries({"seen": sights, "ago": mostly(0.1, 1.0, 5.0, 20.0)})
            ),
            max_size=2,
        ),
        "servers": st.dictionaries(st.sampled_from(SERVERS), st.sampled_from(["no route to host", None]), max_size=2),
        "witnesses": st.dictionaries(
            st.sampled_from(["gateway", "dns"]),
            st.fixed_dictionaries({"seen": mostly("seen", "not seen"), "ago": mostly(0.1, 5.0, 40.0)}),
        ),
        "plans": st.dictionaries(st.sampled_from(["web", "wcm", "database"]), plan_said),
        "situation": st.fixed_dictionaries(
            {"since_start_seconds": mostly(86400.0, 3.0)},
            optional={
                "own_fault": mostly(None, "the loop was late"),
                "run": sometimes(
                    st.fixed_dictionaries(
                        {
                            "run": st.just(4),
                            "plan": st.just("web"),
                            "state": st.just("running"),
                            "kind": st.sampled_from(["recover", "ahead"]),
                        }
                    )
                ),
                "automation": mostly({"on": True}, {"on": False, "by": "lin", "why": "storm"}),
                "maintenance": mostly([], [{"about": "web", "left": 60}], [{"about": "db-backup", "left": 60}]),
            },
        ),
    }
)
FAULTS: list[dict[str, Any]] = [
    {"checks": {"website": "down"}, "confirmed": ["website"]},
    {"checks": {"wcm": "down"}, "confirmed": ["wcm"]},
    {"checks": {"website": "down", "wcm": "down"}, "confirmed": ["website", "wcm"]},
    {"checks": {"website": {"standing": "down", "for": 0.2, "failing": 3.0}}},
]


def changed(fault: dict[str, Any], spoiled: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    case = dict(fault)
    for part, change in spoiled:
        case[part] = {**case.get(part, {}), **change}
    return case


def one_of_part(part: str, keys: st.SearchStrategy[str], said: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.tuples(st.just(part), st.dictionaries(keys, said, min_size=1, max_size=1))


answer = st.fixed_dictionaries({"seen": sights, "ago": mostly(0.1, 1.0, 5.0, 20.0)})
spoilers = st.one_of(
    one_of_part("checks", st.sampled_from(names), check_said),
    one_of_part("plans", st.sampled_from(["web", "wcm"]), plan_said),
    one_of_part("witnesses", st.sampled_from(["gateway", "dns"]), answer),
    one_of_part("sightings", st.sampled_from(names[:2]), st.dictionaries(st.sampled_from(OBSERVERS), answer)),
    one_of_part("servers", st.sampled_from(SERVERS), st.sampled_from(["no route to host", None, {"hangs": 1.5}])),
    st.sampled_from(
        [
            ("situation", {"since_start_seconds": 3.0}),
            ("situation", {"own_fault": "the loop was late"}),
            ("situation", {"automation": {"on": False, "by": "lin", "why": "storm"}}),
            ("situation", {"maintenance": [{"about": "web-backup", "left": 60}]}),
            ("situation", {"run": {"run": 4, "plan": "web", "state": "running", "kind": "ahead"}}),
        ]
    ),
)
near_a_recovery = st.builds(changed, st.sampled_from(FAULTS), st.lists(spoilers, max_size=3))
"""Most of what is drawn freely is far from any recovery; these are at most three changes away from one."""
cases = st.one_of(anything, near_a_recovery, near_a_recovery)
many = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def why_not(situation: Situation, decision: Decision) -> str | None:
    """The safety of a recovery in other words than the guards': None when it may begin."""
    plan = next(plan for plan in situation.plans if plan.name == decision.plan)
    now, limits = situation.now, situation.limits
    if situation.run is not None and situation.run.kind is not RunKind.AHEAD:
        return "a run is under way"
    if plan.mode is not Mode.AUTO or not situation.automation.on:
        return "automation is off"
    if situation.since_start_seconds < limits.grace_seconds or situation.own_fault:
        return "the monitor can't judge yet"
    if plan.not_ready or plan.source_suspect or plan.drift:
        return "not ready"
    if plan.standby and situation.servers[plan.standby].reachable is False:
        return "no standby"
    if plan.standby and situation.servers[plan.standby].hangs_since:
        return "the standby is silent"
    if any(w.about in ("site", plan.role, plan.holder, plan.standby) and w.until > now for w in situation.maintenance):
        return "maintenance"
    last = plan.last_automatic
    if (
        last
        and not (plan.acknowledged_at and plan.acknowledged_at >= last.at)
        and now < last.at + timedelta(seconds=plan.cooldown_seconds)
    ):
        return "I14"
    down = [
        (name, check)
        for name, check in situation.checks.items()
        if name in plan.when.split() and check.standing is Standing.DOWN
    ]
    if not down:
        return "nothing is down"
    if any(check.verdict.flapping or now - check.verdict.last > timedelta(seconds=30) for _, check in down):
        return "not certain"
    if all(check.failing_since is None for _, check in down):
        return "the newest look was good"
    began = max(check.began for _, check in down)
    if situation.witnesses and not any(w.seen and w.at >= began for w in situation.witnesses):
        return "I4: no witness was seen since"
    for name, check in down:
        told = [s for s in situation.sightings if s.check == name and s.at >= check.began]
        if not {s.observer for s in told} >= set(check.observers) - {plan.holder}:
            return "not everybody was asked"
    return None


@given(cases)
@many
def test_a_recovery_begins_only_when_nothing_speaks_against_it(case: dict[str, Any]) -> None:
    situation = situation_of(case)
    decisions = choose(situation)
    assert [decision.plan for decision in decisions] == [plan.name for plan in situation.plans]
    recovers = [decision for decision in decisions if decision.action is Action.RECOVER]
    assert len(recovers) <= 1
    for decision in recovers:
        assert decision.held_by == ()
        assert why_not(situation, decision) is None
    for decision in decisions:
        assert decision.reason
        assert all(guard.reason and guard.reason[0] != " " for guard in decision.guards)


def test_recoveries_are_among_what_is_drawn() -> None:
    """A property of recoveries that sees none proves nothing."""
    seen = {Action.RECOVER: 0, Action.CONFIRM: 0, Action.ALARM: 0}

    @settings(many, max_examples=800, derandomize=True, database=None)
    @given(cases)
    def draw(case: dict[str, Any]) -> None:
        for decision in choose(situation_of(case)):
            seen[decision.action] = seen.get(decision.action, 0) + 1

    draw()
    assert seen[Action.RECOVER] >= 30, seen
    assert min(seen.values()) >= 10, seen


@given(cases)
@many
def test_what_was_decided_can_be_decided_again_from_what_was_stored(case: dict[str, Any]) -> None:
    situation = situation_of(case)
    for decision in choose(situation):
        explanation = explain(record(decision, situation))
        assert explanation.agrees
        assert explanation.lines[-1] == "decided again now, from the same situation: the same"


@given(cases, st.sampled_from([True, False, None]), st.booleans())
@many
def test_asking_whom_it_wants_asked_always_leads_to_a_decision(
    case: dict[str, Any], seen: bool | None, witness: bool
) -> None:
    situation = situation_of(case)
    for _ in situation.plans:  # a cause that others see explains nothing, and then its symptom is asked about
        decisions = choose(situation)
        confirm = [decision for decision in decisions if decision.action is Action.CONFIRM]
        assert all(decision.ask or decision.look_at for decision in confirm)
        situation = _answered(situation, confirm, seen, witness)
    assert Action.CONFIRM not in {decision.action for decision in choose(situation)}


def _answered(situation: Situation, confirm: list[Decision], seen: bool | None, witness: bool) -> Situation:
    """Everybody that these decisions wanted asked has answered so."""
    now = situation.now
    look_at = {name for decision in confirm for name in decision.look_at}
    asks = [ask for decision in confirm for ask in decision.ask]
    answers = [Sighting(observer=who, check=ask.check, seen=seen, at=now) for ask in asks for who in ask.observers]
    witnesses = [
        Seen(name=old.name, seen=witness, at=now) if old.name in look_at else old for old in situation.witnesses
    ]
    return situation.model_copy(
        update={"sightings": (*situation.sightings, *answers), "witnesses": tuple(witnesses)}
    )  # fmt: skip


def test_the_property_above_would_notice_a_missing_guard() -> None:
    """The oracle must be able to fail: a recovery decided elsewhere, judged in a situation that forbids it."""
    fault = {"checks": {"website": "down"}, "confirmed": ["website"]}
    decision = choose(situation_of(fault))[0]
    assert decision.action is Action.RECOVER
    assert why_not(situation_of(fault), decision) is None
    spoilings: list[tuple[dict[str, Any], str]] = [
        ({"situation": {"automation": {"on": False}}}, "automation is off"),
        ({"plans": {"web": {"last_automatic": {"run": 1, "ago": 60}}}}, "I14"),
        ({"witnesses": {"gateway": "not seen"}}, "I4: no witness was seen since"),
        ({"confirmed": []}, "not everybody was asked"),
        ({"checks": {"website": "suspect"}}, "nothing is down"),
    ]
    for spoiled, sentence in spoilings:
        assert why_not(situation_of({**fault, **spoiled}), decision) == sentence


def test_the_same_news_isnt_told_twice() -> None:
    def at(seconds: float, **other: Any) -> Decision:
        return choose(situation_of({"checks": {"website": {"standing": "down", "for": seconds}}, **other}))[0]

    blind = {"witnesses": {"gateway": "not seen"}}
    assert at(2, **blind).same_as(at(9, **blind))
    assert at(2, **blind).reason != at(9, **blind).reason
    assert not at(2, **blind).same_as(at(2, **blind, plans={"web": {"mode": "off"}}))
    assert not at(2).final
    assert at(2, **blind).final


def test_the_situations_clock_is_the_only_clock() -> None:
    situation = situation_of({"checks": {"website": "down"}, "confirmed": ["website"]})
    assert situation.now == NOW
    assert isinstance(situation.now, datetime)
    assert choose(situation) == choose(situation)
