"""The daemon is killed at every line of a database's recovery and planned move, while somebody writes all the time.

Afterwards the run has ended or waits for a person, no row stands nowhere (I7), nothing half serves (I8), nobody writes
to the old database once the new one serves (I11), and nothing was done twice (I9).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from failover.model import RunKind, RunState
from failover.recover.steps import DatabaseRestored
from tests.recover.bureau import DAEMON, LIN, LeftWaiting
from tests.recover.database_bureau import DatabaseBureau
from tests.recover.test_crashes import Tripwire, WiredJournal
from tests.recover.toy_world import Killed


def failed(bureau: DatabaseBureau) -> None:
    bureau.fail()


def ahead(bureau: DatabaseBureau) -> None:
    bureau.ahead()
    bureau.fail()


def bad_newest(bureau: DatabaseBureau) -> None:
    bureau.backup(at_hours=-1, fault="truncated")
    bureau.backup(at_hours=-2, fault="error: bad dump")
    bureau.fail()


def elsewhere(bureau: DatabaseBureau) -> None:
    bureau.backup(at_hours=-1, on="third")
    bureau.fail()


def powered_off(bureau: DatabaseBureau) -> None:
    bureau.world.power_off("db")


def too_old(bureau: DatabaseBureau) -> None:
    bureau.world.pass_time(5 * 3600)
    bureau.fail()


def well(bureau: DatabaseBureau) -> None:
    """Nothing is wrong: a planned move."""


def moved(bureau: DatabaseBureau) -> None:
    """It was moved before, and written to since: the way back, to a server whose database stands still."""
    bureau.switch()
    bureau.write_some("db-backup", 5)


def sick(bureau: DatabaseBureau) -> None:
    """It was moved to a server whose database has died since: only a rollback helps, and something is lost."""
    moved(bureau)
    bureau.park()
    bureau.world.hosts["db-backup"].services["postgresql"] = "failed"


def unanswered(bureau: DatabaseBureau) -> None:
    """The new one is put in place and doesn't answer: all is taken back."""
    look = bureau.look
    bureau.look = lambda check, server: look(check, "third" if server == "db-backup" else server)  # type: ignore[method-assign]
    bureau.world.hosts["third"].services["postgresql"] = "inactive"


SCENES: dict[str, tuple[Callable[[DatabaseBureau], None], RunKind, dict[str, Any]]] = {
    "failed": (failed, RunKind.RECOVER, {}),
    "restored ahead": (ahead, RunKind.RECOVER, {}),
    "the newest are no good": (bad_newest, RunKind.RECOVER, {}),
    "the newest lies elsewhere": (elsewhere, RunKind.RECOVER, {}),
    "off, fence": (powered_off, RunKind.RECOVER, {"fence": True}),
    "off, no fence": (powered_off, RunKind.RECOVER, {}),
    "too much would be lost": (too_old, RunKind.RECOVER, {}),
    "planned": (well, RunKind.SWITCH, {}),
    "planned, back": (moved, RunKind.SWITCH, {}),
    "planned, taken back": (unanswered, RunKind.SWITCH, {}),
    "rolled back": (moved, RunKind.ROLLBACK, {}),
    "rolled back from a sick one": (sick, RunKind.ROLLBACK, {}),
}


def cut(path: Path, scene: str, wire: Tripwire, fates: Iterable[tuple[str, str]] = ()) -> DatabaseBureau:
    """Begin the scene's run and lose the daemon where the wire says."""
    prepare, kind, settings = SCENES[scene]
    armed: list[bool] = []
    quiet = Tripwire(None)
    bureau = DatabaseBureau(path, **settings, wrap=lambda journal: WiredJournal(journal, wire if armed else quiet))
    prepare(bureau)
    armed.append(True)
    bureau.ready = bureau.journal.head[0]
    bureau.before = bureau.rows(bureau.scene("database", kind).new)
    bureau.kill_daemon()
    bureau.start_daemon()

    def at_call(where: str) -> None:
        bureau.always_writing(where)
        wire(where)

    bureau.world.at_call = at_call
    bureau.world.fates = list(fates)
    try:
        cause = DAEMON if kind is RunKind.RECOVER else LIN
        words = ["loss:database"] if kind is RunKind.ROLLBACK else []
        bureau.runner.start("database", kind, cause, words=words)
    except (Killed, LeftWaiting):
        pass
    return bureau


def restart(bureau: DatabaseBureau) -> None:
    bureau.wrap = lambda journal: journal
    bureau.world.at_call = bureau.always_writing
    bureau.world.fates = []
    bureau.restart()


