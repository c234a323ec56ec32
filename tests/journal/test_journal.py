import os
import sqlite3
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from failover.errors import JournalBroken, JournalTooNew, JournalUnwritable
from failover.journal import Journal, schema, verify
from failover.journal.chain import GENESIS
from failover.model import Event
from tests.journal.conftest import Clock


def test_an_event_comes_back_as_it_was_appended(journal: Journal, clock: Clock) -> None:
    data = {"b": [1, 2.5, None, True], "a": {"统计": "厦门"}, "bytes that are no text": "\udc80"}
    event = journal.append("run.noted", site="shop", run=7, by="lin (uid 1000)", data=data)
    assert event == Event(1, clock.now, "run.noted", "shop", 7, "lin (uid 1000)", data, GENESIS, event.hash)
    assert journal.events() == [event]
    assert journal.head == (1, event.hash)


def test_each_event_holds_the_hash_of_the_one_before(journal: Journal) -> None:
    first, second = (journal.append("daemon.started", by="daemon") for _ in range(2))
    assert second.prev == first.hash != second.hash


def test_events_are_found_by_site_kind_run_place_and_time(journal: Journal, clock: Clock) -> None:
    for number in range(12):
        journal.append(f"kind.{number % 3}", site=f"site{number % 2}", run=number % 4 or None, by="daemon")
        clock.turn(1)

    def found(**wanted: object) -> list[int]:
        return [event.seq for event in journal.events(**wanted)]  # type: ignore[arg-type]

    assert found(site="site1") == [2, 4, 6, 8, 10, 12]
    assert found(kinds=["kind.0", "kind.2"], after=4) == [6, 7, 9, 10, 12]
    assert found(run=3) == [4, 8, 12]
    assert found(newest_first=True, limit=3) == [12, 11, 10]
    assert found(site="site1", newest_first=True, limit=2) == [12, 10]
    assert found(limit=0) == []
    assert found(kinds=[]) == []
    middle = journal.events(limit=5)[-1].at
    assert found(until=middle) == [1, 2, 3, 4, 5]
    assert found(until=middle, newest_first=True, limit=1) == [5]


def test_a_long_list_is_whole_in_both_directions(journal: Journal) -> None:
    for _ in range(1203):
        journal.append("run.noted", by="daemon")
    assert [event.seq for event in journal.events()] == list(range(1, 1204))
    assert [event.seq for event in journal.events(newest_first=True, after=3)] == list(range(1203, 3, -1))


def test_numbers_grow_over_restarts(path: Path) -> None:
    given = []
    for start in range(1, 4):
        with Journal.open(path) as journal:
            assert journal.epoch == start - 1
            assert journal.begin_epoch() == journal.epoch == start
            given += [journal.next_run(), journal.next_run()]
    assert given == [1, 2, 3, 4, 5, 6]


def test_a_journal_opened_again_goes_on_where_it_ended(path: Path) -> None:
    with Journal.open(path) as journal:
        head = (1, journal.append("daemon.started", by="daemon").hash)
    with Journal.open(path) as journal:
        assert journal.head == head
        assert journal.append("daemon.stopped", by="daemon").prev == head[1]


def test_data_that_is_no_json_is_refused_and_nothing_is_written(journal: Journal) -> None:
    with pytest.raises(TypeError, match=r"the data of run\.noted can't be written as JSON: Object of type object"):
        journal.append("run.noted", by="daemon", data={"x": object()})
    with pytest.raises(ValueError, match="Out of range float"):
        journal.append("run.noted", by="daemon", data={"x": float("nan")})
    with pytest.raises(JournalUnwritable, match="4194304 are allowed"):
        journal.append("run.noted", by="daemon", data={"x": "a" * 5_000_000})
    assert journal.events() == []


