"""Plans that can't work: that nothing starts, that move what isn't theirs, that could never prove a release."""

from __future__ import annotations

from failover.config.model import RoleSection, SiteConfig
from failover.config.references import Declared, Found, names, unknown
from failover.config.strict_yaml import Path
from failover.model import Mode
from failover.recover.address import ReadBack
from failover.recover.plan import Plan
from failover.recover.steps import AddressHeld, ContentSynced, Parked, Released


def crosscheck(site: SiteConfig, declared: Declared) -> Found:
    """All of it."""
    for name, plan in site.plans.items():
        yield from _starts(site, name, plan)
        if plan.role is None and (roles := names(declared, "roles")) is not None and name not in roles:
            yield (
                ("plans", name),
                f"a plan moves the role of its name, or the one under 'role'; {unknown('role', name, roles)}",
            )
        role = site.roles.get(plan.role or name)
        if role is not None:
            yield from _addresses(site, name, plan, role)
            yield from _content(site, name, plan, role)
            yield from _proof(site, name, plan, role)
    auto = [name for name, plan in site.plans.items() if plan.mode is Mode.AUTO]
    if auto and not site.witnesses and "witnesses" not in declared and site.automation == "on":
        yield (
            ("plans", auto[0], "mode"),
            "the plan acts by itself, so the monitor needs a witness that shows that it isn't cut off itself: "
            "add 'witnesses', as [{kind: ping, address: 10.77.0.1}]",
        )


def _starts(site: SiteConfig, name: str, plan: Plan) -> Found:
    if plan.when is None and plan.mode is not Mode.OFF:
        yield (
            ("plans", name),
            "it has no 'when', so nothing ever starts it; add one, or 'mode: off'",
        )
    for check in plan.condition.checks if plan.condition else ():
        if check in site.checks and not site.checks[check].fails_over:
            yield ("plans", name, "when"), f"{check} only alarms people (fails_over: false); it can't start a plan"


def _addresses(site: SiteConfig, name: str, plan: Plan, role: RoleSection) -> Found:
    called = plan.role or name
    for number, step in enumerate(plan.steps):
        if not isinstance(step, Released | AddressHeld | Parked) or step.address not in site.addresses:
            continue
        if step.address not in role.address:
            has = f"has {', '.join(role.address)}" if role.address else "has no address"
            where = ("plans", name, "steps", number, step.kind, "address")
            yield where, f"the address {step.address} isn't one of the role {called}, which {has}"
    held = {step.address for step in plan.steps if isinstance(step, AddressHeld)}
    if not held or not held <= set(site.addresses):
        return
    for address in role.address:
        if address not in held and address in site.addresses:
            yield (
                ("plans", name, "steps"),
                f"the address {address} goes with the role {called}, and no step gives it to the new server",
            )


def _content(site: SiteConfig, name: str, plan: Plan, role: RoleSection) -> Found:
    for number, step in enumerate(plan.steps):
        if not isinstance(step, ContentSynced) or (source := site.roles.get(step.source)) is None:
            continue
        where: Path = ("plans", name, "steps", number, step.kind)
        if step.source == (plan.role or name):
            if _elsewhere(site, step):
                yield (*where, "from"), f"the role {step.source} can't be the source of its own content"
            continue  # what it writes itself, as the WCM its uploads: that lies where it likes
        if source.path is None:
            yield (
                (*where, "from"),
                f"the role {step.source} has no 'path', so nobody can copy from it: add 'path: {step.path}' to it",
            )
        elif source.path != step.path:
            yield (*where, "path"), f"{step.path} isn't what the role {step.source} has, which is {source.path}"
        if role.path is not None and role.path != step.path:
            yield (*where, "path"), f"{step.path} isn't the path of the role {plan.role or name}, which is {role.path}"


def _elsewhere(site: SiteConfig, step: ContentSynced) -> bool:
    """Whether a role that nobody copies from would copy from itself what another role has."""
    copied = any(
        isinstance(other, ContentSynced) and other.source == step.source and (plan.role or name) != step.source
        for name, plan in site.plans.items()
        for other in plan.steps
    )
    return not copied and any(its.path == step.path for name, its in site.roles.items() if name != step.source)


def _proof(site: SiteConfig, name: str, plan: Plan, role: RoleSection) -> Found:
    """Read-back alone works while the old server answers, and a plan that acts by itself is for when it doesn't."""
    if plan.mode is not Mode.AUTO or role.home not in site.servers:
        return
    for number, step in enumerate(plan.steps):
        address = site.addresses.get(step.address) if isinstance(step, Released) else None
        if address is not None and {type(proof) for proof in address.release} == {ReadBack}:
            yield (
                ("plans", name, "steps", number, step.kind),
                f"if {role.home} is switched off, nothing can prove that it let go of the address, and no person may "
                "say so: add 'person' to the address's release, or 'fence' and a fence",
            )