def judge(bureau: DatabaseBureau, where: str) -> None:
    """What must be so, whatever happened."""
    bureau.world.pass_time(1300)  # whatever is still under way has its chance
    bureau.look_for_losses(where)
    assert not bureau.lost, where
    assert not bureau.world.unsound, where
    assert not bureau.strays, where
    kept = {row for name in bureau.databases("db-backup") for row in bureau.rows("db-backup", name)}
    assert "years ago" in kept, f"{where}: what was there is gone"
    for event in bureau.journal.events(kinds=["run.opened"]):
        run = bureau.end(int(event.run or 0))
        if run.kind is RunKind.AHEAD or run.last <= bureau.ready:
            continue
        old, new = str(run.old), str(run.new)
        assert run.state.ended or run.state is RunState.WAITING, f"{where}: forgotten"
        if run.state is RunState.DONE:
            assert bureau.stored_holder == new == bureau.world.serving, where
            assert bureau.write(new), f"{where}: it can't be written to"
            put = bureau.journal.events(run=run.number, kinds=["database.swapped", "database.reinstated"])
            assert len(put) == 1, where
            if run.kind is not RunKind.RECOVER and put[0].kind == "database.swapped":
                lost = bureau.written - bureau.rows(new) - {"years ago"}
                assert not lost, f"{where}: a planned move lost {lost}"
        if run.state is RunState.UNDONE:
            assert bureau.stored_holder == old, where
            assert not bureau.world.hosts[old].on or bureau.down or bureau.write(old), f"{where}: left read-only"
            assert bureau.rows(new) == bureau.before, where
        if run.state is RunState.STOPPED:
            assert f"failover resume {run.number}" in run.reason, where
        assert len(bureau.journal.events(run=run.number, kinds=["role.moved"])) <= 1, f"{where}: done twice"


@pytest.mark.parametrize("scene", SCENES)
def test_a_run_that_is_killed_at_any_line_is_ended_by_the_next_start(folders: Iterator[Path], scene: str) -> None:
    whole = Tripwire(None)
    bureau = cut(next(folders), scene, whole)
    judge(bureau, f"{scene}, not killed")
    bureau.kill_daemon()
    assert whole.seen > 20
    for point in range(whole.seen):
        wire = Tripwire(point)
        bureau = cut(next(folders), scene, wire)
        assert wire.dead, f"point {point} of {whole.seen} wasn't reached"
        restart(bureau)
        judge(bureau, f"{scene}, killed at point {point}")
        bureau.kill_daemon()


@pytest.mark.parametrize("fate", ["executed", "lost", "late", "unreachable"])
@pytest.mark.parametrize(
    ("scene", "verb", "requests"),
    [
        ("failed", "database", 2),
        ("planned", "database", 3),
        ("planned", "backups", 1),
        ("planned, taken back", "database", 5),
    ],
)
def test_a_request_that_meets_its_fate_ends_well(
    folders: Iterator[Path], scene: str, verb: str, requests: int, fate: str
) -> None:
    for nth in range(requests):
        fates = [*[(verb, "")] * nth, (verb, fate)]
        bureau = cut(next(folders), scene, Tripwire(None), fates)
        judge(bureau, f"{scene}, request {nth} {fate}")
        bureau.kill_daemon()


@pytest.mark.parametrize("scene", ["failed", "planned"])
def test_a_request_in_doubt_and_a_crash_end_well_too(folders: Iterator[Path], scene: str) -> None:
    for nth in range(3):
        for point in range(0, 90, 7):
            bureau = cut(next(folders), scene, Tripwire(point), [*[("database", "")] * nth, ("database", "late")])
            restart(bureau)
            judge(bureau, f"{scene}, request {nth} late, killed at {point}")
            bureau.kill_daemon()


# the oracle isn't blind ------------------------------------------------------------------------------------------


def test_a_database_that_is_overwritten_is_noticed(tmp_path: Path) -> None:
    bureau = cut(tmp_path, "failed", Tripwire(None))
    del bureau.databases("db-backup")[next(name for name in bureau.databases("db-backup") if "__old_" in name)]
    with pytest.raises(AssertionError):
        judge(bureau, "planted")
    bureau.kill_daemon()


def test_an_old_database_that_is_not_quieted_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(_step: Any, _scene: Any, _database: Any) -> Iterator[Any]:
        yield from ()

    monkeypatch.setattr(DatabaseRestored, "_nobody_writes", nothing)
    monkeypatch.setattr(
        "tests.recover.toy_server.ToyServer._change_service", lambda server, args: server._ask_service(args["unit"])
    )
    monkeypatch.setattr("failover.recover.proof.stands_still", lambda _answer: True)
    bureau = cut(tmp_path, "failed", Tripwire(None))
    with pytest.raises(AssertionError):
        judge(bureau, "planted")
    assert bureau.strays
    bureau.kill_daemon()


def test_half_a_database_in_service_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bureau = DatabaseBureau(tmp_path)
    half = next(iter(bureau.databases("db").values()))
    half.sound = False
    bureau.world.served("db", half)
    with pytest.raises(AssertionError):
        judge(bureau, "planted")
    bureau.kill_daemon()
