"""``database`` against a real PostgreSQL: exchanged by renaming, kept from writes."""

from __future__ import annotations

import pytest

from tests.servers.databases import BIN, PostgreSQL, Writers, day
from tests.servers.databases_postgresql import INTO, KEEP, restored, session
from tests.servers.speak import error
from tests.waiting import wait_until


def test_it_is_put_in_place_and_back_by_renaming(server: PostgreSQL) -> None:
    server.sql("ALTER DATABASE wcm SET statement_timeout = '77s'; GRANT CONNECT ON DATABASE wcm TO report;"
               "REVOKE CONNECT ON DATABASE wcm FROM PUBLIC")  # fmt: skip
    backup = server.dump(day(24))
    restored(server, backup)
    server.sql("INSERT INTO page VALUES (1000, 'written since')")
    reply = server.change("swapped", into=INTO, keep=KEEP)
    assert "result" in reply, reply
    assert reply["result"]["seconds"] < 2
    assert server.databases() == {"postgres", "wcm", KEEP}
    assert server.sql("SELECT count(*) FROM page") == "500"
    assert server.sql("SELECT count(*) FROM page", KEEP) == "501"
    assert server.sql("SHOW statement_timeout") == "77s"
    may = "has_database_privilege('{}', 'wcm', 'CONNECT')"
    assert server.sql(f"SELECT {may.format('report')}, {may.format('public')}", "postgres", "postgres") == "t|f"
    assert server.change("swapped", into=INTO, keep=KEEP)["result"]["changed"] is False, "asked again"
    assert "result" in server.change("swapped-back", into="wcm__old_20261124t120000", keep=KEEP)
    assert server.sql("SELECT count(*) FROM page") == "501"
    assert server.databases() == {"postgres", "wcm", "wcm__old_20261124t120000"}
    again = server.change("swapped-back", into="wcm__old_20261124t120000", keep=KEEP)
    assert again["result"]["changed"] is False
    server.sql("DELETE FROM page WHERE id = 1000; ALTER DATABASE wcm RESET statement_timeout;"
               "GRANT CONNECT ON DATABASE wcm TO PUBLIC")  # fmt: skip


def test_open_connections_are_ended_and_new_ones_kept_out_meanwhile(server: PostgreSQL) -> None:
    restored(server, server.dump(day(24)))
    program = [BIN / "psql", "-XqAt", "-h", server.data.parent, "-p", server.port, "-U", "wcm", "-d", "wcm"]
    with Writers([*map(str, program), "-c", "SELECT pg_sleep(0.5)"]):
        wait_until(lambda: server.ask()["connections"] > 0)
        reply = server.change("swapped", into=INTO, keep=KEEP)
    assert "result" in reply, reply
    assert server.databases() == {"postgres", "wcm", KEEP}


def test_who_can_not_be_ended_is_named_and_nothing_is_renamed(server: PostgreSQL) -> None:
    restored(server, server.dump(day(24)))
    with session(server, "postgres"):
        kind, words = error(server.change("swapped", into=INTO, keep=KEEP, seconds=50))
    assert (kind, "a session of postgres (psql, process " in words) == ("in-use", True), words
    assert server.databases() == {"postgres", "wcm", INTO}
    assert server.sql("SELECT 1") == "1", "nobody is locked out afterwards"


@pytest.mark.parametrize("names", [
    {"into": "wcm", "keep": KEEP}, {"into": "postgres", "keep": KEEP}, {"into": INTO, "keep": "wcm"},
    {"into": "wcm__20261124t020000; DROP DATABASE wcm", "keep": KEEP}, {"into": INTO, "keep": "other"},
])  # fmt: skip
def test_only_our_own_names_are_renamed(server: PostgreSQL, names: dict[str, str]) -> None:
    assert error(server.change("swapped", into=names["into"], keep=names["keep"]))[0] == "not-in-policy"


@pytest.mark.parametrize(
    "into", ["wcm", "postgres", "template1", "wcm__backup", "wcm2__20261124t020000", "WCM__20261124T020000"]
)
def test_nothing_else_is_dropped(server: PostgreSQL, into: str) -> None:
    assert error(server.change("dropped", into=into))[0] == "not-in-policy"


def test_our_own_are_dropped_also_when_somebody_is_connected(server: PostgreSQL) -> None:
    restored(server, server.dump(day(24)))
    with session(server, of=INTO):
        assert "result" in server.change("dropped", into=INTO)
    assert server.databases() == {"postgres", "wcm"}
    assert "result" in server.change("dropped", into=INTO), "what isn't there needs no dropping"


# --- parked ----------------------------------------------------------------------------------------------------------


def test_a_parked_database_is_read_and_not_written(server: PostgreSQL) -> None:
    with session(server) as before:
        assert server.change("read-only")["result"]["read_only"] is True
        assert before.wait(10) != 0, "a session from before would go on writing"
    assert server.ask()["read_only"] is True
    with pytest.raises(AssertionError, match="read-only transaction"):
        server.sql("INSERT INTO page VALUES (1001, 'late')")
    assert server.sql("SELECT count(*) FROM page") == "500"
    assert server.ask(rows=True)["tables"]["public.page"] == 500
    assert server.change("read-write")["result"]["read_only"] is False
    assert server.ask()["read_only"] is False
    server.sql("INSERT INTO page VALUES (1001, 'again'); DELETE FROM page WHERE id = 1001")


def test_what_is_restored_beside_a_parked_one_can_be_written_to(server: PostgreSQL) -> None:
    server.change("read-only")
    try:
        restored(server, server.dump(day(24)))
        reply = server.change("swapped", into=INTO, keep=KEEP)
        assert "result" in reply, reply
        server.sql("INSERT INTO page VALUES (1001, 'new'); DELETE FROM page WHERE id = 1001")
        assert server.ask()["read_only"] is False
    finally:
        server.sql(f"ALTER DATABASE {KEEP} RESET default_transaction_read_only", "postgres", "postgres")
