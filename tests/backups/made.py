"""Backups for tests: everything usual unless said otherwise."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from failover.backups import Backup
from failover.backups.backup import new_id

NOW = datetime(2026, 11, 24, 9, 14, tzinfo=UTC)


def backup(age: timedelta | float = 0, **more: Any) -> Backup:
    """A good one, taken so long (or so many hours) before :data:`NOW`."""
    span = age if isinstance(age, timedelta) else timedelta(hours=age)
    taken = NOW - span
    values: dict[str, Any] = {
        "id": new_id("wcm-db", taken),
        "set": "wcm-db",
        "server": "db-backup",
        "kind": "database",
        "format": "custom",
        "bytes": 1000,
        "taken_at": taken,
        "engine": "postgresql",
        "server_version": "15.20",
        "verified_at": taken + timedelta(minutes=5),
        **more,
    }
    return Backup(**values)
