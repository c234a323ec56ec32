"""Where the addresses are, against where they should be: every place, and what mends it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from failover.monitor.addresses import Place, judge
from failover.monitor.keep import mending
from failover.monitor.setup import RoleSetup, Setup
from failover.monitor.world import ServerNow
from failover.recover.address import Address

NOW = datetime(2026, 3, 1, tzinfo=UTC)
WWW = "10.77.0.100"
SETUP = Setup(
    site="shop",
    roles={"web": RoleSetup("web", "web-backup", ("www",))},
    addresses={"www": Address(ip=f"{WWW}/24")},
    checks={}, witnesses={}, plans={}, servers={}, hosts={},
)  # fmt: skip


def server(name: str, state: str) -> ServerNow:
    """``held parked free off never late``."""
    if state == "off":
        return ServerNow(name, False, NOW, NOW, NOW - timedelta(minutes=1), "no answer", held=frozenset({WWW}))
    if state == "never":
        return ServerNow(name)
    heard = NOW - timedelta(minutes=1) if state == "late" else NOW
    held = frozenset({WWW}) if state in ("held", "late") else frozenset()
    return ServerNow(
        name, True, NOW, heard, heard, "answers", held=held, parked=frozenset({WWW} if state == "parked" else ())
    )


@pytest.mark.parametrize(
    ("web", "backup", "other", "place", "verb"),
    [
        ("held", "parked", "free", Place.OK, None),
        ("held", "free", "free", Place.UNPARKED, "park"),
        ("held", "held", "free", Place.TWICE, "park"),
        ("held", "parked", "held", Place.TWICE, None),
        ("free", "held", "free", Place.ELSEWHERE, "park"),
        ("free", "parked", "held", Place.ELSEWHERE, None),
        ("free", "parked", "free", Place.MISSING, "reassert"),
        ("parked", "parked", "free", Place.MISSING, "reassert"),
        ("free", "off", "free", Place.MISSING, "reassert"),
        ("free", "free", "free", Place.MISSING, "reassert"),
        ("held", "off", "free", Place.OK, None),
        ("off", "parked", "free", Place.UNKNOWN, None),
        ("off", "held", "free", Place.ELSEWHERE, "park"),
        ("late", "parked", "free", Place.UNKNOWN, None),
        ("never", "never", "never", Place.UNKNOWN, None),
    ],
)
def test_each_place_and_what_mends_it(web: str, backup: str, other: str, place: Place, verb: str | None) -> None:
    servers = {"web": server("web", web), "web-backup": server("web-backup", backup), "db": server("db", other)}
    (found,) = judge(SETUP, {"web": "web"}, servers, NOW)
    assert found.place is place
    mend = mending(found, SETUP)
    assert (mend[0] if mend else None) == verb
    assert found.reason


@pytest.mark.parametrize(
    ("backup", "steps"),
    [("free", ["parked", "address_held"]), ("parked", ["address_held"]), ("off", ["address_held"])],
)
def test_an_address_that_nobody_ever_had_is_given_once_the_standby_is_kept_from_it(
    backup: str, steps: list[str]
) -> None:
    (found,) = judge(
        SETUP, {"web": "web"}, {"web": server("web", "free"), "web-backup": server("web-backup", backup)}, NOW
    )
    mend = mending(found, SETUP)
    assert mend is not None
    assert [step.kind for step in mend[1].steps] == steps


def test_the_other_way_round_after_a_move() -> None:
    servers = {"web": server("web", "parked"), "web-backup": server("web-backup", "held")}
    (found,) = judge(SETUP, {"web": "web-backup"}, servers, NOW)
    assert (found.place, found.expected) == (Place.OK, "web-backup")


def test_what_was_said_before_a_run_ended_is_no_drift() -> None:
    servers = {"web": server("web", "held"), "web-backup": server("web-backup", "held")}
    (stale,) = judge(SETUP, {"web": "web-backup"}, servers, NOW, NOW + timedelta(milliseconds=1))
    assert (stale.place, stale.drift) == (Place.UNKNOWN, False)
    assert stale.reason == "web-backup is being asked again"
    (fresh,) = judge(SETUP, {"web": "web-backup"}, servers, NOW, NOW)
    assert fresh.place is Place.TWICE
