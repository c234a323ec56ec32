"""Reasons not to act: one small function each, and the order in which they are told.

A guard looks at a case whose condition holds and returns a :class:`Guard` or None. It says what is to be done instead
of recovering, and its sentence holds the values that it rests on.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from failover.decide.case import Case
from failover.decide.decision import Action, Guard
from failover.model import Mode, RunKind, Standing, format_span

Question = Callable[[Case], Guard | None]


def under_way(case: Case) -> Guard | None:
    """One run per site at a time (D6, D9, D12); copying ahead of time gives way to every other."""
    if (run := case.situation.run) is None or run.kind is RunKind.AHEAD:
        return None
    what = f"run {run.run} of plan {run.plan} is {run.state}" + (f": {run.reason}" if run.reason else "")
    return Guard(name="under-way", reason=what, action=Action.WAIT)


def maintenance(case: Case) -> Guard | None:
    """People work there and know that it fails (P12); a window ends by itself (I14)."""
    servers = {case.situation.checks[name].server for name in case.faults}
    about = {"site", case.plan.role, case.plan.holder, case.plan.standby} | servers
    for window in case.situation.maintenance:
        left = -case.situation.age_seconds(window.until)
        if window.about in about and left > 0:
            reason = f"{window.about} is in maintenance for another {format_span(left)}"
            reason += f" ({window.why})" if window.why else ""
            return Guard(name="maintenance", reason=reason, action=Action.NOTHING)
    return None


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


def nothing_down(case: Case) -> Guard | None:
    """A plan for what is suspect or unknown may be wise, but a person has to say so."""
    if any(case.situation.checks[name].standing is Standing.DOWN for name in case.faults):
        return None
    return Guard(name="nothing-down", reason="no check of its condition is down for certain", action=Action.PROPOSE)


def seen_by_others(case: Case) -> Guard | None:
    """When others see it up, the fault lies between it and the monitor (M5): visitors have no trouble."""
    up = [sighting for sighting in case.fresh_sightings if sighting.seen]
    down = [sighting for sighting in case.fresh_sightings if sighting.seen is False]
    if not up or len(up) < len(down):
        return None
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


def off(case: Case) -> Guard | None:
    """The plan's own mode: off."""
    if case.plan.mode is not Mode.OFF:
        return None
    return Guard(name="mode-off", reason=f"the mode of plan {case.plan.name} is off", action=Action.ALARM)


def cooling_down(case: Case) -> Guard | None:
    """One automatic run per plan until a person acknowledged it, or it cooled down (I14, D8)."""
    last, acknowledged = case.plan.last_automatic, case.plan.acknowledged_at
    if last is None or (acknowledged is not None and acknowledged >= last.at):
        return None
    age = case.situation.age_seconds(last.at)
    if age >= case.plan.cooldown_seconds:
        return None
    left = format_span(min(case.plan.cooldown_seconds, case.plan.cooldown_seconds - age))
    reason = f"plan {case.plan.name} ran by itself {format_span(max(0.0, age))} ago (run {last.run}, {last.state})"
    reason += f" and nobody acknowledged that; by itself it runs again in {left}"
    return Guard(name="cooling-down", reason=reason, action=Action.ALARM)


def standby_down(case: Case) -> Guard | None:
    """There is nowhere to go (D3)."""
    standby = case.plan.standby
    if standby is None:
        return None
    server = case.situation.servers.get(standby)
    if server is not None and server.reachable is False:
        why = f" ({server.reason})" if server.reason else ""
        reason = f"the standby {standby} can't be reached{why}"
        return Guard(name="standby-down", reason=reason, action=Action.ALARM)
    for name, check in case.situation.checks.items():
        if check.server == standby and check.standing is Standing.DOWN and check.fails_over:
            reason = f"the standby {standby} is down too: {case.tell(name)}"
            return Guard(name="standby-down", reason=reason, action=Action.ALARM)
    return None


def not_ready(case: Case) -> Guard | None:
    """The standby couldn't take over (D5)."""
    if not case.plan.not_ready:
        return None
    who = case.plan.standby or f"plan {case.plan.name}"
    reason = f"{who} is not ready: {'; '.join(case.plan.not_ready)}"
    return Guard(name="not-ready", reason=reason, action=Action.ALARM)


def suspect_source(case: Case) -> Guard | None:
    """Bad content isn't spread (D13): evidence first, and only from a clean source."""
    if not (why := case.plan.source_suspect):
        return None
    reason = f"what the plan would copy may not be good: {why}"
    return Guard(name="source-suspect", reason=reason, action=Action.ALARM)


def drift(case: Case) -> Guard | None:
    """The world isn't as the journal says (D11): the world is right, and people must say what it should be."""
    if not (how := case.plan.drift):
        return None
    return Guard(name="drift", reason=f"the world isn't as the journal says: {how}", action=Action.ALARM)


def too_soon(case: Case) -> Guard | None:
    """The plan's author wants to see the fault for a while, for example as long as a restart takes (P12)."""
    held = case.situation.age_seconds(case.since)
    if held >= case.plan.wait_seconds:
        return None
    reason = f"plan {case.plan.name} waits until the fault has lasted {format_span(case.plan.wait_seconds)}"
    return Guard(name="too-soon", reason=reason, action=Action.WAIT)


def switched_off(case: Case) -> Guard | None:
    """All automation is off: people still get to start it with one word (I14)."""
    switch = case.situation.automation
    if switch.on:
        return None
    reason = f"all automation is off ({switch.by or 'somebody'}: {switch.why or 'no reason given'})"
    return Guard(name="switched-off", reason=reason, action=Action.PROPOSE)


def only_proposed(case: Case) -> Guard | None:
    """The plan's own mode: propose."""
    if case.plan.mode is not Mode.PROPOSE:
        return None
    return Guard(name="mode-propose", reason=f"the mode of plan {case.plan.name} is propose", action=Action.PROPOSE)


def no_proof_soon(case: Case) -> Guard | None:
    """Holds nothing back, but says before the run that it will have to wait for a person (I2)."""
    if not case.plan.proofs or any(proof.available and proof.kind != "person" for proof in case.plan.proofs):
        return None
    tried = "; ".join(
        f"{proof.kind}: {proof.why}" for proof in case.plan.proofs if proof.kind != "person" and proof.why
    )
    reason = f"nothing proves by itself that {case.plan.holder or 'the old server'} lets go" + (
        f" ({tried})" if tried else ""
    )
    reason += ": the run will wait for a person's word"
    return Guard(name="no-proof-soon", reason=reason, action=Action.RECOVER, holds=False)


GUARDS: tuple[Question, ...] = (
    under_way,
    maintenance,
    grace,
    own_fault,
    stale,
    blind,
    all_at_once,
    symptom,
    seen_by_others,
    flapping,
    alarm_only,
    off,
    drift,
    suspect_source,
    standby_down,
    not_ready,
    cooling_down,
    too_soon,
    nothing_down,
    switched_off,
    only_proposed,
    no_proof_soon,
)
"""In the order in which they are told."""


def ask_all(case: Case) -> tuple[Guard, ...]:
    """Every guard that has something to say."""
    return tuple(guard for question in GUARDS if (guard := question(case)) is not None)
