"""What two counts of a database's rows say about what was written in between."""

from __future__ import annotations

from collections.abc import Mapping

from failover.recover.databases import Database
from failover.recover.scene import Scene

COUNT_SECONDS = 120.0
"""Exact counts read every row."""
_TOLD = 8
"""Tables that a sentence names; the rest are counted."""


def counted(
    scene: Scene, server: str, database: Database, within_seconds: float = COUNT_SECONDS
) -> dict[str, int]:  # fmt: skip
    """Rows by table in what serves on a server; raises ``ServerError``."""
    patience = scene.patience(server, within_seconds)
    answer = scene.server(server).ask(
        "database", within_seconds=patience, name=database.name, rows=True, of=database.name
    )  # fmt: skip
    return {str(table): int(rows) for table, rows in answer["tables"].items()}


def differences(before: Mapping[str, int], now: Mapping[str, int]) -> dict[str, int]:
    """By table, how many rows more there are now than before; tables that have as many as before are left out."""
    found = {table: now.get(table, 0) - before.get(table, 0) for table in sorted({*before, *now})}
    return {table: more for table, more in found.items() if more}


def tell(rows: Mapping[str, int]) -> str:
    """``pages +12, revisions +40``, the largest first."""
    if not rows:
        return "no table has more or fewer rows"
    largest = sorted(rows.items(), key=lambda item: (-abs(item[1]), item[0]))
    told = [f"{table} {more:+d}" for table, more in largest[:_TOLD]]
    rest = len(largest) - len(told)
    return ", ".join(told) + (f" and {rest} more table{'s' if rest > 1 else ''}" if rest else "")
