"""The calendar's jobs: one that is called off, alone or with the calendar, is no error."""

from __future__ import annotations

import asyncio
import logging

import pytest

from failover.monitor.calendar import Calendar


async def test_a_job_whose_work_is_called_off_is_no_trouble_and_comes_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    calendar = Calendar(lambda _kind, _data: None)
    calls: list[asyncio.Future[None]] = []

    async def act() -> None:
        calls.append(asyncio.get_running_loop().create_future())
        await calls[-1]

    calendar.every("copy 1", 1, act)
    running = asyncio.create_task(calendar.run())
    try:
        async with asyncio.timeout(5):
            while not calls:  # noqa: ASYNC110 - a scheduler calls, which has no event for that
                await asyncio.sleep(0.01)
            calls[0].cancel()
            while len(calls) < 2:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)
    finally:
        running.cancel()
        await asyncio.wait([running])
    assert "job copy 1 was called off" in caplog.text
    assert "raised an exception" not in caplog.text
