"""A plan's readiness as the JSON of the API: every number with where it was measured, and a run beside its forecast."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from failover.journal.queries import RunView
from failover.model import Event, RunKind
from failover.monitor.monitor import Monitor
from failover.recover.forecast import Forecast, beside

Json = dict[str, Any]


def ready_view(monitor: Monitor, plan: str, now: datetime) -> Json:
    """One plan for ``failover ready``."""
    setup, found = monitor.setup, monitor.readiness.known.get(plan)
    role = setup.role_of_plan(plan)
    holder = monitor.view.holders.get(role) if role else None
    return {
        "plan": plan,
        "role": role,
        "holder": holder,
        "standby": setup.roles[role].other(holder) if role and holder else None,
        "mode": str(setup.plans[plan].mode),
        "ready": found is not None and found.stands.works,
        "readiness": str(found.stands) if found else "not asked yet",
        "since": _moment(found.since) if found else None,
        "asked_at": _moment(found.at) if found else None,
        "problems": [
            {
                "text": problem.text,
                "severity": problem.severity,
                "about": problem.about,
                "measured_at": _moment(problem.measured_at),
            }
            for problem in (found.problems if found else ())
        ],
        "forecast": _forecast(found.forecast, now) if found and found.forecast else None,
    }


def _forecast(found: Forecast, now: datetime) -> Json:
    return {
        "rto_seconds": round(found.rto_seconds, 4),
        "rto_worst_seconds": round(found.rto_worst_seconds, 4),
        "rpo_seconds": round(found.rpo_seconds(now), 3),
        "rpo_worst_seconds": round(found.rpo_worst_seconds(now), 3),
        "waits": list(found.waits),
        "parts": [
            {
                "step": part.step,
                "name": part.name,
                "seconds": round(part.seconds, 4),
                "worst_seconds": round(part.worst_seconds, 4),
                "ahead": part.ahead,
                "sources": [
                    {"kind": one.kind, "text": one.text, "event": one.event, "run": one.run} for one in part.sources
                ],
            }
            for part in found.parts
        ],
        "data": [
            {
                "what": one.what,
                "as_of": _moment(one.as_of),
                "worst_as_of": _moment(one.worst_as_of),
                "source": one.source,
            }
            for one in found.bases
        ],
    }


def beside_view(told: Event | None, run: RunView, first_failed: datetime | None) -> Json | None:
    """What was foretold before a run, beside what it took; None where nothing was foretold.

    ``first_failed`` is when the first look failed, for a run that the daemon began; the failure itself was up to one
    interval of the check before.
    """
    if told is None:
        return None
    parts, rto, rpo = told.data["parts"], told.data["rto_seconds"], told.data["rpo_seconds"]
    worst = told.data["rpo_worst_seconds"]
    if run.kind is not RunKind.RECOVER:  # nothing had to be detected, and a planned move takes everything along
        steps = told.data.get("steps") or {}
        parts = {name: seconds for name, seconds in parts.items() if steps.get(name)}
        rto, rpo, worst = sum(parts.values()), 0.0, 0.0
    measured = {
        # What was prepared before its turn came stands in the step's changes only.
        step.number: max(step.seconds or 0.0, sum(change.seconds or 0.0 for change in step.changes))
        for step in run.steps
        if step.done_at is not None
    }
    if first_failed is not None and run.automatic:
        measured[0] = max(0.0, (run.opened_at - first_failed).total_seconds())
    rows = beside({**told.data, "parts": parts}, [step.title for step in run.steps], measured)
    return {
        "event": told.seq,
        "foretold_at": _moment(told.at),
        "rto_seconds": rto,
        "rpo_seconds": rpo,
        "rpo_worst_seconds": worst,
        "rows": [
            {"name": row.name, "predicted_seconds": row.predicted_seconds, "measured_seconds": row.measured_seconds}
            for row in rows
        ],
    }


def _moment(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None
