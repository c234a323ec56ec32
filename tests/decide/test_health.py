import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from failover.decide import Health, Thresholds, fold, next_look_in
from failover.decide.health import QUICK_LOOKS, needed
from failover.model import Reading, Standing, State

BEGAN = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)
UP, SUSPECT, DOWN, UNKNOWN = Standing.UP, Standing.SUSPECT, Standing.DOWN, Standing.UNKNOWN
PLAIN = Thresholds()


def reading(state: State, seconds: float, reason: str = "") -> Reading:
    return Reading("website", state, reason or f"is {state}", BEGAN + timedelta(seconds=seconds))


def after(looks: str, every: float = 1.0, thresholds: Thresholds = PLAIN, health: Health | None = None) -> list[Health]:
    """The healths after each look: ``u`` up, ``d`` down, ``?`` unknown."""
    states = {"u": State.UP, "d": State.DOWN, "?": State.UNKNOWN}
    health = health or Health.begin("website", BEGAN)
    healths, at = [], (health.last - BEGAN).total_seconds()
    for look in looks:
        at += every
        health = fold(health, reading(states[look], at), thresholds)
        healths.append(health)
    return healths


def standings(looks: str, **other: object) -> list[Standing]:
    return [health.standing for health in after(looks, **other)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        ("u", [UP]),
        ("?", [UNKNOWN]),
        ("ud", [UP, SUSPECT]),
        ("udd", [UP, SUSPECT, SUSPECT]),
        ("uddd", [UP, SUSPECT, SUSPECT, DOWN]),
        ("ddd", [SUSPECT, SUSPECT, DOWN]),
        ("udu", [UP, SUSPECT, UP]),
        ("udddu", [UP, SUSPECT, SUSPECT, DOWN, DOWN]),
        ("udddud", [UP, SUSPECT, SUSPECT, DOWN, DOWN, DOWN]),
        ("udddudu", [UP, SUSPECT, SUSPECT, DOWN, DOWN, DOWN, DOWN]),
        ("udddduu", [UP, SUSPECT, SUSPECT, DOWN, DOWN, DOWN, UP]),
        ("u?d?d?d", [UP, UP, SUSPECT, SUSPECT, SUSPECT, SUSPECT, DOWN]),
        ("uddd?u?u", [UP, SUSPECT, SUSPECT, DOWN, DOWN, DOWN, DOWN, UP]),
    ],
)
def test_what_looks_amount_to(looks: str, expected: list[Standing]) -> None:
    assert standings(looks) == expected


def test_other_thresholds_are_kept_to() -> None:
    assert standings("udu", thresholds=Thresholds(fall=1, rise=1)) == [UP, DOWN, UP]
    assert standings("uddddduuu", thresholds=Thresholds(fall=5, rise=3))[-5:] == [SUSPECT, DOWN, DOWN, DOWN, UP]


def test_the_reason_says_what_was_seen_and_how_far_it_is() -> None:
    healths = after("udddu")
    assert [health.reason for health in healths] == [
        "is up",
        "is down; 1 of 3 failed looks in a row",
        "is down; 2 of 3 failed looks in a row",
        "is down",
        "is up; 1 of 2 good looks",
    ]
    assert healths[3].failing_since == BEGAN + timedelta(seconds=2)
    assert healths[3].since == healths[4].since == BEGAN + timedelta(seconds=4)


def test_a_reading_of_another_check_is_refused() -> None:
    with pytest.raises(ValueError, match="a reading of 'website' was given to the health of 'wcm'"):
        fold(Health.begin("wcm", BEGAN), reading(State.UP, 1), PLAIN)


def test_a_failed_look_is_confirmed_quickly_and_recovery_too() -> None:
    pace = [next_look_in(health, 5.0, 0.2) for health in after("u?ddd" + "dddu" + "u")]
    assert pace == [5.0, 5.0, 0.2, 0.2, 5.0, 5.0, 5.0, 5.0, 0.2, 5.0]
    assert next_look_in(after("d")[-1], 0.1, 0.2) == 0.1


def test_quick_looks_end_when_they_decide_nothing() -> None:
    patient = Thresholds(fall=100)
    healths = after("u" + "d" * 60, thresholds=patient)
    assert next_look_in(healths[QUICK_LOOKS], 5.0, 0.2) == 0.2
    assert next_look_in(healths[QUICK_LOOKS + 1], 5.0, 0.2) == 5.0


