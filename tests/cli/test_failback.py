"""The way back as people type it: against a whole daemon, and against a database's toys behind the real API."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from failover.cli.client import Client
from failover.console.app import Api
from failover.console.desk import Person
from failover.console.listen import Listener, unix_socket
from failover.daemon import views
from failover.model import RunKind
from failover.recover.loss import word_for
from tests.cli.test_commands import ME, failover
from tests.console.toy_desk import ToyDesk
from tests.daemon.bureau import Bureau
from tests.recover.bureau import LeftWaiting
from tests.recover.database_bureau import DatabaseBureau


async def test_switch_there_shows_nothing_and_back_what_changed(running: Bureau) -> None:
    there = await failover(running, "switch", "web", "--dry-run")
    assert "changed since" not in there.out
    said = await failover(running, "switch", "web", "--yes")
    assert "web is on web-backup now; until " in said.out
    back = await failover(running, "switch", "web", "--dry-run")
    lines = [line.strip() for line in back.out.splitlines()]
    assert lines[1].startswith("changed since web left web at 20")
    assert lines[2] == "/srv/site: nothing changed"
    running.world.hosts["wcm"].content["/srv/site"] |= {"digest": "d2", "paths": {"index.html": "d2", "new": "1"}}
    typed = await failover(running, "switch", "web", tty=True, typed="no\n")
    assert typed.out.index("/srv/site: 1 file added, 1 changed, 0 removed: 20 bytes") < typed.out.index("Type web")
    assert typed.code == 1
    told = json.loads((await failover(running, "switch", "web", "--dry-run", "-o", "json")).out)
    assert told["steps"][1]["differences"][0]["counts"] == {"added": 1, "changed": 1, "removed": 0, "bytes": 20}


async def test_a_move_is_rolled_back_with_one_command(running: Bureau) -> None:
    await failover(running, "switch", "web", "--yes")
    status = await failover(running, "status")
    assert "can be rolled back to web until " in status.out
    assert (await failover(running, "rollback", "web", "--yes")).code == 2, "no reason given"
    dry = await failover(running, "rollback", "web", "--dry-run")
    assert (dry.code, running.holds) == (0, "web-backup")
    assert "give 127.77.0.100/24 on eth0 to web" in dry.out
    said = await failover(running, "rollback", "web", "--why", "it is slow", "--yes")
    assert said.code == 0, said
    assert said.out.startswith("run 2: rollback web from web-backup to web")
    assert running.holds == "web"
    shown = await failover(running, "runs", "show", "2")
    assert f"caused by {ME}: it is slow" in shown.out
    late = await failover(running, "rollback", "web", "--why", "again", "--yes")
    assert (late.code, "use: failover switch web" in late.err) == (77, True)


async def test_a_move_is_committed_by_a_person(running: Bureau) -> None:
    nothing = await failover(running, "commit", "web")
    assert (nothing.code, "web was never moved" in nothing.err) == (77, True)
    await failover(running, "switch", "web", "--yes")
    said = await failover(running, "commit", "web")
    assert (said.code, said.out) == (0, "web stays on web-backup: its move from web in run 1 is committed\n")
    assert "can be rolled back" not in (await failover(running, "status")).out
    (committed,) = running.events("move.committed")
    assert (committed.by, committed.data["why"]) == (ME, "it works")


# what is lost --------------------------------------------------------------------------------------------------------


class DatabaseDesk(ToyDesk):
    """The database's toys, asked through the real API. Runs are carried out while the order is answered."""

    def __init__(self, bureau: DatabaseBureau) -> None:
        super().__init__()
        self.bureau = bureau

    def dry(self, site: str | None, role: str, verb: str) -> Mapping[str, Any]:
        return views.dry_view(self.bureau.runner.dry(role, RunKind(verb)), verb)

    def start(
        self, site: str | None, role: str, verb: str, person: Person, *, force: str | None, why: str | None,
        accept_loss: bool,
    ) -> Mapping[str, Any]:  # fmt: skip
        words = (word_for(role),) if accept_loss else ()
        try:
            self.bureau.runner.start(role, RunKind(verb), person.cause(str(why)), words=words)
        except LeftWaiting:
            pass
        return self.run(site, int(self.bureau.journal.events(kinds=["run.opened"])[-1].run or 0))

    def run(self, site: str | None, number: int) -> Mapping[str, Any]:
        return {**views.run_view(self.bureau.end(number)), "forecast": None}

    def events(self, site: str | None, *, run: int | None, after: int, limit: int) -> Sequence[Mapping[str, Any]]:
        return [views.event_view(one) for one in self.bureau.journal.events(run=run, after=after, limit=limit)]


@dataclass
class Sick:
    """``db-backup`` serves since a planned move, and its database has died."""

    bureau: DatabaseBureau
    client: Client


@pytest.fixture
async def sick(tmp_path: Path) -> AsyncIterator[Any]:
    bureau = DatabaseBureau(tmp_path)
    bureau.switch()
    bureau.park()
    bureau.write_some("db-backup", 3)
    bureau.world.hosts["db-backup"].services["postgresql"] = "failed"
    threads = ThreadPoolExecutor(4)
    listener = Listener(Api(DatabaseDesk(bureau), threads).app(), unix_socket(tmp_path / "api.sock"))
    await listener.ready()
    yield Sick(bureau, Client(str(tmp_path / "api.sock")))
    await listener.stop()
    threads.shutdown()
    bureau.kill_daemon()


def rolled_back(sick: Sick) -> bool:
    return sick.bureau.stored_holder == "db"


async def test_what_is_lost_is_said_and_needs_more_than_yes(sick: Any) -> None:
    before = len(sick.bureau.journal.events(kinds=["run.opened"]))
    said = await failover(sick, "rollback", "database", "--why", "it died", "--yes")
    assert said.code == 1
    assert "waiting: May what was saved in wcm on db-backup since 2026-03-01 00:00:0" in said.out
    assert "give --accept-loss" in said.err
    assert len(sick.bureau.journal.events(kinds=["run.opened"])) == before, "no run was begun"
    dry = await failover(sick, "rollback", "database", "--dry-run")
    assert dry.code == 1
    assert not rolled_back(sick)
    done = await failover(sick, "rollback", "database", "--why", "it died", "--yes", "--accept-loss")
    assert done.code == 0, done
    assert "let wcm on db serve again as it was at 2026-03-01 00:00:0" in done.out
    assert rolled_back(sick)


@pytest.mark.parametrize(("typed", "code"), [("db\n", 0), ("db-backup\n", 1)])
async def test_typing_the_servers_name_after_that_was_shown_accepts_it(sick: Any, typed: str, code: int) -> None:
    said = await failover(sick, "rollback", "database", "--why", "it died", tty=True, typed=typed)
    assert "Type db, which accepts the loss, to go on" in said.out
    assert said.code == code, said.out
    assert rolled_back(sick) is (code == 0)
