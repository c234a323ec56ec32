"""The journal's tables, made by numbered migrations; a file of a newer program is refused, never guessed at."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from failover.errors import JournalBroken, JournalTooNew

APPLICATION_ID = 0x666F7672  # "fovr": tells our file from any other SQLite file


def migrations() -> list[str]:
    """The SQL of every migration; the first makes version 1 out of an empty file."""
    found = sorted(files("failover.journal").joinpath("migrations").iterdir(), key=lambda file: file.name)
    return [file.read_text() for file in found if file.name.endswith(".sql")]


def version_of(connection: sqlite3.Connection) -> int:
    """The schema version of the file; 0 for an empty one.

    Raises:
        JournalBroken: it is a SQLite file of some other program.
    """
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    owner: int = connection.execute("PRAGMA application_id").fetchone()[0]
    tables: int = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if owner != APPLICATION_ID and (owner or version or tables):
        raise JournalBroken("this SQLite file is not a journal of failover")
    return version


def migrate(connection: sqlite3.Connection, path: Path, scripts: Sequence[str] | None = None) -> None:
    """Bring the file to this program's version, each migration whole or not at all.

    Before an older journal is touched, a copy of it is put beside it, named by its version: ``journal.db.v1``.

    Raises:
        JournalTooNew: a newer program wrote the file.
        JournalBroken: it isn't a journal.
    """
    scripts = migrations() if scripts is None else scripts
    version = version_of(connection)
    if version > len(scripts):
        raise JournalTooNew(
            f"{path} has schema version {version}; this failover knows versions up to {len(scripts)}: "
            "start the newer failover again, or put its copy of the older journal back"
        )
    if 0 < version < len(scripts):
        copy = path.with_name(f"{path.name}.v{version}")
        copy.unlink(missing_ok=True)  # left by an attempt that was interrupted
        connection.execute("VACUUM INTO ?", (str(copy),))
    for number, script in enumerate(scripts[version:], start=version + 1):
        try:
            connection.executescript(
                f"BEGIN IMMEDIATE;\n{script}\n"
                f"PRAGMA application_id={APPLICATION_ID};\nPRAGMA user_version={number};\nCOMMIT;"
            )
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def objects(connection: sqlite3.Connection) -> dict[str, str]:
    """Every table, index and trigger by name, with its SQL: what guards the events, and whether it still stands."""
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
    return {name: sql for name, sql in rows if not name.startswith("sqlite_")}


def expected_objects(version: int) -> dict[str, str]:
    """What :func:`objects` gives for an untouched journal of that version."""
    with sqlite3.connect(":memory:") as connection:
        for script in migrations()[:version]:
            connection.executescript(script)
        expected = objects(connection)
    connection.close()
    return expected


def missing_guard(connection: sqlite3.Connection) -> str | None:
    """Names the first table, index or trigger that isn't as this program made it; None when all are."""
    found = objects(connection)
    for name, sql in expected_objects(version_of(connection)).items():
        if found.get(name) != sql:
            return f"{name} is {'missing' if name not in found else 'not as failover made it'}"
    return None
