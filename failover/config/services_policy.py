"""What a server's helper must know of the units that it may start, and which settings of which files it may edit."""

from __future__ import annotations

from collections.abc import Iterator

from failover.config.model import SiteConfig
from failover.recover.plan import Plan
from failover.recover.steps import Connected, ServiceRunning
from failover.servers.helper.parking import full
from failover.servers.policy import PolicyConnect, PolicyService


def services(site: SiteConfig, server: str) -> Iterator[PolicyService]:
    """What is to be seen to before a unit is started, by all plans that may start it on this server."""
    found: dict[str, PolicyService] = {}
    for plan in _plans(site, server):
        parks = plan.alone
        for step in plan.steps:
            if not isinstance(step, ServiceRunning):
                continue
            known = found.get(full(step.unit), PolicyService(full(step.unit)))
            found[full(step.unit)] = PolicyService(
                unit=known.unit,
                pid_files=tuple(sorted({*known.pid_files, *step.pid_files})),
                ports=tuple(sorted({*known.ports, *step.requires.ports})),
                mounts=tuple(sorted({*known.mounts, *step.requires.mounts})),
                command=known.command or step.requires.command,
                parks=known.parks or known.unit in parks,
            )
    yield from (found[name] for name in sorted(found) if found[name] != PolicyService(name))


def connect(site: SiteConfig, server: str) -> Iterator[PolicyConnect]:
    """The files that may be edited on this server, and in each the keys."""
    found: dict[str, PolicyConnect] = {}
    for step in connections(site):
        role = site.roles.get(step.role)
        if step.file is None or step.format is None or role is None or server not in (role.home, role.standby):
            continue
        known = found.get(step.file)
        keys = tuple(sorted({*(known.keys if known else ()), *step.values}))
        found[step.file] = PolicyConnect(step.file, step.format, keys, step.template)
    yield from (found[name] for name in sorted(found))


def restarted(site: SiteConfig, server: str) -> Iterator[str]:
    """Units that are made to connect anew on this server."""
    for step in connections(site):
        role = site.roles.get(step.role)
        if step.restart is not None and role is not None and server in (role.home, role.standby):
            yield step.restart


def connections(site: SiteConfig) -> Iterator[Connected]:
    """Every step that connects a role's program."""
    yield from (step for plan in site.plans.values() for step in plan.steps if isinstance(step, Connected))


def _plans(site: SiteConfig, server: str) -> Iterator[Plan]:
    for name, plan in site.plans.items():
        role = site.roles.get(plan.role or name)
        if role is not None and server in (role.home, role.standby):
            yield plan
