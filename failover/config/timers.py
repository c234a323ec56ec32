"""Timers that contradict each other, and how soon a failure is known with those that don't."""

from __future__ import annotations

from failover.config.model import SiteConfig
from failover.config.references import Found
from failover.model import Mode, format_span
from failover.probes.base import Probe
from failover.recover.address import FenceProof
from failover.recover.steps import ContentSynced, Released


def known_down_seconds(check: Probe) -> tuple[float, float]:
    """From a failure to the verdict ``down``: where every look fails at once, and where every look hangs.

    The later figure counts the whole pause before the first look that fails.
    """
    pause = min(check.every, check.confirm_every)
    soon = (check.fall - 1) * pause
    # A look that hangs is over at its timeout, and the next begins at once where its turn has come meanwhile.
    late = check.every + check.fall * check.timeout + (check.fall - 1) * max(0.0, pause - check.timeout)
    return soon, late


def crosscheck(site: SiteConfig) -> Found:
    """All of it."""
    for look in (_checks, _plans, _fences, _copies):
        yield from look(site)


def _checks(site: SiteConfig) -> Found:
    for name, check in site.checks.items():
        # What nobody wrote is no contradiction: with a short `every` quick looks are no quicker.
        if check.confirm_every > check.every and "confirm_every" in check.model_fields_set:
            yield (
                ("checks", name, "confirm_every"),
                f"a failed look is confirmed every {format_span(check.confirm_every)}, which is slower than the "
                f"ordinary {format_span(check.every)}",
            )
        if check.timeout > check.fall * check.every:
            yield (
                ("checks", name, "timeout"),
                f"one look may take {format_span(check.timeout)}, in which {check.fall} looks should have been taken "
                f"(fall: {check.fall}, every {format_span(check.every)}): shorten it, or look less often",
            )


def _plans(site: SiteConfig) -> Found:
    for name, plan in site.plans.items():
        named = plan.condition.checks if plan.condition else ()
        known = [site.checks[each] for each in named if each in site.checks]
        checks = [check for check in known if check.fails_over]
        if plan.mode is not Mode.AUTO or not checks:
            continue
        needed = max(known_down_seconds(check)[1] + check.rise * check.every for check in checks)
        if plan.cooldown < needed:
            yield (
                ("plans", name, "cooldown"),
                f"after {format_span(plan.cooldown)} the plan may run again, before its checks can tell whether it "
                f"helped, which takes {format_span(needed)}",
            )


def _fences(site: SiteConfig) -> Found:
    for name, plan in site.plans.items():
        role = site.roles.get(plan.role or name)
        for number, step in enumerate(plan.steps):
            if role is None or not isinstance(step, Released) or step.address not in site.addresses:
                continue
            if not any(isinstance(proof, FenceProof) for proof in site.addresses[step.address].release):
                continue
            for server in (role.home, role.standby):
                fence = site.servers[server].fence if server in site.servers else None
                if fence is not None and fence.timeout > step.fence_within:
                    yield (
                        ("plans", name, "steps", number, step.kind, "fence_within"),
                        f"the fence of {server} may take {format_span(fence.timeout)} (timeout), and the step waits "
                        f"{format_span(step.fence_within)} only",
                    )


def _copies(site: SiteConfig) -> Found:
    ahead = site.watch.ahead_every
    for name, plan in site.plans.items():
        for number, step in enumerate(plan.steps):
            if not isinstance(step, ContentSynced):
                continue
            if step.recent > step.stale:
                yield (
                    ("plans", name, "steps", number, step.kind, "recent"),
                    f"a copy compared {format_span(step.recent)} ago would be taken as it is, and counts as stale "
                    f"after {format_span(step.stale)} (stale)",
                )
            if step.stale < ahead:
                yield (
                    ("plans", name, "steps", number, step.kind, "stale"),
                    f"a copy counts as stale after {format_span(step.stale)}, and is compared with its source every "
                    f"{format_span(ahead)} only (watch.ahead_every): the plan would hardly ever be ready",
                )
