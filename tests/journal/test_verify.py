import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from failover.errors import JournalBroken, JournalError, JournalTooNew
from failover.journal import Journal, verify
from failover.journal.chain import COLUMNS, GENESIS, Row

Tamper = Callable[[sqlite3.Connection], None]


@pytest.fixture
def written(path: Path) -> tuple[Path, tuple[int, str]]:
    """Twenty events, and the head that was seen."""
    with Journal.open(path, ballast_bytes=0) as journal:
        for number in range(1, 21):
            journal.append("run.noted", site="shop", run=1, by="daemon", data={"text": f"line {number}"})
        return path, journal.head


def tampered(path: Path, tamper: Tamper | str) -> None:
    """Changes the file as root with a SQLite shell would, putting the guards back afterwards."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        if isinstance(tamper, str):
            connection.executescript(tamper)
        else:
            tamper(connection)
        for _, sql in triggers:
            connection.execute(sql)


def rows(connection: sqlite3.Connection) -> list[Row]:
    return [Row(*row) for row in connection.execute(f"SELECT {COLUMNS} FROM events ORDER BY seq")]  # noqa: S608 - our own names


def store(connection: sqlite3.Connection, events: list[Row]) -> None:
    connection.execute("DELETE FROM events")
    for row in events:
        values = (row.seq, row.at, row.kind, row.site, row.run, row.by, row.data, row.prev, row.hash)
        connection.execute("INSERT INTO events VALUES (?,?,?,?,?,?,?,?,?)", values)


def swap(connection: sqlite3.Connection) -> None:
    connection.executescript(
        "UPDATE events SET seq = 1000 WHERE seq = 7; UPDATE events SET seq = 7 WHERE seq = 8;"
        "UPDATE events SET seq = 8 WHERE seq = 1000; UPDATE sqlite_sequence SET seq = 20"
    )


def delete_and_close_up(connection: sqlite3.Connection) -> None:
    connection.executescript("DELETE FROM events WHERE seq = 7; UPDATE events SET seq = seq - 1 WHERE seq > 7")


def insert_between(connection: sqlite3.Connection) -> None:
    events = rows(connection)
    planted = Row(7, events[6].at, "run.noted", "shop", 1, "daemon", "{}", events[5].hash).sealed()
    store(connection, [*events[:6], planted, *events[7:]])


def write_anew_from_7(connection: sqlite3.Connection) -> None:
    events, chain = rows(connection), []
    prev = GENESIS
    for row in events:
        data = '{"text":"another"}' if row.seq == 7 else row.data
        row = Row(row.seq, row.at, row.kind, row.site, row.run, row.by, data, prev).sealed()
        chain.append(row)
        prev = row.hash
    store(connection, chain)


def cut_off_and_hide_it(connection: sqlite3.Connection) -> None:
    connection.executescript("DELETE FROM events WHERE seq > 15; UPDATE sqlite_sequence SET seq = 15")


CASES: dict[str, tuple[Tamper | str, int, str, str]] = {
    "data edited": ("UPDATE events SET data = '{}' WHERE seq = 7", 7, "edited", "event 7 (run.noted) was edited"),
    "a space in data": ("UPDATE events SET data = ' ' || data WHERE seq = 7", 7, "edited", "event 7"),
    "time edited": ("UPDATE events SET at = '2020' WHERE seq = 7", 7, "edited", "event 7"),
    "person edited": ("UPDATE events SET by = 'lin' WHERE seq = 7", 7, "edited", "event 7"),
    "run edited": ("UPDATE events SET run = NULL WHERE seq = 7", 7, "edited", "event 7"),
    "site edited": ("UPDATE events SET site = '' WHERE seq = 7", 7, "edited", "event 7"),
    "kind edited": ("UPDATE events SET kind = 'run.ended' WHERE seq = 7", 7, "edited", "event 7"),
    "hash edited": ("UPDATE events SET hash = 'x' WHERE seq = 7", 7, "edited", "event 7"),
    "last edited": ("UPDATE events SET data = '{}' WHERE seq = 20", 20, "edited", "event 20"),
    "deleted": ("DELETE FROM events WHERE seq = 7", 7, "deleted", "event 7 is missing: deleted"),
    "several deleted": ("DELETE FROM events WHERE seq IN (7, 8, 9)", 7, "deleted", "events 7 to 9 are missing"),
    "first deleted": ("DELETE FROM events WHERE seq = 1", 1, "deleted", "event 1 is missing"),
    "reordered": (swap, 7, "reordered", "place of event 7 stands what was written as event 8"),
    "deleted and closed up": (delete_and_close_up, 7, "reordered", "stands what was written as event 8"),
    "replaced": (insert_between, 8, "rewritten", "event 8 doesn't follow the event that stands before it"),
    "end cut off": ("DELETE FROM events WHERE seq > 15", 16, "truncated", "ends at event 15, and event 20 was written"),
    "all deleted": ("DELETE FROM events", 1, "truncated", "ends at event 0, and event 20 was written"),
    "end cut off and hidden": (cut_off_and_hide_it, 16, "truncated", "ends at event 15, and event 20 was written"),
    "written anew": (write_anew_from_7, 20, "rewritten", "event 20 is not the one that was seen before"),
}


def test_an_untouched_journal_is_sound(written: tuple[Path, tuple[int, str]]) -> None:
    path, head = written
    found = verify(path, head=head)
    assert (found.sound, found.events, found.head) == (True, 20, head)
    assert str(found) == f"20 events, all sound; head 20 {head[1]}"


@pytest.mark.parametrize("case", CASES)
def test_tampering_is_found_and_the_first_event_named(case: str, written: tuple[Path, tuple[int, str]]) -> None:
    tamper, seq, what, sentence = CASES[case]
    path, head = written
    tampered(path, tamper)
    found = verify(path, head=head)
    assert found.fault is not None
    assert (found.fault.seq, found.fault.what) == (seq, what)
    assert sentence in found.fault.sentence
    assert found.events == min(seq - 1, 19)


@pytest.mark.parametrize("case", [case for case in CASES if case not in ("end cut off and hidden", "written anew")])
def test_a_tampered_journal_isnt_opened(case: str, written: tuple[Path, tuple[int, str]]) -> None:
    tamper, _, _, sentence = CASES[case]
    path, _ = written
    tampered(path, tamper)
    with pytest.raises(JournalBroken) as refused:
        Journal.open(path)
    assert sentence in str(refused.value)


def test_only_a_head_kept_elsewhere_shows_a_journal_written_anew(written: tuple[Path, tuple[int, str]]) -> None:
    path, head = written
    early = (5, next(row.hash for row in _rows(path) if row.seq == 5))
    tampered(path, write_anew_from_7)
    assert verify(path).sound
    assert verify(path, head=early).sound, "what was seen before the forgery is unchanged"
    assert not verify(path, head=head).sound


def _rows(path: Path) -> list[Row]:
    with closing(sqlite3.connect(path)) as connection:
        return rows(connection)


def test_missing_guards_are_noticed(written: tuple[Path, tuple[int, str]]) -> None:
    path, head = written
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TRIGGER events_are_not_edited")
    found = verify(path, head=head)
    assert found.fault is not None
    assert found.fault.what == "unguarded"
    assert "events_are_not_edited is missing" in found.fault.sentence
    with pytest.raises(JournalBroken, match="events_are_not_edited is missing"):
        Journal.open(path)


def test_an_old_fault_before_the_tail_is_found_by_verifying(path: Path) -> None:
    with Journal.open(path, ballast_bytes=0) as journal:
        for _ in range(1100):
            journal.append("run.noted", by="daemon")
    tampered(path, "UPDATE events SET by = 'x' WHERE seq = 3")
    Journal.open(path).close()
    assert "event 3 (run.noted) was edited" in str(verify(path))


def test_a_running_daemons_journal_can_be_verified(journal: Journal, path: Path) -> None:
    for number in range(1, 4):
        journal.append("run.noted", by="daemon")
        assert verify(path, head=journal.head).events == number


def test_a_torn_last_record_is_left_out_and_missed_by_the_known_head(path: Path, tmp_path: Path) -> None:
    with Journal.open(path, ballast_bytes=0) as journal:
        first = journal.append("change.intended", by="daemon", data={"x": "y" * 3000})
        whole = path.with_name(path.name + "-wal").stat().st_size
        second = journal.append("change.outcome", by="daemon", data={"x": "y" * 3000})
        # What a power cut leaves: the log ends in the middle of what was written last.
        torn = tmp_path / "torn" / path.name
        torn.parent.mkdir()
        shutil.copy(path, torn)
        shutil.copy(path.with_name(path.name + "-wal"), torn.with_name(torn.name + "-wal"))
    with torn.with_name(torn.name + "-wal").open("r+b") as log:
        log.truncate(whole + (log.seek(0, 2) - whole) // 2)
    with Journal.open(torn, ballast_bytes=0) as journal:
        assert journal.head == (1, first.hash)
        assert verify(torn).sound
        lost = verify(torn, head=(2, second.hash))
        assert lost.fault is not None
        assert lost.fault.what == "truncated"
        journal.append("daemon.started", by="daemon")
        assert verify(torn, head=(2, second.hash)).fault is not None


def test_a_damaged_page_is_named(written: tuple[Path, tuple[int, str]]) -> None:
    path, head = written
    with path.open("r+b") as file:
        file.seek(4096 * 2)
        file.write(b"\xff" * 4096 * 2)
    found = verify(path, head=head)
    assert not found.sound
    with pytest.raises(JournalBroken):
        Journal.open(path)


def test_what_isnt_a_journal_is_said(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="there is no journal at"):
        verify(tmp_path / "none.db")
    with closing(sqlite3.connect(tmp_path / "new.db")) as connection:
        connection.execute("PRAGMA application_id=1718580850")
        connection.execute("PRAGMA user_version=99")
    with pytest.raises(JournalTooNew, match="schema version 99"):
        verify(tmp_path / "new.db")
    (tmp_path / "text.db").write_text("no pages here " * 400)
    assert "can't be read as a journal" in str(verify(tmp_path / "text.db"))
