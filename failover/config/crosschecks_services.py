"""Services and connections that can't work: started before the other is stopped, by commands that aren't there."""

from __future__ import annotations

from collections.abc import Iterator

from failover.config.messages import did_you_mean
from failover.config.model import RoleSection, SiteConfig
from failover.config.references import Found
from failover.config.services_policy import connections
from failover.config.strict_yaml import Path
from failover.recover.plan import Plan
from failover.recover.steps import Command, Connected, ServiceRunning, ServiceStopped
from failover.servers.helper.masking import names_a_secret
from failover.servers.helper.parking import full


def crosscheck(site: SiteConfig) -> Found:
    """All of it."""
    files: dict[str, Connected] = {}
    needs: dict[tuple[str, str], str] = {}
    for name, plan in site.plans.items():
        role = site.roles.get(plan.role or name)
        if role is not None:
            yield from _one_at_a_time(name, plan, role)
        for number, step in enumerate(plan.steps):
            where: Path = ("plans", name, "steps", number, step.kind)
            yield from _commands(site, step, where, role)
            if isinstance(step, ServiceRunning) and step.requires.command is not None:
                known = needs.setdefault((plan.role or name, full(step.unit)), step.requires.command)
                if known != step.requires.command:
                    said = f"{step.unit} needs the command {known} in another place already; a unit has one"
                    yield (*where, "requires", "command"), said
            if isinstance(step, Connected):
                yield from _connection(site, step, where, role)
                first = files.setdefault(step.file, step) if step.file is not None else step
                if (first.format, first.template) != (step.format, step.template):
                    yield (*where, "format"), f"{step.file} is written as {first.format} in another place already"


def _one_at_a_time(name: str, plan: Plan, role: RoleSection) -> Found:
    """Two that write would spoil what both write to (I12)."""
    stopped: set[str] = set()
    exclusive = plan.alone
    for number, step in enumerate(plan.steps):
        where: Path = ("plans", name, "steps", number, step.kind)
        if isinstance(step, ServiceStopped) and step.on == "old":
            stopped.add(full(step.unit))
        if not isinstance(step, ServiceRunning) or step.on != "new" or full(step.unit) in stopped:
            continue
        if full(step.unit) in exclusive:
            yield (*where, "unit"), f"{step.unit} is started on the new server before it is stopped on the old one"
        elif (
            role.unit is not None and full(role.unit) == full(step.unit) and not role.address and plan.when is not None
        ):
            yield (
                (*where, "unit"),
                f"{step.unit} is started on the new server, and no step stops it on the old one: two would write; add "
                f"'service_stopped: {{unit: {step.unit}}}' before it",
            )


def _commands(site: SiteConfig, step: object, where: Path, role: RoleSection | None) -> Found:
    """Each by its name under the commands of every server that may have to run it."""
    for key, name, its in _named(site, step, role):
        for server in (its.home, its.standby) if its is not None else ():
            if server in site.servers and name not in site.servers[server].commands:
                known = site.servers[server].commands
                yield (*where, *key), f"{server} has no command {name!r}{did_you_mean(name, sorted(known))}"


def _named(
    site: SiteConfig, step: object, role: RoleSection | None
) -> Iterator[tuple[tuple[str, ...], str, RoleSection | None]]:
    if isinstance(step, Command):
        yield ("name",), step.name, role
        if step.reverse is not None:
            yield ("undo",), step.reverse, role
    if isinstance(step, ServiceRunning) and step.requires.command is not None:
        yield ("requires", "command"), step.requires.command, role
    if isinstance(step, Connected) and step.proof is not None:
        yield ("proof", "command"), step.proof.command, site.roles.get(step.role)


def _connection(site: SiteConfig, step: Connected, where: Path, role: RoleSection | None) -> Found:
    having = {name: its for name, its in site.roles.items() if its.database is not None}
    if step.database is not None:
        database = site.roles.get(step.database)
    elif role is not None and role.database is not None:
        database = role
    elif len(having) == 1:
        database = next(iter(having.values()))
    else:
        count = "several roles have" if having else "no role has"
        yield where, f"{count} a database; write under 'database' the role that {step.role} is connected to"
        return
    if database is None:
        return
    for key, value in step.values.items():
        if names_a_secret(key.partition("#")[0]) and "#" not in key:
            yield (
                (*where, "set", key),
                f"{key} is a secret, which no plan holds: let the file name a file that holds it",
            )
        if database.database is None and ("{port}" in value or "{database}" in value):
            yield (*where, "set", key), f"{value!r} needs a role with a 'database', which tells its port and name"
    if step.proof is not None:
        queries = database.database.queries if database.database is not None else {}
        if step.proof.query not in queries:
            said = f"the database has no query {step.proof.query!r}{did_you_mean(step.proof.query, sorted(queries))}"
            yield (*where, "proof", "query"), said


def warnings_of(site: SiteConfig) -> Found:
    """A WCM that is started where its file may still name the old database."""
    files = {(step.role, step.file) for step in connections(site) if step.file is not None}
    for name, plan in site.plans.items():
        role = plan.role or name
        own = {step.file for step in plan.steps if isinstance(step, Connected) and step.role == role}
        starts = any(isinstance(step, ServiceRunning) and step.on == "new" for step in plan.steps)
        for its, file in sorted(files, key=str):
            if its == role and starts and file not in own:
                yield (
                    ("plans", name, "steps"),
                    f"{file} of the server that stands by is kept up by the daemon alone; add the 'connected' step for "
                    "it before 'service_running', so that it never starts with the old database",
                )
