"""Retention: what may never go, whatever the numbers; and what the numbers mean."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from failover.backups import Backup, Keep, retention
from tests.backups.made import NOW, backup

XIAMEN = ZoneInfo("Asia/Shanghai")
KEEPS = st.builds(
    Keep,
    all_within=st.integers(0, 7 * 86400).map(float),
    daily=st.integers(1, 14),
    weekly=st.integers(0, 8),
    monthly=st.integers(0, 12),
)


@st.composite
def shelves(draw: st.DrawFn) -> list[Backup]:
    """Backups of up to two years, some broken, some unverified, some dated later than now; in any order."""
    ages = draw(st.lists(st.integers(-72, 24 * 700), max_size=60, unique=True))
    found = []
    for age in ages:
        state = draw(st.sampled_from(["good", "good", "good", "broken", "unverified"]))
        found.append(
            backup(
                age,
                problem="truncated" if state == "broken" else None,
                verified_at=None if state == "unverified" else NOW,
            )
        )
    return draw(st.permutations(found))


@given(shelves(), KEEPS)
def test_the_newest_verified_one_never_goes(there: list[Backup], keep: Keep) -> None:
    found = retention(there, keep, NOW, XIAMEN)
    good = [one for one in there if one.good and one.taken_at <= NOW]
    if good:
        assert max(good, key=lambda one: one.taken_at).id not in found.drop
    else:
        assert found.drop == ()


@given(shelves(), KEEPS)
def test_nothing_goes_while_people_deal_with_an_incident(there: list[Backup], keep: Keep) -> None:
    found = retention(there, keep, NOW, XIAMEN, frozen="incident 7 is open")
    assert found.drop == ()
    assert set(found.keep.values()) <= {"incident 7 is open"}


@given(shelves(), KEEPS)
def test_each_stays_or_goes_and_what_stays_says_why(there: list[Backup], keep: Keep) -> None:
    found = retention(there, keep, NOW, XIAMEN)
    assert sorted([*found.keep, *found.drop]) == sorted(one.id for one in there)
    assert all(found.keep.values())


@given(shelves(), KEEPS)
def test_asked_again_after_pruning_nothing_more_goes(there: list[Backup], keep: Keep) -> None:
    dropped = retention(there, keep, NOW, XIAMEN).drop
    left = [one for one in there if one.id not in dropped]
    assert retention(left, keep, NOW, XIAMEN).drop == ()


@given(shelves(), KEEPS)
def test_what_is_dated_later_than_now_stays_and_pushes_nothing_out(there: list[Backup], keep: Keep) -> None:
    past = [one for one in there if one.taken_at <= NOW]
    assert set(retention(there, keep, NOW, XIAMEN).drop) == set(
        retention(past, keep, NOW, XIAMEN).drop if any(one.good for one in past) else ()
    )


@given(shelves(), KEEPS)
def test_no_more_stays_than_the_numbers_allow(there: list[Backup], keep: Keep) -> None:
    found = retention(there, keep, NOW, XIAMEN)
    old = [one for one in there if one.good and NOW - one.taken_at > timedelta(seconds=keep.all_within)]
    stays = [one for one in old if one.id in found.keep]
    assert len(stays) <= keep.daily + keep.weekly + keep.monthly + 1


@given(shelves(), KEEPS, st.integers(2, 30))
def test_a_flood_of_backups_on_one_day_pushes_no_other_day_out(there: list[Backup], keep: Keep, count: int) -> None:
    noon = datetime(2026, 11, 24, 4, tzinfo=UTC)  # noon of the day in Xiamen
    past = [one for one in there if one.good and one.taken_at <= NOW]
    today = [one for one in past if one.taken_at.astimezone(XIAMEN).date() == noon.date()]
    first = [*there, *([] if today else [backup(NOW - noon)])]
    flood = [backup(NOW - noon - timedelta(seconds=number)) for number in range(1, count)]
    assert set(retention(first, keep, NOW, XIAMEN).drop) <= set(retention([*first, *flood], keep, NOW, XIAMEN).drop) | {
        one.id for one in today
    }
    before = {one.id for one in first if one.taken_at.astimezone(XIAMEN).date() != noon.date()}
    kept = before & set(retention(first, keep, NOW, XIAMEN).keep)
    assert kept <= set(retention([*first, *flood], keep, NOW, XIAMEN).keep)


def test_a_year_of_nights_leaves_seven_days_four_weeks_six_months() -> None:
    nights = [backup(timedelta(days=day, hours=7)) for day in range(365)]  # 02:14 UTC, 10:14 in Xiamen
    found = retention(nights, Keep(all_within=0.0), NOW, XIAMEN)
    kept = sorted(one.taken_at.astimezone(XIAMEN).date().isoformat() for one in nights if one.id in found.keep)
    assert kept == [
        "2026-06-30", "2026-07-31", "2026-08-31", "2026-09-30", "2026-10-31", "2026-11-08", "2026-11-15",
        "2026-11-18", "2026-11-19", "2026-11-20", "2026-11-21", "2026-11-22", "2026-11-23", "2026-11-24",
    ]  # fmt: skip


def test_a_day_begins_at_midnight_where_the_people_are() -> None:
    late, early = backup(timedelta(days=1, hours=17, minutes=30)), backup(timedelta(days=1, hours=17))
    # 15:44 and 16:14 UTC are 23:44 and 00:14 in Xiamen: two days there, one in UTC
    keep = Keep(all_within=0.0, daily=7, weekly=0, monthly=0)
    newest = backup(0)
    assert retention([late, early, newest], keep, NOW, XIAMEN).drop == ()
    assert retention([late, early, newest], keep, NOW, UTC).drop == (late.id,)


def test_broken_and_unverified_ones_take_no_places() -> None:
    good = [backup(24 * day + 12) for day in range(3, 6)]
    broken = [backup(24 * day + 12, problem="truncated") for day in range(6, 20)]
    newer = [backup(12, verified_at=None), backup(36, problem="empty")]
    found = retention([*good, *broken, *newer], Keep(all_within=0.0, daily=2, weekly=0, monthly=0), NOW, XIAMEN)
    assert set(found.keep) == {good[0].id, good[1].id, newer[0].id, newer[1].id}
