"""The choice of a backup: the newest good one, and a reason for every newer one that it isn't."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from failover.backups import Backup, DatabaseSet, Target, choose
from failover.backups.band import outside, usual_bytes
from failover.backups.choose import major
from tests.backups.made import NOW, backup

SETS = {"wcm-db": DatabaseSet(role="database", on="db-backup", path="/var/backups/failover/wcm-db", at=("02:00",))}
TARGET = Target("postgresql", "15.20", {"custom", "plain.gz"}, "db-backup")


def test_truncated_empty_and_of_a_wrong_version_are_passed_over_and_the_fourth_is_used() -> None:
    there = [
        backup(7, problem="pg_restore can't read it to its end: could not read from input file: end of file"),
        backup(31, bytes=0, verified_at=None),
        backup(55, server_version="16.4"),
        backup(79),
        backup(103),
    ]
    choice = choose(there, SETS, TARGET, NOW)
    assert choice.best == there[3]
    assert [one.reason for one in choice.passed_over] == [
        "pg_restore can't read it to its end: could not read from input file: end of file",
        "it is empty",
        "it is of version 16.4, newer than 15.20, which is to take it",
    ]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"verified_at": None}, "it isn't verified"),
        ({"bytes": 300}, "its 300 bytes are 30 % of the usual 1000; at least 50 % are expected"),
        ({"bytes": 3300}, "its 3300 bytes are 330 % of the usual 1000; at most 300 % are expected"),
        ({"engine": "mariadb"}, "it is of mariadb, and postgresql is wanted"),
        ({"format": "base"}, "its format, base, can't be restored there"),
        ({"format": None}, "its format, unknown, can't be restored there"),
        ({"server": "wcm-backup"}, "it lies on wcm-backup, not on db-backup"),
        ({"taken_at": NOW + timedelta(hours=1)}, "its time, 2026-11-24 10:14:00 UTC, is still to come"),
    ],
)
def test_each_reason_is_said(wrong: dict[str, object], reason: str) -> None:
    others = [backup(hours) for hours in (31, 55, 79)]
    choice = choose([backup(7, **wrong), *others], SETS, TARGET, NOW)
    assert choice.best == others[0]
    assert [one.reason for one in choice.passed_over] == [reason]


def test_what_was_taken_after_the_incident_began_is_not_used() -> None:
    poisoned, clean = backup(7), backup(31)
    target = Target("postgresql", "15.20", before=NOW - timedelta(hours=10))
    choice = choose([poisoned, clean], SETS, target, NOW)
    assert choice.best == clean
    assert str(choice.passed_over[0]) == (
        f"{poisoned.id} on db-backup: it was taken after the incident began, 2026-11-23 23:14:00 UTC"
    )


def test_a_copy_of_files_fits_the_same_version_only() -> None:
    older = backup(7, format="base", server_version="14.9")
    choice = choose([older], SETS, Target("postgresql", "15.20"), NOW)
    assert choice.best is None
    assert choice.passed_over[0].reason == "it is of version 14.9, and a copy of files fits 15.20 only"


def test_a_set_that_was_not_asked_for_is_not_spoken_of() -> None:
    choice = choose([backup(1, set="paper"), backup(7)], SETS, TARGET, NOW)
    assert choice.best == backup(7)
    assert choice.passed_over == ()


@pytest.mark.parametrize(
    ("engine", "version", "found"),
    [
        ("postgresql", "15.20 (Debian 15.20-0+deb12u1)", (15,)),
        ("postgresql", "9.6.24", (9, 6)),
        ("mariadb", "10.11.14-MariaDB-0+deb12u2", (10, 11)),
        ("mysql", "8.0.36", (8, 0)),
        ("postgresql", "devel", None),
    ],
)
def test_what_of_a_version_has_to_fit(engine: str, version: str, found: tuple[int, ...] | None) -> None:
    assert major(engine, version) == found


def test_of_fewer_than_three_nobody_can_say_what_is_usual() -> None:
    assert usual_bytes([1000, 10]) is None
    assert outside(backup(0, bytes=1), [backup(24), backup(48)], SETS["wcm-db"]) is None


def test_a_copy_on_a_second_server_counts_once() -> None:
    two = [backup(24), backup(24, server="wcm-backup"), backup(48), backup(48, server="wcm-backup")]
    assert outside(backup(0, bytes=1), two, SETS["wcm-db"]) is None


@given(st.lists(st.tuples(st.integers(-50, 400), st.booleans(), st.booleans(), st.integers(0, 9000)), max_size=30))
def test_the_best_is_good_and_nothing_newer_is_without_a_reason(rows: list[tuple[int, bool, bool, int]]) -> None:
    there: list[Backup] = [
        backup(age, problem="bad" if bad else None, verified_at=NOW if verified else None, bytes=size)
        for age, bad, verified, size in rows
    ]
    choice = choose(there, SETS, TARGET, NOW)
    if choice.best is None:
        assert len(choice.passed_over) == len(there)
        return
    assert choice.best.good
    assert choice.best.taken_at <= NOW + timedelta(minutes=5)
    newer = [one for one in there if (one.taken_at, one.id) > (choice.best.taken_at, choice.best.id)]
    assert len(newer) <= len(choice.passed_over)
    assert all(one.reason for one in choice.passed_over)
