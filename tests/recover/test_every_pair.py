"""Every failure, and every pair of failures in every order, ends as ``docs/failures.md`` says.

Each row of its tables is played on a whole bureau. Besides what the row says, it must always be so: one server answers
for the address (I1), one WCM runs (I12), none writes to a database that doesn't serve (I11), no row is lost (I7).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from itertools import combinations, permutations
from pathlib import Path

import pytest

from tests.recover.failures_table import AFTER, ALONE, AT_ONCE, Row, rows, says
from tests.recover.whole_site import FAILURES
from tests.recover.whole_story import play

ROWS = rows()
IN_THE_LAB = {
    ("wcm fails", AFTER, "web fails"),
    ("wcm fails", AFTER, "db fails"),
    ("web fails", AT_ONCE, "wcm loses power"),
    ("web loses power", AT_ONCE, "web-backup is gone"),
}
"""Web after the WCM moved; database after the WCM; WCM and web at once; web and its backup both down."""


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_it_ends_as_the_table_says(row: Row, folders: Iterator[Path]) -> None:
    ended = asyncio.run(play(next(folders), row.first, row.second, row.when, fences=row.fences))
    assert ended.happens == row.happens
    moves = [f"run … begins: {role} moves from … to {to}" for role, to in moved(ended.happens)]
    for fragment in (*moves, *row.told):
        assert any(says(fragment, text) for text in ended.told), "\n".join(
            [f"nobody is told {fragment!r}", *ended.told]
        )
    if not row.told and not moves:
        assert not ended.paged, "people were called, and the table says that there is nothing new"
    if "nobody" in row.happens and row.fences:
        assert ended.paged, "where the site or the WCM stands still, people are called"


def moved(happens: str) -> list[tuple[str, str]]:
    """The moves of a row's sentence: role and new holder."""
    return re.findall(r"(\w+) moves to ([\w-]+)", happens.lower())


def test_no_pair_is_missing() -> None:
    fenced = [row for row in ROWS if row.fences]
    alone = [row.first for row in fenced if row.when == ALONE]
    at_once = [sorted((row.first, row.second)) for row in fenced if row.when == AT_ONCE]
    after = [(row.first, row.second) for row in fenced if row.when == AFTER]
    assert sorted(alone) == sorted(FAILURES)
    assert sorted(at_once) == sorted(sorted(pair) for pair in combinations(FAILURES, 2))
    assert sorted(after) == sorted(permutations(FAILURES, 2))


def test_those_that_the_emergency_plan_fears_most_are_marked_for_the_lab() -> None:
    assert {(row.first, row.when, row.second) for row in ROWS if row.lab} == IN_THE_LAB
