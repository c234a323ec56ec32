"""Doubts: reasons to think that what is seen isn't what it seems, or isn't what the plan is for.

Each looks at a case whose condition holds and returns a :class:`Guard` or None. Its sentence holds the values that it
rests on.
"""

from __future__ import annotations

import math

from failover.decide.case import Case
from failover.decide.decision import Action, Guard
from failover.model import Standing, format_span


def grace(case: Case) -> Guard | None:
    """A monitor that has just begun to look doesn't act (D10)."""
    looked, least = case.situation.since_start_seconds, case.situation.limits.grace_seconds
    if looked >= least:
        return None
    reason = f"the monitor has been looking for {format_span(looked)} only, it acts after {format_span(least)}"
    return Guard(name="grace", reason=reason, action=Action.WAIT)


def stale(case: Case) -> Guard | None:
    """A verdict of long ago is about another world (D10, I13)."""
    for name in case.faults:
        check = case.situation.checks[name]
        if not case.situation.fresh(check.verdict.last, check.stale_after_seconds):
            age = format_span(case.situation.age_seconds(check.verdict.last))
            return Guard(name="stale", reason=f"the last look at {name} is {age} old", action=Action.WAIT)
    return None


def own_fault(case: Case) -> Guard | None:
    """An overloaded monitor's readings are no evidence (P7)."""
    if not (fault := case.situation.own_fault):
        return None
    return Guard(name="own-fault", reason=f"the monitor can't judge: {fault}", action=Action.ALARM)


def blind(case: Case) -> Guard | None:
    """A monitor that is cut off acts on nothing (I4, D2): somebody else than the failed server must be seen, since."""
    situation = case.situation
    if situation.witnesses:
        judged = [witness for witness in situation.witnesses if situation.fresh(witness.at, _witness_seconds(case))]
        if any(witness.seen for witness in judged):
            return None
        told = (
            f"{witness.name} ({witness.reason or 'not seen'})"
            if witness in judged
            else f"{witness.name} (not looked at for {format_span(max(0.0, situation.age_seconds(witness.at)))})"
            for witness in situation.witnesses
        )
        reason = f"the monitor may be cut off: it sees no witness: {', '.join(told)}"
    elif any(sighting.seen is not None for sighting in case.fresh_sightings):
        return None
    elif case.fresh_sightings and not case.unasked:
        silent = ", ".join(dict.fromkeys(sighting.observer for sighting in case.fresh_sightings))
        reason = f"the monitor may be cut off: there is no witness and nobody answers: {silent}"
    elif case.unasked or _sees_others(case):
        return None
    else:
        reason = "the monitor may be cut off: there is no witness, and no other server is seen"
    return Guard(name="blind", reason=reason, action=Action.ALARM)


def _witness_seconds(case: Case) -> float:
    return case.situation.limits.witness_seconds


def _sees_others(case: Case) -> bool:
    return any(server.reachable for name, server in case.situation.servers.items() if name != case.plan.holder)


def all_at_once(case: Case) -> Guard | None:
    """When most servers fail at once, it's the network or the power, and moving things helps nobody (D1)."""
    together = case.situation.limits.together_seconds
    failing = [name for name, since in case.failing_servers() if abs((since - case.since).total_seconds()) <= together]
    total = len(case.server_names)
    many = total if total <= 2 else max(3, math.ceil(total / 2))
    if total < 2 or len(failing) < many:
        return None
    reason = f"{len(failing)} of {total} servers fail at once ({', '.join(failing)}): that is the network or the power"
    return Guard(name="all-at-once", reason=reason, action=Action.ALARM)


def symptom(case: Case) -> Guard | None:
    """Root cause before symptom (P9): what depends on something broken is not mended by moving it."""
    checks = case.situation.checks
    causes = {name: case.cause_of(name) for name in case.faults}
    if not causes or not all(causes.values()):
        return None
    name, cause = next(iter(causes.items()))
    assert cause is not None  # noqa: S101 - said by all() above
    how = checks[cause].standing if cause in checks else Standing.UNKNOWN
    reason = f"{name} depends on {cause}, which is {how}: that comes first"
    action = Action.ALARM if how is Standing.UNKNOWN else Action.WAIT  # what can't be judged may stay so all night
    return Guard(name="symptom", reason=reason, action=action)


def cause_unseen(case: Case) -> Guard | None:
    """What is looked at more seldom may have failed first (P9): a page answers 500 as soon as its database is gone."""
    causes = {name: case.unseen_cause_of(name) for name in case.faults}
    if not causes or not all(causes.values()):
        return None
    name, cause = next(iter(causes.items()))
    reason = f"{name} depends on {cause}, which wasn't looked at since then: that comes first"
    return Guard(name="cause-unseen", reason=reason, action=Action.WAIT)


def cause_mended(case: Case) -> Guard | None:
    """A page that failed with its database may answer 502 for some seconds after that is back (P9)."""
    causes = {name: case.mended_cause_of(name) for name in case.faults}
    if not causes or not all(causes.values()):
        return None
    name, cause = next(iter(causes.items()))
    assert cause is not None  # noqa: S101 - said by all() above
    back = format_span(case.situation.age_seconds(case.situation.checks[cause].mended_at or case.situation.now))
    limit = format_span(case.situation.limits.aftermath_seconds)
    reason = (
        f"{name} depends on {cause}, which is well again for {back} only: what it caused may take {limit} to go away"
    )
    return Guard(name="cause-mended", reason=reason, action=Action.WAIT)


def rising(case: Case) -> Guard | None:
    """What the newest look found well is looked at once more first (I13): it may be over."""
    checks = case.situation.checks
    well = [
        name for name in case.faults if checks[name].standing is Standing.DOWN and checks[name].failing_since is None
    ]
    if not well or case.condition.holds({**case.situation.standings, **dict.fromkeys(well, Standing.UP)}):
        return None
    return Guard(name="rising", reason=f"the newest look at {', '.join(well)} was good", action=Action.WAIT)


def nothing_down(case: Case) -> Guard | None:
    """A plan for what is suspect or unknown may be wise, but a person has to say so."""
    if any(case.situation.checks[name].standing is Standing.DOWN for name in case.faults):
        return None
    return Guard(name="nothing-down", reason="no check of its condition is down for certain", action=Action.PROPOSE)


def seen_by_others(case: Case) -> Guard | None:
    """When others see it up, the fault lies between it and the monitor (M5): visitors have no trouble."""
    if not case.seen_anyway(*case.faults):
        return None
    up = [sighting for sighting in case.fresh_sightings if sighting.seen]
    down = [sighting for sighting in case.fresh_sightings if sighting.seen is False]
    reason = f"{', '.join(sighting.observer for sighting in up)} still see{'s' if len(up) == 1 else ''} {up[0].check}"
    reason += f", {', '.join(sighting.observer for sighting in down)} not" if down else ""
    reason += ": the fault may lie between it and the monitor"
    return Guard(name="seen-by-others", reason=reason, action=Action.ALARM)


def flapping(case: Case) -> Guard | None:
    """What comes and goes isn't moved (P14)."""
    for name in case.faults:
        if case.situation.checks[name].verdict.flapping:
            return Guard(name="flapping", reason=f"{name} comes and goes", action=Action.ALARM)
    return None


def alarm_only(case: Case) -> Guard | None:
    """Some checks only alarm: a backup server has the same expired certificate (P6)."""
    if not case.faults or any(case.situation.checks[name].fails_over for name in case.faults):
        return None
    reason = f"{', '.join(case.faults)} only alarms people and moves nothing (fails_over: false)"
    return Guard(name="alarm-only", reason=reason, action=Action.ALARM)
