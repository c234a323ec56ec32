"""What a standby is kept from, and what is restored on it ahead, by the daemon itself; and what people are told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from failover.journal.site_view import SiteView
from failover.model import Event, RunKind, RunState
from failover.monitor.ahead import Ahead
from failover.monitor.calendar import Calendar
from failover.monitor.setup import RoleSetup, Setup
from failover.monitor.standbys import StandbyKeeper
from failover.monitor.starts import Starts
from failover.monitor.tell import message_of
from failover.notify.base import Severity
from tests.recover.database_bureau import SETS, WCM, DatabaseBureau


@pytest.fixture
def bureau(tmp_path: Path) -> Iterator[DatabaseBureau]:
    one = DatabaseBureau(tmp_path, fence=True)
    yield one
    one.kill_daemon()


class Daemon:
    """The parts of a daemon that keep databases, on the bureau's runner and journal."""

    def __init__(self, bureau: DatabaseBureau) -> None:
        self.bureau = bureau
        self.view = SiteView("shop", {"database": "db"})
        self.view.catch_up(bureau.journal)
        self.setup = Setup(
            site="shop",
            roles={"database": RoleSetup("db", "db-backup", database=WCM)},
            addresses={},
            checks={},
            witnesses={},
            plans=bureau.plans,
            servers=bureau.servers,
            hosts={},
            backups=SETS,
        )
        self.starts = Starts(bureau.runner, "shop")
        self.keeper = StandbyKeeper(self.setup, self.view, self.starts)
        self.calendar = Calendar(lambda _kind, _data: None)
        self.ahead = Ahead(self.setup, lambda: self.view.holders, self.starts, self.calendar)

    async def runs(self, part: Any, until: Callable[[], object]) -> bool:
        """Let a part of it run until something is so; whether that came within some seconds."""
        task = asyncio.create_task(part.run())
        try:
            async with asyncio.timeout(5):
                while not until():  # noqa: ASYNC110 - what is awaited happens in another thread, to toys
                    await asyncio.sleep(0.01)
        except TimeoutError:
            return False
        finally:
            task.cancel()
            await asyncio.wait([task])
        return True

    def close(self) -> None:
        self.starts.close()


@pytest.fixture
async def daemon(bureau: DatabaseBureau) -> Any:
    one = Daemon(bureau)
    yield one
    one.close()


async def test_an_old_database_that_came_back_is_parked_by_itself(bureau: DatabaseBureau) -> None:
    bureau.world.power_off("db")
    assert bureau.recover().state is RunState.DONE
    bureau.boot("db")
    daemon = Daemon(bureau)
    assert await daemon.runs(daemon.keeper, lambda: bureau.journal.events(kinds=["database.parked"]))
    assert bureau.databases("db")["wcm"].read_only
    daemon.close()


@pytest.mark.parametrize("why", ["automation", "maintenance"])
async def test_nothing_is_parked_while_people_said_that_nothing_is_to_happen(bureau: DatabaseBureau, why: str) -> None:
    bureau.world.power_off("db")
    bureau.recover()
    bureau.boot("db")
    if why == "automation":
        bureau.journal.append("automation.switched", site="", by="lin (uid 1000)", data={"on": False, "why": "a drill"})
    else:
        until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        data = {"about": "db", "until": until, "why": "disks"}
        bureau.journal.append("maintenance.begun", site="shop", by="lin (uid 1000)", data=data)
    daemon = Daemon(bureau)
    task = asyncio.create_task(daemon.keeper.run())
    await asyncio.sleep(0.3)
    task.cancel()
    daemon.close()
    assert not bureau.databases("db")["wcm"].read_only


async def test_a_new_backup_is_restored_ahead_without_waiting_for_the_calendar(
    bureau: DatabaseBureau, daemon: Daemon
) -> None:
    def shadows() -> list[str]:
        return [name for name in bureau.databases("db-backup") if name.startswith("wcm__2")]

    def renewed() -> bool:
        if len(bureau.journal.events(kinds=["database.restored"])) == 1 and not told:
            bureau.write_some("db", 3)
            told.append(bureau.backup(at_hours=-1).id)
            daemon.ahead.restore_soon()
        return len(bureau.journal.events(kinds=["database.restored"])) == 2 and len(shadows()) == 1

    told: list[str] = []
    assert await daemon.runs(daemon.calendar, renewed)
    assert len(bureau.rows("db-backup", shadows()[0])) == 28
    assert bureau.rows("db-backup") == {"years ago"}, "what stands there is as it was"


def event(kind: str, **data: Any) -> Event:
    return Event(1, datetime(2026, 11, 24, 9, 14, tzinfo=UTC), kind, "shop", 7, "daemon", data, "", "")


def test_the_loss_is_told_after_a_swap_and_nothing_where_nothing_was_lost() -> None:
    told = {
        "role": "database", "server": "db-backup", "name": "wcm", "kept": "wcm__old_20261124t091450",
        "backup": "wcm-db-20261124T020000Z", "set": "wcm-db", "taken_at": "2026-11-24T02:00:00+00:00", "tables": None,
    }  # fmt: skip
    message = message_of(event("database.swapped", **told, loss_seconds=26040.0), RunKind.RECOVER)
    assert message is not None
    assert message.title == "wcm on db-backup serves the state of 2026-11-24T02:00 UTC: 7 h 14 min are lost"
    assert "kept as wcm__old_20261124t091450" in message.text
    assert message_of(event("database.swapped", **told, loss_seconds=0.0), RunKind.SWITCH) is None


def test_what_a_returned_database_has_besides_is_told() -> None:
    told = {"server": "db", "role": "database", "name": "wcm", "against": "wcm-db-20261124T020000Z"}
    message = message_of(event("database.parked", **told, newer_rows={"pages": 500, "logs": -2}), RunKind.KEEP)
    assert message is not None
    assert message.severity is Severity.WARNING
    assert message.title == "wcm on db came back and is read-only now"
    assert "pages +500, logs -2. Nothing is merged or dropped" in message.text