def test_appends_of_many_threads_make_one_chain(journal: Journal, path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        events = list(threads.map(lambda n: journal.append("run.noted", by=f"t{n % 8}", data={"n": n}), range(400)))
    assert sorted(event.seq for event in events) == list(range(1, 401))
    assert verify(path, head=journal.head).sound
    assert {event.data["n"]: event.seq for event in journal.events()} == {e.data["n"]: e.seq for e in events}


def test_run_numbers_of_many_threads_never_repeat(journal: Journal) -> None:
    with ThreadPoolExecutor(8) as threads:
        assert sorted(threads.map(lambda _: journal.next_run(), range(100))) == list(range(1, 101))


def test_subscribers_hear_every_event_in_order_and_their_errors_hurt_nobody(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[int] = []
    late: list[int] = []

    def fails(event: Event) -> None:
        raise RuntimeError(f"at {event.seq}")

    with Journal.open(path) as journal:
        journal.append("run.noted", by="daemon")
        journal.subscribe(fails)
        journal.subscribe(lambda event: heard.append(event.seq))
        for _ in range(700):
            journal.append("run.noted", by="daemon")
        stop = journal.subscribe(lambda event: late.append(event.seq))
        journal.append("run.noted", by="daemon")
    assert heard == list(range(2, 703))
    assert late == [702]
    assert "a subscriber failed at event 2 (run.noted)" in caplog.text
    stop()


def test_a_subscriber_may_append_and_may_leave(journal: Journal) -> None:
    answered = threading.Event()
    heard: list[str] = []

    def echo(event: Event) -> None:
        heard.append(event.kind)
        if event.kind == "run.noted":
            journal.append("run.ended", by="daemon")
        else:
            answered.set()

    stop = journal.subscribe(echo)
    journal.append("run.noted", by="daemon")
    assert answered.wait(10)
    stop()
    journal.append("run.noted", by="daemon")
    journal.close()
    assert heard == ["run.noted", "run.ended"]


def test_a_subscriber_that_leaves_in_the_middle_hears_no_more(journal: Journal) -> None:
    heard: list[int] = []
    all_written, last = threading.Event(), threading.Event()

    def once(event: Event) -> None:
        all_written.wait(10)
        heard.append(event.seq)
        stop()

    stop = journal.subscribe(once)
    journal.subscribe(lambda event: last.set() if event.seq == 20 else None)
    for _ in range(20):
        journal.append("run.noted", by="daemon")
    all_written.set()
    assert last.wait(10)
    assert heard == [1]


def test_a_write_that_fails_leaves_nothing_behind_and_the_next_one_works(journal: Journal) -> None:
    def half_done(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE counters SET value = value + 100")
        connection.execute("UPDATE counters SET value = 0")

    with pytest.raises(JournalUnwritable, match="counters only grow"):
        journal._owner.write(half_done)
    with pytest.raises(ZeroDivisionError):
        journal._owner.write(lambda connection: connection.execute("UPDATE counters SET value = 99") and 1 / 0)
    assert journal.next_run() == 1
    assert journal.append("run.noted", by="daemon").seq == 1


def test_the_log_is_copied_back_without_waiting_for_the_end(journal: Journal, path: Path) -> None:
    for _ in range(1100):
        journal.append("run.noted", by="daemon", data={"x": "y" * 200})
    assert path.stat().st_size > 200 * 1000


def test_nothing_is_written_after_closing(path: Path) -> None:
    journal = Journal.open(path)
    journal.close()
    with pytest.raises(JournalUnwritable, match="the journal is closed"):
        journal.append("run.noted", by="daemon")
    journal.close()


def test_one_process_owns_a_journal(journal: Journal, path: Path) -> None:
    with pytest.raises(JournalUnwritable, match=f"in use by process {os.getpid()}: one failover owns a journal"):
        Journal.open(path)
    code = f"from failover.journal import Journal; Journal.open({str(path)!r})"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert other.returncode == 1
    assert f"in use by process {os.getpid()}" in other.stderr
    journal.append("run.noted", by="daemon")


def test_what_keeps_a_journal_from_opening_is_said(tmp_path: Path) -> None:
    with pytest.raises(JournalUnwritable, match="can't be opened: No such file or directory"):
        Journal.open(tmp_path / "missing" / "journal.db")
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE songs (title)")
        other.commit()
    with pytest.raises(JournalBroken, match="not a journal of failover"):
        Journal.open(tmp_path / "other.db")
    (tmp_path / "text.db").write_text("these are not the pages you are looking for" * 100)
    with pytest.raises(JournalBroken, match=r"text\.db is damaged: file is not a database"):
        Journal.open(tmp_path / "text.db")


def test_nobody_else_can_read_it(journal: Journal, path: Path) -> None:
    journal.append("run.noted", by="daemon")
    for name in ("", "-wal", "-shm", ".lock", ".ballast"):
        assert stat.S_IMODE(path.with_name(path.name + name).stat().st_mode) == 0o600


def test_a_newer_schema_is_refused_and_left_alone(path: Path) -> None:
    Journal.open(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version=99")
    with pytest.raises(JournalTooNew, match="has schema version 99; this failover knows versions up to"):
        Journal.open(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (99,)


def test_an_older_schema_is_migrated_whole_and_a_copy_is_kept(path: Path) -> None:
    with Journal.open(path) as journal:
        event = journal.append("run.noted", by="daemon")
    known = schema.migrations()
    version = len(known)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        with pytest.raises(sqlite3.OperationalError, match="no such table: nowhere"):
            schema.migrate(connection, path, [*known, "CREATE TABLE x (y); INSERT INTO nowhere VALUES (1);"])
        assert schema.version_of(connection) == version
        assert "x" not in schema.objects(connection)
        schema.migrate(connection, path, [*known, "CREATE TABLE x (y);"])
        assert schema.version_of(connection) == version + 1
    copy = path.with_name(f"{path.name}.v{version}")
    assert verify(copy, head=(1, event.hash)).sound


def test_events_can_be_neither_edited_nor_deleted_nor_put_in_between(journal: Journal, path: Path) -> None:
    for _ in range(3):
        journal.append("run.noted", by="daemon")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        for statement, sentence in {
            "UPDATE events SET by = 'nobody' WHERE seq = 2": "events are never edited",
            "DELETE FROM events WHERE seq = 2": "events are never deleted",
            "INSERT INTO events SELECT 2, at, kind, site, run, by, data, prev, hash FROM events": "only added at",
            "REPLACE INTO events SELECT 2, at, kind, site, run, by, data, prev, hash FROM events": "only added at",
            "UPDATE counters SET value = 0": "counters only grow",
            "DELETE FROM counters": "counters stay",
        }.items():
            with pytest.raises(sqlite3.IntegrityError, match=sentence):
                other.execute(statement)
    assert verify(path, head=journal.head).sound
