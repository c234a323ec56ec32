"""Plans of a database that would let two be written to, wait every night, or not find their way back."""

from __future__ import annotations

from failover.backups import DatabaseSet, MadeSet
from failover.config.crosschecks_backups import longest_wait
from failover.config.model import SiteConfig
from failover.config.references import Found
from failover.config.strict_yaml import Path
from failover.model import format_span
from failover.recover.steps import DatabaseParked, DatabaseRestored, ServiceStopped, ShadowReady


def crosscheck(site: SiteConfig) -> Found:
    """All of it."""
    for name, plan in site.plans.items():
        called = plan.role or name
        role = site.roles.get(called)
        stopped = False
        seen = 0
        for number, step in enumerate(plan.steps):
            where: Path = ("plans", name, "steps", number, step.kind)
            stopped = stopped or (isinstance(step, ServiceStopped) and step.on in ("old", "holder"))
            if isinstance(step, ShadowReady | DatabaseParked) and role is not None and role.database is None:
                yield where, f"the role {called} has no 'database', so that nothing says what is meant"
            if not isinstance(step, DatabaseRestored):
                continue
            seen += 1
            if seen > 1:
                yield where, "a plan puts one database in place; this is its second"
            if not stopped and plan.when is not None:
                yield (
                    where,
                    "no step before it is 'service_stopped', so that nothing proves that nobody writes to the old "
                    f"database any more: add '- service_stopped: {{unit: {_unit(site, called)}}}' before it",
                )


def worth_a_look(site: SiteConfig) -> Found:
    """What works, and yet waits for people, or goes one way only."""
    for name, plan in site.plans.items():
        for number, step in enumerate(plan.steps):
            if not isinstance(step, DatabaseRestored):
                continue
            where: Path = ("plans", name, "steps", number, step.kind)
            sets = [site.backups[one] for one in step.backups if one in site.backups]
            if sets and not any(isinstance(its, DatabaseSet) for its in sets):
                yield (
                    (*where, "backups"),
                    f"failover makes none of {', '.join(step.backups)} itself, so that a planned move, which makes a "
                    "fresh backup first, is refused: add a set of the kind 'database'",
                )
            waits = [longest_wait(its) for its in sets if isinstance(its, MadeSet)]
            if waits and min(waits) > step.max_loss:
                yield (
                    (*where, "max_loss"),
                    f"a backup is up to {format_span(min(waits))} old before the next one is there; of more than "
                    f"{format_span(step.max_loss)} the run waits for a person's yes",
                )


def _unit(site: SiteConfig, role: str) -> str:
    found = site.roles.get(role)
    engine = found.database.engine if found and found.database else "postgresql"
    return (found.unit if found else None) or engine
