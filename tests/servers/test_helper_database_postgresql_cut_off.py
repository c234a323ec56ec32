"""``database`` against a real PostgreSQL: restores that are cut off, by us or by the server."""

from __future__ import annotations

import os
import signal

from tests.servers.databases import PostgreSQL, day
from tests.servers.databases_postgresql import INTO, KEEP, nothing_left, restored, slow_dump
from tests.servers.speak import error
from tests.waiting import wait_until


def test_a_restore_that_is_killed_is_seen_as_half_made_and_cleared_away(server: PostgreSQL) -> None:
    backup = slow_dump(server)
    speaker = server.speak()
    speaker.send(speaker.stamped("database", {"name": "wcm", "want": "restored", "backup": backup, "set": "wcm-db",
                                              "into": INTO}, 60))  # fmt: skip
    wait_until(lambda: INTO in server.databases())
    wait_until(
        lambda: "COPY" in server.sql("SELECT string_agg(query, ' ') FROM pg_stat_activity", "postgres", "postgres")
    )
    speaker.process.send_signal(signal.SIGKILL)
    speaker.hang_up()
    ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name IN ('failover', 'pg_restore')"
    wait_until(lambda: server.sql(ours, "postgres", "postgres") == "0", 10)
    notes = {entry["name"]: entry["note"] for entry in server.ask()["databases"]}
    assert notes == {"wcm": None, INTO: None}, "half made"
    assert error(server.change("swapped", into=INTO, keep=KEEP))[0] == "half-made"
    other = "wcm__20261123t020000"
    small = server.dump(day(23))
    assert restored(server, small, other)["result"]["rows"] == 2500
    assert server.databases() == {"postgres", "wcm", other}, "the next restore cleared it away"


def test_where_nothing_serves_a_restored_database_is_put_in_place_all_the_same(server: PostgreSQL) -> None:
    restored(server, server.dump(day(24)))
    server.sql(f"ALTER DATABASE wcm RENAME TO {KEEP}", "postgres", "postgres")  # by hand; put back by the fixture
    assert (server.ask()["exists"], server.ask()["read_only"]) == (False, False)
    reply = server.change("swapped", into=INTO, keep="wcm__old_20261124t100000")
    assert reply["result"]["changed"] is True, reply
    assert server.databases() == {"postgres", "wcm", KEEP}
    assert server.sql("SELECT count(*) FROM page") == "500"


def test_a_restore_past_its_deadline_is_ended(server: PostgreSQL) -> None:
    backup = slow_dump(server)
    reply = restored(server, backup, seconds=0.5)
    assert error(reply)[0] == "past-deadline"
    wait_until(lambda: server.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pg_restore'",
                                "postgres", "postgres") == "0", 10)  # fmt: skip


def test_a_server_that_crashes_in_mid_restore_is_not_the_backups_fault(server: PostgreSQL) -> None:
    backup = slow_dump(server)
    with server.speak() as speaker:
        asked = speaker.send(speaker.stamped("database", {"name": "wcm", "want": "restored", "backup": backup,
                                                          "set": "wcm-db", "into": INTO}, 60))  # fmt: skip
        copying = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'COPY%' AND pid <> pg_backend_pid()"
        wait_until(lambda: server.sql(copying, "postgres", "postgres") != "")
        os.kill(int(server.sql(copying, "postgres", "postgres").split()[0]), signal.SIGKILL)
        reply = speaker.reply(asked)
    assert error(reply)[0] == "database-down", reply
    wait_until(server.answers)
    nothing_left(server)
