"""What the table of pairs doesn't show: a second failure in the middle of a run, people's words, and the oracles."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from failover.model import RunKind, RunState
from tests.recover.bureau import LIN
from tests.recover.whole_servers import FILE, UNIT, WholeWorld
from tests.recover.whole_site import FAILURES
from tests.recover.whole_story import bureau_at_work, pages, what_happened

MOVING = [name for name in FAILURES if name.endswith(("fails", "loses power"))]
IN_MID_RUN = [(first, second) for first, second in permutations(FAILURES, 2) if first in MOVING]


@pytest.mark.parametrize(("first", "second"), IN_MID_RUN, ids=lambda name: str(name))
def test_a_second_failure_in_mid_run_breaks_nothing(first: str, second: str, folders: Iterator[Path]) -> None:
    """At a moment that differs from pair to pair, and is the same each time."""
    moment = zlib.crc32(f"{first}, {second}".encode()) % 60

    async def story() -> None:
        async with bureau_at_work(next(folders)) as bureau:
            FAILURES[first](bureau.world)
            calls = 0

            def strike(where: str) -> None:
                nonlocal calls
                bureau.world.editors_work(where)
                if bureau.runner.under_way.current() is not None:
                    calls += 1
                    if calls == moment:
                        FAILURES[second](bureau.world)

            bureau.world.at_call = strike
            await bureau.settle()
            assert calls, "a run began"

    asyncio.run(story())


def test_a_database_that_serves_again_leaves_nobody_called_for_the_wcm(folders: Iterator[Path]) -> None:
    async def story() -> list[str]:
        async with bureau_at_work(next(folders)) as bureau:
            FAILURES["db fails"](bureau.world)
            await bureau.settle()
            assert bureau.moves() == ["database moves to db-backup"]
            return pages(bureau, 0)

    assert [page for page in asyncio.run(story()) if "plan wcm" in page] == []


@pytest.mark.parametrize("kind", [RunKind.RECOVER, RunKind.SWITCH])
def test_a_wcm_that_saves_nothing_is_left_to_its_own_plan_after_a_failure_only(
    kind: RunKind, folders: Iterator[Path]
) -> None:
    def refuses() -> str:
        raise ValueError("the WCM is read-only")

    async def story() -> None:
        async with bureau_at_work(next(folders)) as bureau:
            bureau.world.hosts["wcm"].commands["marker"] = refuses
            if kind is RunKind.RECOVER:
                FAILURES["db fails"](bureau.world)
            run = bureau.runner.start("database", kind, LIN, force=kind is RunKind.RECOVER)
            await bureau.hear()
            names = bureau.world.hosts["wcm"].files[FILE]["DATABASE_HOST"]
            if kind is RunKind.RECOVER:
                assert bureau.state_of(run.number) is RunState.DONE
                assert names == bureau.setup.hosts["db-backup"]
                assert any("wcm on wcm isn't connected" in text for text in bureau.told())
            else:
                assert bureau.state_of(run.number) is RunState.UNDONE
                assert names == bureau.setup.hosts["db"]
                assert what_happened(bureau, 0).endswith("Editors: wcm on db.")

    asyncio.run(story())


def test_once_a_person_has_said_it_the_run_goes_on_and_then_the_other_plan(folders: Iterator[Path]) -> None:
    async def story() -> str:
        async with bureau_at_work(next(folders), fences=False) as bureau:
            bureau.world.publish()
            FAILURES["web loses power"](bureau.world)
            FAILURES["wcm fails"](bureau.world)
            await bureau.settle()
            assert bureau.moves() == []
            await bureau.say("off:web")
            await bureau.settle()
            return what_happened(bureau, 0)

    assert asyncio.run(story()) == (
        "Web moves to web-backup, then wcm moves to wcm-backup. Visitors: web-backup, newest pages. "
        "Editors: wcm-backup on db."
    )


def test_a_standby_that_missed_the_databases_move_starts_with_the_new_one(folders: Iterator[Path]) -> None:
    async def story() -> str:
        async with bureau_at_work(next(folders)) as bureau:
            for failure in ("wcm-backup is gone", "db fails"):
                FAILURES[failure](bureau.world)
                await bureau.settle()
            bureau.world.boot("wcm-backup")
            await bureau.settle()
            FAILURES["wcm fails"](bureau.world)
            await bureau.settle()
            return what_happened(bureau, 0)

    assert asyncio.run(story()) == (
        "Database moves to db-backup, then wcm moves to wcm-backup. Visitors: web, newest pages. "
        "Editors: wcm-backup on db-backup."
    )


# every oracle must be able to fail ---------------------------------------------------------------------------------


def two_wcms(world: WholeWorld) -> None:
    world.hosts["wcm-backup"].services[UNIT] = "active"
    world.changed()


def a_write_to_the_old_database(world: WholeWorld) -> None:
    world.served("db-backup", world.hosts["db-backup"].databases["wcm"])
    world.save(world.hosts["wcm"], "stray")


def a_lost_row(world: WholeWorld) -> None:
    world.hosts["db"].databases["wcm"].rows["pages"].remove("row 22")


def an_address_of_two(world: WholeWorld) -> None:
    world.hosts["web-backup"].parked.clear()
    world.hosts["web-backup"].held = dict(world.hosts["web"].held)
    world.changed()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [(two_wcms, "one WCM runs"), (a_write_to_the_old_database, "I11"), (a_lost_row, "I7"), (an_address_of_two, "I1")],
)
def test_what_must_never_be_so_is_noticed(spoil: Any, says: str, folders: Iterator[Path]) -> None:
    async def story() -> None:
        async with bureau_at_work(next(folders)) as bureau:
            spoil(bureau.world)

    with pytest.raises(AssertionError, match=says):
        asyncio.run(story())


def test_a_bureau_that_nothing_happens_to_calls_nobody(folders: Iterator[Path]) -> None:
    async def story() -> tuple[str, list[str]]:
        async with bureau_at_work(next(folders)) as bureau:
            await bureau.settle()
            return what_happened(bureau, 0), bureau.told()

    happens, told = asyncio.run(story())
    assert happens == "Nothing moves. Visitors: web, newest pages. Editors: wcm on db."
    assert told == []