def test_a_verdict_goes_stale_when_no_look_can_tell() -> None:
    health = after("uddd" + "?" * 40)[3]
    assert health.verdict(health.last + timedelta(seconds=30), 30).standing is DOWN
    verdict = health.verdict(health.last + timedelta(seconds=31), 30)
    assert (verdict.standing, verdict.since) == (UNKNOWN, health.last)
    assert verdict.reason == "no look could tell for 31 s; before that it was down"
    assert "the clock was set back" in health.verdict(health.last - timedelta(hours=1), 30).reason


def test_unknown_looks_keep_no_verdict_fresh() -> None:
    health = after("uddd" + "?" * 40)[-1]
    assert health.verdict(BEGAN + timedelta(seconds=44), 30).standing is UNKNOWN
    assert "is unknown" in after("?" * 40)[-1].reason


@pytest.mark.parametrize("gap", [31.0, 600.0, -3600.0])
def test_after_a_gap_only_fresh_looks_count(gap: float) -> None:
    health = after("udd")[-1]
    at = 3 + gap
    seen = []
    for _ in range(3):
        health = fold(health, reading(State.DOWN, at), PLAIN)
        seen.append(health.standing)
        at += 0.2
    assert seen == [SUSPECT, SUSPECT, DOWN]


def test_what_was_down_before_a_gap_is_not_down_after_one_failed_look() -> None:
    health = after("uddd")[-1]
    assert fold(health, reading(State.DOWN, 604), PLAIN).standing is SUSPECT
    assert fold(health, reading(State.UNKNOWN, 604), PLAIN).standing is UNKNOWN


def test_a_long_pause_of_a_slow_check_is_no_gap() -> None:
    slow = Thresholds.for_schedule(fall=2, rise=1, every=300, timeout=60)
    assert slow.stale_after_seconds == 960
    assert standings("udd", every=300, thresholds=slow) == [UP, SUSPECT, DOWN]


def lossy(rng: random.Random, loss: float, looks: int) -> str:
    return "".join("d" if rng.random() < loss else "u" for _ in range(looks))


@pytest.mark.parametrize("loss", [0.1, 0.2, 0.3, 0.4])
def test_a_lossy_line_is_suspect_and_once_known_never_down(loss: float) -> None:
    rng = random.Random(7)  # noqa: S311 - the same looks every time
    downs = suspects = 0
    for _ in range(40):
        known = after("u" * 30 + "duduududud" * 2)[-1]
        assert known.standing is SUSPECT
        healths = after(lossy(rng, loss, 600), health=known)
        downs += sum(health.standing is DOWN for health in healths)
        suspects += sum(health.standing is SUSPECT for health in healths)
    assert downs == 0
    assert suspects > 40 * 600 * loss
    assert "lossy: " in after("u" * 30 + "duduududud" * 2 + "u")[-1].reason


def test_a_line_that_only_begins_to_lose_is_seldom_taken_for_dead() -> None:
    rng = random.Random(11)  # noqa: S311 - the same looks every time
    fooled = sum(DOWN in standings("u" * 30 + lossy(rng, 0.3, 300)) for _ in range(300))
    # Before loss is known, three looks in a row fail with 0.3^2 after a first failure; then others are asked.
    assert fooled <= 300 * 0.15


def test_a_server_that_dies_on_a_lossy_line_is_down_in_the_end() -> None:
    health = after("u" * 30 + "duduududud" * 2)[-1]
    streak = needed(health, PLAIN)
    assert PLAIN.fall < streak <= PLAIN.longest
    assert [one.standing for one in after("d" * 25, health=health)].index(DOWN) < PLAIN.longest


def test_a_line_that_lost_is_up_again_when_it_has_kept_well() -> None:
    healths = after("u" * 30 + "dud" * 3 + "u" * 30)
    assert healths[38].standing is SUSPECT
    assert healths[-1].standing is UP
    assert after("u" * 60 + "ddd", health=healths[-1])[-1].standing is DOWN, "and then no longer streak is asked for"


def test_an_outage_that_ended_is_no_loss() -> None:
    assert standings("u" * 5 + "d" * 30 + "u" * 5 + "ddd")[-1] is DOWN


def flaps(times: int, seconds: float) -> str:
    return ("d" * int(seconds) + "u" * int(seconds)) * times


