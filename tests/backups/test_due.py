"""When a backup was due last, also on the days when clocks are set."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from failover.backups.due import last_due

ZONES = [ZoneInfo(name) for name in ("Asia/Shanghai", "Europe/Berlin", "America/St_Johns", "UTC", "Pacific/Apia")]
MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - of UTC
TIMES = st.lists(st.times().map(lambda at: at.replace(second=0, microsecond=0)), min_size=1, max_size=4)


@given(MOMENTS, TIMES, st.sampled_from(ZONES))
def test_it_is_never_later_than_now_nor_long_ago(now: datetime, times: list[time], zone: ZoneInfo) -> None:
    due = last_due(now, times, zone)
    assert due <= now
    assert now - due < timedelta(hours=26)


@given(MOMENTS, TIMES, st.sampled_from(ZONES), st.timedeltas(timedelta(0), timedelta(days=2)))
def test_it_never_goes_back_while_time_goes_on(now: datetime, times: list[time], zone: ZoneInfo, on: timedelta) -> None:
    assert last_due(now, times, zone) <= last_due(now + on, times, zone)


@pytest.mark.parametrize(
    ("now", "due"),
    [
        (datetime(2026, 11, 24, 1, 14, tzinfo=UTC), datetime(2026, 11, 23, 18, 0, tzinfo=UTC)),
        (datetime(2026, 11, 23, 17, 59, 59, tzinfo=UTC), datetime(2026, 11, 22, 18, 0, tzinfo=UTC)),
        (datetime(2026, 11, 23, 18, 0, tzinfo=UTC), datetime(2026, 11, 23, 18, 0, tzinfo=UTC)),
    ],
)
def test_two_in_the_morning_of_xiamen(now: datetime, due: datetime) -> None:
    assert last_due(now, [time(2)], ZONES[0]) == due


def test_a_time_that_the_clocks_jump_over_is_due_all_the_same() -> None:
    berlin = ZONES[1]  # on 2026-03-29 clocks go from 02:00 to 03:00
    assert last_due(datetime(2026, 3, 29, 12, tzinfo=UTC), [time(2, 30)], berlin) == datetime(
        2026, 3, 29, 1, 30, tzinfo=UTC
    )
