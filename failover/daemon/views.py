"""What the daemon knows, as the JSON of the API. Keys are part of the API: they are added, never renamed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from failover.decide.explain import explain
from failover.journal.move_view import Move
from failover.journal.queries import IncidentView, RunView
from failover.model import Event, RunKind
from failover.monitor.monitor import Monitor
from failover.recover.dry import DryRun

Json = dict[str, Any]
NEWEST_RUNS = 5


def site_view(name: str, title: str, monitor: Monitor, now: datetime) -> Json:
    """One site for ``failover status``."""
    view, setup = monitor.view, monitor.setup
    switch = view.automation
    return {
        "name": name,
        "title": title,
        "automation": {"on": switch.on, "by": switch.by, "why": switch.why, "at": moment(switch.at)},
        "maintenance": [
            {"about": one.about, "until": moment(one.until), "by": one.by, "why": one.why}
            for one in view.maintenance.now(now)
        ],
        "servers": [
            {
                "name": server,
                "address": setup.hosts.get(server, ""),
                "state": {True: "reachable", False: "unreachable", None: "unknown"}[seen.reachable],
                "since": moment(seen.since),
                "heard_at": moment(seen.heard),
                "reason": seen.reason,
                "boot_id": seen.boot_id,
                "warm": setup.servers[server].warm(),
                "parked": sorted(seen.parked),
            }
            for server, seen in monitor.world.servers.items()
        ],
        "roles": [
            {
                "name": role,
                "home": its.home,
                "holder": view.holders[role],
                "standby": its.other(view.holders[role]),
                "addresses": list(its.addresses),
                "open_move": move_view(view.moves.open(role, now)),
            }
            for role, its in setup.roles.items()
        ],
        "addresses": [
            {
                "name": one.name,
                "ip": one.ip,
                "role": one.role,
                "expected": one.expected,
                "held_by": list(one.held_by),
                "state": str(one.place),
                "reason": one.reason,
            }
            for one in monitor.addresses
        ],
        "checks": [_check(monitor, check, now) for check in setup.checks],
        "witnesses": [
            {"name": one.name, "seen": one.seen, "at": moment(one.at), "reason": one.reason}
            for one in list(monitor.observers.witnesses.values())
        ],
        "plans": [_plan(monitor, plan, now) for plan in setup.plans],
        "incidents": [incident_view(one) for one in view.incidents.open],
        "runs": [run_line(run) for run in newest(view.runs.by_number)],
        "ahead": dict(monitor.ahead.last),
    }


def move_view(move: Move | None) -> Json | None:
    """A move that can still be rolled back."""
    if move is None:
        return None
    return {
        "run": move.run,
        "from": move.old,
        "to": move.new,
        "at": moment(move.at),
        "until": moment(move.until),
    }


def newest(runs: Mapping[int, RunView], most: int = NEWEST_RUNS) -> list[RunView]:
    """The newest runs that people want to see; copies made ahead of time only where they are under way."""
    seen = [run for run in list(runs.values()) if run.kind is not RunKind.AHEAD or not run.state.ended]
    return seen[::-1][:most]


def _check(monitor: Monitor, name: str, now: datetime) -> Json:
    probe, health = monitor.setup.checks[name], monitor.checks.healths[name]
    verdict, reading = monitor.checks.verdict(name, now), monitor.checks.readings.get(name)
    return {
        "name": name,
        "kind": probe.kind,
        "standing": str(verdict.standing),
        "reason": verdict.reason,
        "since": moment(verdict.since),
        "last": moment(verdict.last),
        "flapping": verdict.flapping,
        "failing_since": moment(health.failing_since),
        "seconds": reading.seconds if reading else None,
        "role": probe.role,
        "server": probe.server,
    }


def _plan(monitor: Monitor, name: str, now: datetime) -> Json:
    plan, ready = monitor.setup.plans[name], monitor.readiness.known.get(name)
    foretold = ready.forecast if ready else None
    decided = monitor.judge.decisions.get(name)
    return {
        "name": name,
        "role": monitor.setup.role_of_plan(name),
        "when": plan.when,
        "mode": str(plan.mode),
        "ready": ready is not None and ready.stands.works,
        "readiness": str(ready.stands) if ready else "not ready",
        "problems": list(ready.texts("stops")) if ready else ["not asked yet"],
        "losses": list(ready.texts("loss")) if ready else [],
        "hints": list(ready.texts("hint")) if ready else [],
        "ready_at": moment(ready.at) if ready else None,
        "ready_since": moment(ready.since) if ready else None,
        "rto_seconds": round(foretold.rto_seconds, 4) if foretold else None,
        "rpo_seconds": round(foretold.rpo_seconds(now), 3) if foretold else None,
        "action": str(decided[0].action) if decided else None,
        "reason": decided[0].reason if decided else "",
        "decided_at": moment(decided[1]) if decided else None,
    }


def incident_view(one: IncidentView) -> Json:
    """An incident."""
    return {
        "number": one.number,
        "about": one.about,
        "state": one.state,
        "severity": one.severity,
        "opened_at": moment(one.opened_at),
        "changed_at": moment(one.changed_at),
        "reason": one.reason,
    }


def run_line(run: RunView) -> Json:
    """A run without its steps."""
    return {
        "number": run.number,
        "plan": run.plan,
        "kind": str(run.kind),
        "role": run.role,
        "old": run.old,
        "new": run.new,
        "state": str(run.state),
        "by": run.by,
        "why": run.why,
        "forced": run.forced,
        "opened_at": moment(run.opened_at),
        "ended_at": moment(run.ended_at),
        "seconds": run.seconds,
        "reason": run.question.question if run.question and not run.state.ended else run.reason,
        "word": run.question.word if run.question and not run.state.ended else None,
    }


def run_view(run: RunView) -> Json:
    """A run with everything in it."""
    return {
        **run_line(run),
        "mode": run.mode,
        "plan_sha256": run.plan_sha256,
        "token": list(run.token) if run.token else None,
        "notes": list(run.notes),
        "steps": [
            {
                "number": step.number,
                "title": step.title,
                "state": step.state,
                "seconds": step.seconds,
                "notes": list(step.notes),
                "changes": [
                    {
                        "number": change.number,
                        "server": change.server,
                        "verb": change.verb,
                        "says": change.says,
                        "result": change.result,
                        "kind": change.kind,
                        "sentence": change.sentence,
                        "seconds": change.seconds,
                    }
                    for change in step.changes
                ],
            }
            for step in run.steps
        ],
        "words": [{"word": word.word, "by": word.by, "why": word.why, "at": moment(word.at)} for word in run.words],
    }


def dry_view(dry: DryRun, verb: str) -> Json:
    """What a run would do."""
    return {
        "plan": dry.plan,
        "verb": verb,
        "role": dry.role,
        "old": dry.old,
        "new": dry.new,
        "left_at": moment(dry.left_at),
        "steps": [
            {
                "title": s.title,
                "changes": list(s.changes),
                "notes": list(s.notes),
                "problem": s.problem,
                "word": s.word,
                "differences": [
                    {"what": one.what, "says": one.says, "counts": dict(one.counts) if one.counts is not None else None}
                    for one in s.differences
                ],
            }
            for s in dry.steps
        ],
    }


def event_view(event: Event) -> Json:
    """A line of the journal."""
    return {
        "seq": event.seq,
        "at": moment(event.at),
        "kind": event.kind,
        "site": event.site,
        "run": event.run,
        "by": event.by,
        "data": dict(event.data),
    }


def decision_view(event: Event) -> Json:
    """A decision of the past, decided once more."""
    told = explain(event.data)
    return {
        "plan": told.said.plan,
        "action": str(told.said.action),
        "reason": told.said.reason,
        "at": moment(event.at),
        "guards": [{"name": guard.name, "reason": guard.reason, "holds": guard.holds} for guard in told.said.guards],
        "lines": list(told.lines),
        "agrees": told.agrees,
        "event": event.seq,
    }


def moment(at: datetime | None) -> str | None:
    """RFC 3339 in UTC."""
    return at.isoformat() if at is not None else None
