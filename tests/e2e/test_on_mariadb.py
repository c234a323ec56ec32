"""The same database plan on MariaDB, where nothing can be renamed but tables: killed, and home again with every row."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.bureau import Bureau
from tests.e2e.town import Town, all_well, whole_town
from tests.lab import Writer
from tests.lab.databases import databases, markers, markers_by_database
from tests.lab.fixtures import needs_lab

pytestmark = pytest.mark.lab


def on_mariadb(config: str) -> str:
    """The lab's config, with another engine."""
    for postgresql, mariadb in (
        ("engine: postgresql", "engine: mariadb"),
        ("postgresql@15-main.service", "mariadb.service"),
        ("string_agg(text, ' ')", "group_concat(text separator ' ')"),
    ):
        assert postgresql in config
        config = config.replace(postgresql, mariadb)
    return config


@pytest.fixture
def town_on_mariadb(city: Town) -> Iterator[Town]:
    needs_lab()
    city.leave()
    town = whole_town("mariadb", on_mariadb)
    yield town
    town.leave()


def test_mariadb_is_killed_and_the_wcm_writes_to_its_backup_and_home_again(town_on_mariadb: Town) -> None:
    bureau: Bureau = town_on_mariadb.lend()
    lab = bureau.lab
    with Writer(lab, every=2.0) as writer:
        writer.await_accepted(1, within=20, into="db")
        held = markers(lab, lab.db)
        bureau.cli("backup", "now", "wcm-db", timeout=90)
        bureau.until(lambda _: any(set(held) <= set(found) for found in beside(bureau)), 60)
        lab.db.kill_service("mariadb")
        moved = writer.await_accepted(2, within=90, into="db-backup")
        run = bureau.until_run("recover", ("done",), 30)
        assert set(held) | {one.marker for one in moved} <= set(markers(lab, lab.db_backup))
        assert "is in the database on db-backup" in bureau.told(run)

        lab.db.run("systemctl start mariadb")
        bureau.cli("ack", "database", "--why", "mariadb is started again")
        bureau.until(all_well, 60)
        assert not {one.marker for one in moved} & set(markers_by_database(lab)["db", "wcm"]), "nobody writes there"
        bureau.cli("switch", "database", "--yes", timeout=120)
        writer.await_accepted(2, within=60, into="db")
    since = [one.marker for one in writer.accepted if one.host == "db-backup"]
    assert set(held) | set(since) <= set(markers(lab, lab.db)), "the way back loses nothing"
    assert any(name.startswith("wcm__old_") for name in databases(lab, lab.db)), "and what was there is kept"


def beside(bureau: Bureau) -> list[list[str]]:
    """The markers of every database that was restored on db-backup."""
    found = markers_by_database(bureau.lab)
    return [there for (host, name), there in found.items() if host == "db-backup" and name.startswith("wcm__2")]
