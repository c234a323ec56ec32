"""What to do now: one decision for every plan, each with its reason.

The monitor's loop::

    decisions = choose(situation)
    # confirm: ask decision.ask's observers and look at decision.look_at's witnesses, all at once and within a second or
    #   two; put a Sighting for each (seen=None for those that couldn't be asked) and the new Seen into the situation,
    #   and choose again. At most one recover comes out for a site.
    # wait with an ask: the same, but don't wait for it: when the check turns out to be down, the answers are there.
    # final and not decision.same_as(the plan's last final one): journal it, data=explain.record(decision, situation)
    # alarm, propose, recover: tell people, as urgently as decision.severity says.
"""

from __future__ import annotations

from failover.decide.case import Case
from failover.decide.decision import Action, Ask, Decision, Guard, Severity
from failover.decide.guards import ask_all
from failover.decide.situation import Situation
from failover.model import Mode, Standing

_FIRST_SAID = (Action.NOTHING, Action.WAIT, Action.ALARM, Action.PROPOSE)
"""Where guards disagree about what to do instead: quietest first, since what is expected or explained needs nobody."""


def choose(situation: Situation) -> tuple[Decision, ...]:
    """One decision for every plan, in the order of the situation. The same situation gives the same decisions."""
    decisions: dict[str, Decision] = {}
    first: str | None = None
    for plan in sorted(situation.plans, key=lambda plan: plan.rank):
        decision = _decide(Case(situation, plan))
        if decision.action is Action.RECOVER and first is not None:
            guard = Guard(name="under-way", reason=f"plan {first} goes first", action=Action.WAIT)
            reason = f"plan {plan.name} waits: one plan of a site runs at a time, and plan {first} goes first"
            guards = (guard, *decision.guards)
            decision = Decision(plan=plan.name, action=Action.WAIT, reason=reason, guards=guards, severity="page")
        elif decision.action is Action.RECOVER:
            first = plan.name
        decisions[plan.name] = decision
    return tuple(decisions[plan.name] for plan in situation.plans)


def _decide(case: Case) -> Decision:
    return _at_fault(case) if case.applies else _at_rest(case)


def _at_rest(case: Case) -> Decision:
    plan = case.plan
    if suspects := case.would_apply_if_down(Standing.SUSPECT):
        ask = () if not case.failing else tuple(Ask(check=name, observers=case.observers(name)) for name in suspects)
        look_at = () if not case.failing else tuple(witness.name for witness in case.situation.witnesses)
        reason = f"{case.tell(*suspects)}: looking again"
        return Decision(plan=plan.name, action=Action.WAIT, reason=reason, ask=ask, look_at=look_at)
    if unknown := case.would_apply_if_down(Standing.UNKNOWN, Standing.SUSPECT):
        reason = f"{case.tell(*unknown)}: what can't be judged moves nothing"
        return Decision(plan=plan.name, action=Action.WAIT, reason=reason)
    if plan.mode is not Mode.OFF and (guards := _known_ahead(case)):
        reason = f"plan {plan.name} wouldn't work now: {'; '.join(guard.reason for guard in guards)}"
        severity: Severity = "page" if _too_long(case) else "warning"
        return Decision(plan=plan.name, action=Action.ALARM, reason=reason, guards=guards, severity=severity)
    return Decision(plan=plan.name, action=Action.NOTHING, reason=f"not so: {plan.when}")


def _known_ahead(case: Case) -> tuple[Guard, ...]:
    """What would hold the plan back tonight and can be mended in daylight (D5)."""
    ahead = {"drift", "source-suspect", "standby-down", "not-ready"}
    guards = ask_all(case)
    if any(guard.name in ("maintenance", "under-way", "grace") for guard in guards):
        return ()
    return tuple(guard for guard in guards if guard.name in ahead)


def _too_long(case: Case) -> bool:
    """Whether it wasn't ready for longer than people said that they would bear."""
    limit, since = case.situation.limits.not_ready_seconds, case.plan.not_ready_since
    if limit is None or since is None or not case.plan.not_ready:
        return False
    return case.situation.age_seconds(since) >= limit


def _at_fault(case: Case) -> Decision:
    plan, guards = case.plan, ask_all(case)
    fault = case.tell(*case.faults) if case.faults else plan.when
    held = [guard for guard in guards if guard.holds]
    action = next((action for action in _FIRST_SAID if any(guard.action is action for guard in held)), Action.RECOVER)
    if action in (Action.RECOVER, Action.PROPOSE) and (decision := _to_confirm(case, fault, guards)):
        return decision
    if action is Action.RECOVER:
        hint = "".join(f"; {guard.reason}" for guard in guards)
        reason = f"{fault}; {_seen_by_nobody(case)}{_move(case)}{hint}"
        return Decision(plan=plan.name, action=action, reason=reason, guards=guards, severity="page")
    reasons = "; ".join(guard.reason for guard in held)
    says = {
        Action.NOTHING: f"{fault}; nothing is done: {reasons}",
        Action.WAIT: f"{fault}; waiting: {reasons}",
        Action.ALARM: f"{fault}; plan {plan.name} doesn't run: {reasons}",
        Action.PROPOSE: f"{fault}; `failover recover {plan.role or plan.name}` starts plan {plan.name}: {reasons}",
    }
    urgent = action in (Action.ALARM, Action.PROPOSE)
    severity = "page" if urgent else "info"
    return Decision(plan=plan.name, action=action, reason=says[action], guards=guards, severity=severity)


def _to_confirm(case: Case, fault: str, guards: tuple[Guard, ...]) -> Decision | None:
    """What others see, and whether the monitor is still connected, must be newer than the fault."""
    since, witnesses = case.since, case.situation.witnesses
    confirmed = not witnesses or any(witness.seen and witness.at >= since for witness in witnesses)
    look_at = () if confirmed else tuple(witness.name for witness in witnesses if witness.at < since)
    if not case.unasked and not look_at:
        return None
    ask = tuple(Ask(check=check, observers=observers) for check, observers in case.unasked.items())
    whom = dict.fromkeys(observer for observers in case.unasked.values() for observer in observers)
    who = ", ".join((*whom, *look_at))
    return Decision(
        plan=case.plan.name,
        action=Action.CONFIRM,
        reason=f"{fault}; first asking {who}",
        guards=guards,
        ask=ask,
        look_at=look_at,
    )


def _seen_by_nobody(case: Case) -> str:
    down = dict.fromkeys(sighting.observer for sighting in case.fresh_sightings if sighting.seen is False)
    if not down:
        return ""
    names = ", ".join(down)
    return f"{names} {'doesn' if len(down) == 1 else 'don'}'t see it either; "


def _move(case: Case) -> str:
    plan = case.plan
    if plan.role and plan.holder and plan.standby:
        return f"plan {plan.name} moves {plan.role} from {plan.holder} to {plan.standby}"
    return f"plan {plan.name} starts"
