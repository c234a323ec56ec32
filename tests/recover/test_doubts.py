"""How long a request that got no answer stands in the way of others."""

from __future__ import annotations

from pathlib import Path

import pytest

from failover.journal import Journal
from failover.model import Token
from failover.recover.doubts import Doubts
from failover.recover.past import Past

SWAPPED, READ_ONLY = {"name": "wcm", "want": "swapped"}, {"name": "wcm", "want": "read-only"}
HELD, RELEASED = {"ip": "10.77.0.100", "want": "held"}, {"ip": "10.77.0.100", "want": "released"}
FIRST, NEXT = Token(3, 11), Token(4, 12)


@pytest.fixture
def doubts() -> Doubts:
    """At second 100; a swap on db-backup was sent for the first token, with 30 s for it."""
    made = Doubts(lambda: 100.0)
    made.add("db-backup", "database", SWAPPED, FIRST, 30.0)
    return made


def test_another_wish_waits_for_twice_its_time_and_a_repetition_doesnt(doubts: Doubts) -> None:
    assert doubts.seconds_until_clear("db-backup", "database", READ_ONLY, NEXT) == 60.5
    assert doubts.seconds_until_clear("db-backup", "database", SWAPPED, NEXT) == 0
    assert doubts.seconds_until_clear("db", "database", READ_ONLY, NEXT) == 0


def test_what_its_server_did_for_a_newer_token_settles_it(doubts: Doubts) -> None:
    doubts.done("db-backup", "database", SWAPPED, NEXT)
    assert doubts.seconds_until_clear("db-backup", "database", READ_ONLY, NEXT) == 0


@pytest.mark.parametrize(
    ("server", "verb", "args", "token"),
    [
        ("db-backup", "database", SWAPPED, FIRST),  # the gate lets its own token in again
        ("db", "database", SWAPPED, NEXT),  # that is another server's gate
        ("db-backup", "database", {"name": "other", "want": "swapped"}, NEXT),
        ("db-backup", "service", {"unit": "wcm", "want": "stopped"}, NEXT),  # a job may have outlived its request
    ],
)
def test_nothing_else_does(doubts: Doubts, server: str, verb: str, args: dict[str, str], token: Token) -> None:
    doubts.done(server, verb, args, token)
    assert doubts.seconds_until_clear("db-backup", "database", READ_ONLY, NEXT) == 60.5


def test_an_address_is_let_go_without_the_gate_and_so_settles_nothing() -> None:
    doubts = Doubts(lambda: 100.0)
    doubts.add("web", "address", HELD, FIRST, 2.0)
    doubts.done("web", "address", RELEASED, NEXT)
    assert doubts.seconds_until_clear("web-backup", "address", HELD, NEXT) == 4.5


def test_a_server_takes_an_address_at_once_where_an_older_letting_go_is_in_doubt() -> None:
    doubts = Doubts(lambda: 100.0)
    doubts.add("web", "address", RELEASED, FIRST, 2.0)
    assert doubts.seconds_until_clear("web", "address", HELD, NEXT) == 0
    assert doubts.seconds_until_clear("web", "address", HELD, FIRST) == 4.5, "the gate lets its own token in again"
    doubts.add("web", "address", HELD, FIRST, 2.0)
    assert doubts.seconds_until_clear("web", "address", RELEASED, NEXT) == 4.5, "which may go on without the gate"
    doubts.done("web", "address", HELD, NEXT)
    assert doubts.seconds_until_clear("web", "address", RELEASED, NEXT) == 0
    assert doubts.seconds_until_clear("web-backup", "address", HELD, NEXT) == 0


def test_a_daemon_that_starts_anew_knows_from_its_journal_what_is_settled(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "journal.db", ballast_bytes=0)

    def told(kind: str, run: int, **data: object) -> None:
        journal.append(kind, site="shop", by="daemon", run=run, data=data)

    def asked(run: int, change: int, args: dict[str, str], result: str | None) -> None:
        sent = {"server": "db-backup", "verb": "database", "args": args, "within_seconds": 30.0}
        told("change.intended", run, change=change, **sent)
        if result:
            told("change.outcome", run, change=change, result=result)

    def doubted() -> list[tuple[str, Token]]:
        return [(one.args["want"], one.token) for one in Past(journal, "shop").requests_in_doubt()]

    told("run.opened", 11, token=[3, 11])
    asked(11, 1, READ_ONLY, "unknown")
    asked(11, 2, SWAPPED, "ok")
    asked(11, 3, SWAPPED, None)  # killed before it heard what came of that
    assert doubted() == [("read-only", FIRST), ("swapped", FIRST)], "its own token settles nothing"
    told("run.resumed", 11, token=[4, 12])
    asked(11, 4, {"name": "other", "want": "swapped"}, "ok")
    asked(11, 5, SWAPPED, "refused")
    assert len(doubted()) == 2
    asked(11, 6, SWAPPED, "ok")
    assert doubted() == []
    asked(11, 7, READ_ONLY, "unknown")
    assert doubted() == [("read-only", NEXT)]
    told("run.opened", 13, token=[5, 13])
    web = {"server": "web", "verb": "address", "within_seconds": 2.0}
    told("change.intended", 13, change=1, args=RELEASED, **web)
    told("run.resumed", 13, token=[6, 14])
    told("change.intended", 13, change=2, args=HELD, **web)
    assert ("released", Token(5, 13)) in doubted()
    told("change.outcome", 13, change=2, result="ok")
    assert doubted() == [("read-only", NEXT)], "what it took settles the letting go"
    journal.close()
