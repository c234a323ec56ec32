"""What each server's helper may do with backups: the least that the config needs, and what recoveries need of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from failover.config.enrollment import plan_for
from failover.config.load import load

GOOD = Path(__file__).parent / "good-backups.yaml"


def policy(server: str) -> dict[str, Any]:
    config = load(GOOD, trusted=True)
    found: dict[str, Any] = json.loads(plan_for(config, config.site(), server).policy.text())
    return found


def sets(server: str) -> dict[str, Any]:
    return {entry["set"]: entry for entry in policy(server)["backups"]}


def test_the_server_that_makes_backups_knows_from_where_and_as_whom() -> None:
    entry = sets("db-backup")["wcm-db"]
    assert entry["from"] == {
        "db": {"host": "10.77.0.31", "port": 5432},
        "db-backup": {"host": "127.0.0.1", "port": 5432},
    }
    assert entry["dump"]["user"] == "failover"
    assert entry["database"] == "wcm"
    assert sets("db-backup")["files"]["paths"] == ["/opt/wcm", "/etc/wcm"]
    assert sets("db-backup")["paper"]["pattern"] == "wcm-*.dump"


def test_others_keep_or_restore_what_they_are_given_and_make_none() -> None:
    for server in ("wcm-backup", "db"):
        assert sets(server) == {"wcm-db": {"set": "wcm-db", "kind": "database", "path": "/var/backups/db"}}
    for server in ("web", "web-backup", "wcm"):
        assert sets(server) == {}


def test_backups_are_pulled_from_every_place_that_has_them_and_from_no_other() -> None:
    config = load(GOOD, trusted=True)
    awaited = {name: set(plan_for(config, config.site(), name).awaited_sources) for name in config.site().servers}
    assert awaited["db"] == {"db-backup", "wcm-backup"}
    assert awaited["wcm-backup"] == {"db-backup"}
    assert awaited["db-backup"] == {"wcm-backup", "wcm"}
    assert awaited["wcm"] == set()


def test_what_others_pull_is_served_and_nothing_else() -> None:
    assert [entry["path"] for entry in policy("db-backup")["serve"]] == ["/var/backups/db", "/var/backups/files"]
    assert [entry["path"] for entry in policy("wcm-backup")["serve"]] == [
        "/etc/wcm", "/opt/wcm", "/srv/site", "/var/backups/db",
    ]  # fmt: skip
    assert policy("db")["serve"] == []