def test_flapping_is_suspect_until_it_has_kept_still() -> None:
    healths = after("u" + flaps(20, 45) + "u" * 700)
    kept = [health.standing for health in healths]
    falls = sum(b is DOWN and a is not DOWN for a, b in pairwise(kept))
    assert falls == 2, "the third fall within ten minutes is called flapping"
    flapping = [health for health in healths if health.flapping]
    assert {health.standing for health in flapping} == {SUSPECT}
    assert flapping[0].reason.startswith("flapping: 5 turns between up and down within 10 min; now is down")
    assert kept[-1] is UP
    assert not healths[-1].flapping
    assert healths[-1].verdict(healths[-1].last, 30).flapping is False


def test_flapping_ends_later_than_it_begins() -> None:
    healths = after("u" + flaps(6, 45) + "u" * 700)
    assert min(len(health.turns) for health in healths if not health.flapping and len(health.turns) > 1) == 2
    assert min(len(health.turns) for health in healths if health.flapping) == 2
    ends = max(number for number, health in enumerate(healths) if health.flapping)
    assert all(health.flapping for health in healths[ends - 300 : ends])


def test_what_flapped_and_then_died_is_down_within_two_minutes() -> None:
    flapped = "u" + flaps(6, 45)
    healths = after(flapped + "d" * 150)
    died = len(flapped)
    first = next(n for n, health in enumerate(healths[died:]) if health.standing is DOWN)
    assert 110 <= first <= 122
    assert healths[died + first].flapping, "the flapping is still told"


def test_a_restart_and_a_failure_minutes_later_are_no_flapping() -> None:
    assert standings("u" + "d" * 20 + "u" * 240 + "ddd")[-1] is DOWN


looks = st.lists(
    st.tuples(
        st.sampled_from("uuudd?"), st.one_of(st.just(0.2), st.just(1.0), st.floats(0.05, 100), st.floats(-200, 0))
    ),
    max_size=120,
)
some_thresholds = st.builds(
    Thresholds,
    fall=st.integers(1, 6),
    rise=st.integers(1, 4),
    window=st.integers(6, 60),
    flap_turns=st.integers(3, 7),
    flap_window_seconds=st.floats(10, 600),
)


@given(looks, some_thresholds)
def test_whatever_is_looked_at(told: list[tuple[str, float]], thresholds: Thresholds) -> None:
    """Down needs ``fall`` fresh failures in a row; memory is bounded; a verdict is never younger than its looks."""
    states = {"u": State.UP, "d": State.DOWN, "?": State.UNKNOWN}
    health, at, fresh, last = Health.begin("website", BEGAN), 0.0, 0, 0.0
    for look, gap in told:
        at += gap
        before, health = health, fold(health, reading(states[look], at), thresholds)
        if abs(at - last) > thresholds.stale_after_seconds:
            fresh, last = 0, at
        if look != "?":
            last, fresh = at, fresh + 1 if look == "d" else 0
        if health.standing is DOWN and before.standing is not DOWN:
            assert fresh >= thresholds.fall
            assert look == "d"
        assert health.fails == fresh
        if health.flapping and health.standing is not SUSPECT:
            assert health.standing is DOWN
            assert health.failing_since is not None
            assert (health.last - health.failing_since).total_seconds() >= thresholds.flap_settled_seconds
        assert len(health.recent) <= thresholds.window
        assert len(health.turns) <= 4 * thresholds.flap_turns
        assert next_look_in(health, 5.0, 0.2) in (5.0, 0.2)
        assert needed(health, thresholds) >= thresholds.fall


@given(
    st.lists(st.tuples(st.booleans(), st.integers(2, 90)), max_size=40),
    st.integers(3, 7),
    st.sampled_from([120.0, 600.0]),
)
def test_falls_are_bounded_in_every_window(phases: list[tuple[bool, int]], turns: int, window: float) -> None:
    thresholds = Thresholds(fall=2, rise=2, flap_turns=turns, flap_window_seconds=window)
    healths = after("u" + "".join(("u" if up else "d") * seconds for up, seconds in phases), thresholds=thresholds)
    falls = [b.since for a, b in pairwise(healths) if b.standing is DOWN and a.standing is not DOWN]
    for fall in falls:
        within = [other for other in falls if timedelta() <= other - fall < timedelta(seconds=window)]
        # Half of the turns before it is called flapping are falls; one more may follow when it has kept still, and
        # one for every two minutes of unbroken failure.
        assert len(within) <= turns // 2 + 1 + window // thresholds.flap_settled_seconds
