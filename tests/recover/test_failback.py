"""The way back of every role: what changed is shown first, the last of it goes along, and nothing accepted is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from failover.model import RunKind, RunState
from failover.recover import builtin
from tests.recover.bureau import DAEMON, Bureau
from tests.recover.database_bureau import DatabaseBureau
from tests.recover.wcm_bureau import WcmBureau


@pytest.fixture
def wcm(tmp_path: Path) -> Iterator[WcmBureau]:
    bureau = WcmBureau(tmp_path)
    yield bureau
    assert not bureau.world.oracle.overlaps
    bureau.kill_daemon()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[DatabaseBureau]:
    bureau = DatabaseBureau(tmp_path)
    yield bureau
    bureau.look_for_losses("at the end")
    assert [*bureau.lost, *bureau.strays, *bureau.world.unsound] == []
    bureau.kill_daemon()


def shown(bureau: Bureau, role: str) -> list[str]:
    return [str(difference) for difference in bureau.runner.dry(role, RunKind.SWITCH).differences]


# shown first ---------------------------------------------------------------------------------------------------------


def test_on_the_way_to_a_new_server_nothing_is_compared(bureau: Bureau) -> None:
    dry = bureau.runner.dry("web", RunKind.SWITCH)
    assert dry.left_at is None
    assert not dry.differences


def test_the_web_shows_which_files_changed_also_where_they_were_copied_ahead(bureau: Bureau) -> None:
    bureau.publish("d1", paths={"a": "1", "b": "1", "c": "1"})
    bureau.switch()
    bureau.world.hosts["web"].content["/srv/site"]["paths"] = {"a": "1", "b": "1", "c": "1"}
    (moved,) = bureau.journal.events(kinds=["role.moved"])
    assert bureau.runner.dry("web", RunKind.SWITCH).left_at == moved.at
    bureau.world.pass_time(60)
    assert shown(bureau, "web") == ["/srv/site: nothing changed"]
    bureau.publish("d2", paths={"a": "2", "b": "1", "d": "1", "e": "1"})
    changed = ["/srv/site: 2 files added, 1 changed, 1 removed: 30 bytes"]
    assert shown(bureau, "web") == changed
    ahead = bureau.runner.keep("ahead", builtin.copy_ahead("web", bureau.content), RunKind.AHEAD, DAEMON)
    assert ahead is not None
    assert shown(bureau, "web") == changed, "it is there already, and people want to know it all the same"
    (difference,) = bureau.runner.dry("web", RunKind.SWITCH).differences
    assert difference.counts == {"added": 2, "changed": 1, "removed": 1, "bytes": 30}
    back = bureau.switch()
    assert back.state is RunState.DONE, back.reason
    assert any("changed since web left web: /srv/site: 2 files added" in note for note in back.notes)


def test_what_cannot_be_asked_is_said_with_its_reason(bureau: Bureau) -> None:
    bureau.switch()
    bureau.world.power_off("wcm")
    (difference,) = bureau.runner.dry("web", RunKind.SWITCH).differences
    assert (difference.counts, difference.nothing) == (None, False)
    assert difference.says == "can't be told: wcm: no session"


def test_the_database_shows_rows_by_table(database: DatabaseBureau) -> None:
    database.switch()
    assert shown(database, "database") == [
        "wcm on db-backup against db: can't be told: db: no database server runs here",
        "wcm on db-backup since wcm-db-20260301T000000Z was put in place there: nothing changed",
    ]
    database.park()
    assert shown(database, "database") == ["wcm on db-backup against db: nothing changed"]
    database.write_some("db-backup", 4)
    (difference,) = database.runner.dry("database", RunKind.SWITCH).differences
    assert difference.says == "pages +4"
    assert difference.counts == {"pages": 4}
    database.world.power_off("db")
    assert "can't be told: db: no session" in shown(database, "database")[0]


def test_the_wcm_shows_what_was_uploaded(wcm: WcmBureau) -> None:
    assert wcm.move(RunKind.SWITCH).state is RunState.DONE
    wcm.upload()
    assert shown(wcm, "wcm") == ["/srv/wcm/media: 1 file added, 0 changed, 0 removed: 10 bytes"]


# the last of it goes along -------------------------------------------------------------------------------------------


def test_nothing_that_an_editor_uploaded_is_lost_there_and_back(wcm: WcmBureau) -> None:
    wcm.world.at_call = wcm.upload
    for holder in ("wcm-backup", "wcm"):
        before = len(wcm.accepted)
        run = wcm.move(RunKind.SWITCH)
        assert run.state is RunState.DONE, run.reason
        assert len(wcm.accepted) > before + 5, "they uploaded while it moved"
        assert wcm.runs_on == holder
        wcm.world.at_call = lambda _where: None
        assert wcm.uploaded(holder) == wcm.accepted
        wcm.world.at_call = wcm.upload


def test_the_last_upload_before_the_wcm_is_stopped_goes_along(wcm: WcmBureau) -> None:
    def just_before(where: str) -> None:
        if where == "before change wcm service":
            wcm.upload()

    wcm.world.at_call = just_before
    run = wcm.move(RunKind.SWITCH)
    assert run.state is RunState.DONE, run.reason
    assert wcm.uploaded("wcm-backup") == wcm.accepted == {"first.jpg", "1.jpg"}


def test_no_row_that_was_accepted_is_lost_there_and_back(database: DatabaseBureau) -> None:
    database.world.at_call = database.always_writing
    for holder in ("db-backup", "db"):
        before = len(database.written)
        run = database.switch()
        assert run.state is RunState.DONE, run.reason
        assert len(database.written) > before
        assert database.stored_holder == holder
        assert database.written - {"years ago"} <= database.rows(holder)


def test_what_was_published_since_is_served_from_the_first_moment(bureau: Bureau) -> None:
    bureau.switch()
    bureau.world.pass_time(6)
    bureau.publish("d9")
    seen: list[str] = []

    def given(where: str) -> None:
        if where == "before change web address":
            seen.append(bureau.world.hosts["web"].content["/srv/site"]["digest"])

    bureau.world.at_call = given
    run = bureau.switch()
    assert run.state is RunState.DONE, run.reason
    assert seen == ["d9"], "the last copy was made before the address was given"
