"""Reasons not to act: one small function each, and the order in which they are told.

A guard looks at a case whose condition holds and returns a :class:`Guard` or None. It says what is to be done instead
of recovering. Those here are about what may and can be done; those that doubt what is seen are in ``doubts``.
"""

from __future__ import annotations

from collections.abc import Callable, Set

from failover.decide import doubts
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
    about = {"site", case.plan.role, case.plan.holder} | servers
    reason = _maintained(case, about)
    return Guard(name="maintenance", reason=reason, action=Action.NOTHING) if reason else None


def standby_in_maintenance(case: Case) -> Guard | None:
    """People work on the standby: it takes nothing over, and that doesn't excuse the holder's failure."""
    reason = _maintained(case, {case.plan.standby})
    return Guard(name="standby-in-maintenance", reason=reason, action=Action.ALARM) if reason else None


def _maintained(case: Case, about: Set[str | None]) -> str | None:
    for window in case.situation.maintenance:
        left = -case.situation.age_seconds(window.until)
        if window.about in about and left > 0:
            why = f" ({window.why})" if window.why else ""
            return f"{window.about} is in maintenance for another {format_span(left)}{why}"
    return None


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
    ago = f"{format_span(age)} ago" if age >= 0 else "in what the clock, set back since, calls the future"
    reason = f"plan {case.plan.name} ran by itself {ago} (run {last.run}, {last.state})"
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


def standby_silent(case: Case) -> Guard | None:
    """It may have failed with the holder (D3): a moment later that is known, and a run would only wait for it."""
    standby = case.plan.standby
    server = case.situation.servers.get(standby) if standby is not None else None
    if server is None or server.reachable is False or server.hangs_since is None:
        return None
    silent = format_span(max(0.0, case.situation.age_seconds(server.hangs_since)))
    reason = f"the standby {standby} hasn't answered for {silent}"
    return Guard(name="standby-silent", reason=reason, action=Action.WAIT)


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
    doubts.grace,
    doubts.own_fault,
    doubts.stale,
    doubts.blind,
    doubts.all_at_once,
    doubts.symptom,
    doubts.cause_unseen,
    doubts.cause_mended,
    doubts.rising,
    doubts.seen_by_others,
    doubts.flapping,
    doubts.alarm_only,
    off,
    drift,
    suspect_source,
    standby_down,
    standby_silent,
    standby_in_maintenance,
    not_ready,
    cooling_down,
    too_soon,
    doubts.nothing_down,
    switched_off,
    only_proposed,
    no_proof_soon,
)
"""In the order in which they are told."""


def ask_all(case: Case) -> tuple[Guard, ...]:
    """Every guard that has something to say."""
    return tuple(guard for question in GUARDS if (guard := question(case)) is not None)
