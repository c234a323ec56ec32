"""Golden cases: a bureau's six servers, all well, and what a case changes of that.

A case is a file of ``golden/``; adding one is adding a file::

    says: the sentence that the case proves          of: [D3]        (cases of the catalogue of faults)
    confirmed: [website]                   every observer was asked just now and doesn't see it
    checks: {website: down}                or {standing, reason, flapping, ...; for, failing, last, mended: seconds}
    servers: {web-backup: no route}        can't be reached, and why; null: not tried; {hangs: seconds}
    witnesses: {gateway: not seen}         or seen, unknown, or {seen, ago: seconds, reason}
    sightings: {website: {wcm: seen}}      or not seen, silent
    plans: {web: {mode: off}}              any field of a plan; ``ago`` in last_automatic and acknowledged is in seconds
    situation: {own_fault: ...}            any other field; maintenance: [{about, left: seconds, why}]
    expect: {web: {action, severity, guards, reason, ask, look_at}}       plans that aren't named: nothing
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from failover.decide import Situation

NOW = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)
GOLDEN = Path(__file__).parent / "golden"
PAIRS = {"web": "web-backup", "wcm": "wcm-backup", "db": "db-backup"}
SERVERS = [name for pair in PAIRS.items() for name in pair]
SEEN = {"seen": True, "not seen": False, "silent": None, "unknown": None}


def ago(seconds: float) -> str:
    return (NOW - timedelta(seconds=seconds)).isoformat()


def check(name: str, role: str | None, server: str, **other: Any) -> dict[str, Any]:
    observers = [other for other in ("web", "web-backup", "wcm", "db") if other != server]
    return {"name": name, "role": role, "server": server, "observers": observers, **other}


CHECKS = [
    check("website", "web", "web"),
    check("wcm", "wcm", "wcm", depends_on=["database"]),
    check("database", "database", "db"),
    check("web-backup", None, "web-backup", observers=[]),
    check("wcm-backup", None, "wcm-backup", observers=[]),
    check("db-backup", None, "db-backup", observers=[]),
]
PLANS: list[dict[str, Any]] = [
    {
        "name": "web", "mode": "auto", "when": "website is down", "role": "web", "holder": "web",
        "standby": "web-backup",
        "proofs": [{"kind": "read-back", "available": True}, {"kind": "person", "available": True}],
    },
    {"name": "wcm", "mode": "auto", "when": "wcm is down", "role": "wcm", "holder": "wcm", "standby": "wcm-backup"},
    {
        "name": "database", "mode": "propose", "when": "database is down", "role": "database", "holder": "db",
        "standby": "db-backup",
    },
]  # fmt: skip


def situation_of(case: dict[str, Any]) -> Situation:
    """The situation of a case, built from all being well."""
    checks = {fact["name"]: _check(fact, (case.get("checks") or {}).get(fact["name"], "up")) for fact in CHECKS}
    sightings = [
        {"observer": observer, "check": name, **_sight(said, 0.5)}
        for name, told in (case.get("sightings") or {}).items()
        for observer, said in told.items()
    ]
    for name in case.get("confirmed") or ():
        sightings += [
            {"observer": observer, "check": name, "seen": False, "at": ago(0.5)}
            for observer in checks[name]["observers"]
        ]
    windows = [
        {"about": window["about"], "until": ago(-window["left"]), "why": window.get("why", ""), "by": "lin"}
        for window in (case.get("situation") or {}).get("maintenance", ())
    ]
    return Situation.model_validate(
        {
            "now": NOW.isoformat(),
            "site": "bureau",
            "since_start_seconds": 86400.0,
            **(case.get("situation") or {}),
            "maintenance": windows,
            "checks": checks,
            "servers": {name: _server(name, case) for name in SERVERS},
            "witnesses": [
                {"name": name, **_sight(said, 0.5)}
                for name, said in (case.get("witnesses") or {"gateway": "seen"}).items()
                if said is not None
            ],
            "sightings": sightings,
            "plans": [_plan({**plan, **(case.get("plans") or {}).get(plan["name"], {})}) for plan in PLANS],
        }
    )


def _check(fact: dict[str, Any], said: str | dict[str, Any]) -> dict[str, Any]:
    said = {"standing": said} if isinstance(said, str) else dict(said)
    standing = said.pop("standing", "up")
    reason = said.pop("reason", {"up": "200 OK", "unknown": "not looked at yet"}.get(standing, "connection refused"))
    since = said.pop("for", 3600 if standing == "up" else 2)
    failing_for = said.pop("failing", since if standing == "down" else None)
    mended_for = said.pop("mended", None)
    verdict = {
        "check": fact["name"], "standing": standing, "reason": reason, "since": ago(since),
        "last": ago(said.pop("last", 0.2)), "flapping": said.pop("flapping", False),
    }  # fmt: skip
    return {
        "verdict": verdict,
        "failing_since": None if failing_for is None else ago(failing_for),
        "mended_at": None if mended_for is None else ago(mended_for),
        **{key: value for key, value in fact.items() if key != "name"},
        **said,
    }


def _server(name: str, case: dict[str, Any]) -> dict[str, Any]:
    servers = case.get("servers") or {}
    if name not in servers:
        return {"reachable": True, "since": ago(3600)}
    why = servers[name]
    if why is None:
        return {"reachable": None}
    if isinstance(why, dict) and "hangs" in why:
        return {"reachable": True, "since": ago(3600), "hangs_since": ago(why["hangs"])}
    if isinstance(why, dict):
        return {"reachable": False, "since": ago(why["for"]), "reason": why["reason"]}
    return {"reachable": False, "since": ago(2), "reason": why}


def _sight(said: str | dict[str, Any], seconds: float) -> dict[str, Any]:
    said = {"seen": said} if isinstance(said, str) else said
    return {"seen": SEEN[said["seen"]], "at": ago(said.get("ago", seconds)), "reason": said.get("reason", "")}


def _plan(plan: dict[str, Any]) -> dict[str, Any]:
    plan = dict(plan)
    if last := plan.get("last_automatic"):
        plan["last_automatic"] = {"run": last["run"], "at": ago(last["ago"]), "state": last.get("state", "done")}
    if (acknowledged := plan.pop("acknowledged", None)) is not None:
        plan["acknowledged_at"] = ago(acknowledged)
    return plan


@cache
def load(path: Path) -> dict[str, Any]:
    """A case; misspelt keys are refused, so that a case can't test less than it says."""
    case: dict[str, Any] = yaml.safe_load(path.read_text())
    known = {"says", "of", "confirmed", "checks", "servers", "witnesses", "sightings", "plans", "situation", "expect"}
    assert set(case) <= known, f"{path.name}: unknown keys {set(case) - known}"
    for key, names in (("checks", {fact["name"] for fact in CHECKS}), ("plans", {plan["name"] for plan in PLANS})):
        assert set(case.get(key) or ()) <= names, f"{path.name}: {key} has {set(case[key]) - names}"
    return case
