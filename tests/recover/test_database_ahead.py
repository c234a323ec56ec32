"""What is restored ahead of time: a shadow that leaves only the swap, and is never half a one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from failover.model import RunKind, RunState
from tests.recover.database_bureau import DatabaseBureau, changes


def test_a_shadow_that_is_ready_leaves_only_the_swap(databases: DatabaseBureau) -> None:
    ahead = databases.ahead()
    assert ahead is not None
    assert ahead.state is RunState.DONE, ahead.reason
    (restored,) = databases.journal.events(kinds=["database.restored"])
    assert restored.data["ahead"] is True
    assert restored.data["rows"] == 20
    assert restored.data["seconds"] > 0
    assert databases.world.hosts["db-backup"].backups["wcm-db"]["wcm-db-20260228T170000Z"].restored_at
    assert databases.ahead() is None, "it stands: nothing is left to do"
    databases.fail()
    assert changes(databases.recover()) == ["db stopped", "db-backup swapped"]


def test_after_each_new_backup_the_shadow_is_made_anew_and_the_older_is_dropped(databases: DatabaseBureau) -> None:
    for at_hours in (-5, -3, -1):
        databases.ahead()
        databases.write_some("db", 3)
        databases.backup(at_hours=at_hours)
    databases.ahead()
    (shadow,) = [name for name in databases.databases("db-backup") if name != "wcm"]
    assert len(databases.rows("db-backup", shadow)) == 34


def test_a_shadow_serves_where_its_backup_cannot_be_asked_for_any_more(databases: DatabaseBureau) -> None:
    databases.backup(at_hours=-1, on="third")
    databases.ahead()
    databases.world.power_off("third")
    databases.world.hosts["db-backup"].backups["wcm-db"].clear()
    databases.fail()
    run = databases.recover()
    assert run.state is RunState.DONE, run.reason
    assert len(databases.rows("db-backup")) == 25


def test_a_backup_that_could_not_be_restored_ahead_is_known_in_daylight(databases: DatabaseBureau) -> None:
    databases.backup(at_hours=-1, fault="error: could not read block")
    databases.ahead()
    found = list(databases.step.problems(replace(databases.scene("database", RunKind.RECOVER))))
    assert [problem.severity for problem in found] == ["loss"]
    assert "could not read block" in found[0].text
    assert databases.ahead() is None, "it isn't tried again all night"


@pytest.mark.parametrize("where", ["during change db-backup database", "after change db-backup database"])
def test_a_machine_that_loses_its_power_in_mid_restore_begins_anew(databases: DatabaseBureau, where: str) -> None:
    cuts: list[str] = []

    def cut(at: str) -> None:
        if at == where and not cuts:
            cuts.append(at)
            databases.world.power_off("db-backup")
            databases.boot("db-backup")

    databases.fail()
    databases.world.at_call = cut
    run = databases.recover()
    assert cuts
    assert run.state is RunState.DONE, run.reason
    assert len(databases.rows("db-backup")) == 20
    assert not [name for name in databases.databases("db-backup") if name.startswith("wcm__2")]
