"""Backups that would be lost with what they are of, that two sets would mix up, or that no plan could use."""

from __future__ import annotations

from failover.backups import DatabaseSet, FilesSet, FoundSet, MadeSet
from failover.config.model import SiteConfig
from failover.config.references import Found
from failover.config.strict_yaml import Path
from failover.model import format_span
from failover.probes.backup import BackupProbe
from failover.recover.steps import DatabaseRestored

_FORMATS = {"custom": "postgresql", "plain.gz": "postgresql", "dump.gz": "mariadb"}
_DAY = 86400.0
_TAKES_SECONDS = 600.0


def crosscheck(site: SiteConfig) -> Found:
    """All of it."""
    for look in (_places, _databases, _folders, _checks, _plans):
        yield from look(site)


def _places(site: SiteConfig) -> Found:
    for name, its in site.backups.items():
        where: Path = ("backups", name)
        role = site.roles.get(its.role)
        if role is not None and its.on == role.home and not isinstance(its, FoundSet):
            yield (
                (*where, "on"),
                f"{its.on} has the role {its.role} on ordinary days: when it fails, its backups are gone with it; keep "
                f"them on {role.standby}",
            )
        if isinstance(its, MadeSet) and its.also_on is not None:
            if its.also_on == its.on:
                yield (*where, "also_on"), f"the backups lie on {its.on} already; a second place is another server"
            elif role is not None and its.also_on == role.home:
                yield (*where, "also_on"), f"{its.also_on} is what the backups are of: it is no second place for them"


def _databases(site: SiteConfig) -> Found:
    for name, its in site.backups.items():
        role = site.roles.get(its.role)
        if not isinstance(its, DatabaseSet) or role is None:
            continue
        where: Path = ("backups", name)
        if role.database is None:
            yield (*where, "role"), f"the role {its.role} has no 'database', so that nothing says what is to be dumped"
        elif its.format is not None and _FORMATS[its.format] != role.database.engine:
            yield (*where, "format"), f"{its.format!r} is no format of {role.database.engine}"


def _folders(site: SiteConfig) -> Found:
    """One folder, one set: what lies in it is taken for the set's."""
    seen: dict[tuple[str, str], str] = {}
    for name, its in site.backups.items():
        for server in its.servers:
            for (other, path), owner in seen.items():
                inside = its.path == path or its.path.startswith(path + "/") or path.startswith(its.path + "/")
                if other == server and inside and owner != name:
                    yield ("backups", name, "path"), f"{path} on {server} is the folder of the set {owner} already"
                    break
            seen.setdefault((server, its.path), name)
        if isinstance(its, FilesSet):
            for number, path in enumerate(its.paths):
                if (its.path + "/").startswith(path + "/") and its.role in site.roles:
                    role = site.roles[its.role]
                    if {role.home, role.standby} & set(its.servers):
                        yield (
                            ("backups", name, "paths", number),
                            f"the backups lie in {path}, and would hold each other",
                        )


def _checks(site: SiteConfig) -> Found:
    for name, check in site.checks.items():
        if not isinstance(check, BackupProbe):
            continue
        where: Path = ("checks", name)
        for key in ("role", "server"):
            if getattr(check, key) is not None:
                yield (*where, key), "the set says where its backups lie; leave it out"
        its = site.backups.get(check.set)
        if isinstance(its, MadeSet):
            if check.newest_within < longest_wait(its):
                yield (
                    (*where, "newest_within"),
                    f"{check.set} is made {'once' if len(its.at) == 1 else f'{len(its.at)} times'} a day, so that its "
                    f"newest backup is older than {format_span(check.newest_within)} before the next is there",
                )
            if check.keep_days is not None and check.keep_days > its.keep.daily:
                yield (
                    (*where, "keep_days"),
                    f"{check.keep_days} days are asked for, and {check.set} keeps {its.keep.daily} (keep.daily)",
                )


def longest_wait(its: MadeSet) -> float:
    """The seconds from one backup of a day to the next, and the ten minutes that it may take, at their longest."""
    at = [time.hour * 3600.0 + time.minute * 60 for time in its.times]
    gaps = [later - earlier for earlier, later in zip(at, [*at[1:], at[0] + _DAY], strict=True)]
    return max(gaps) + _TAKES_SECONDS


def _plans(site: SiteConfig) -> Found:
    for name, plan in site.plans.items():
        called = plan.role or name
        for number, step in enumerate(plan.steps):
            if not isinstance(step, DatabaseRestored):
                continue
            where: Path = ("plans", name, "steps", number, step.kind)
            role = site.roles.get(called)
            if role is not None and role.database is None:
                yield where, f"the role {called} has no 'database', so that nothing says what is to be restored"
            for place, backups in enumerate(step.backups):
                its = site.backups.get(backups)
                if its is None:
                    continue
                if isinstance(its, FilesSet):
                    yield (*where, "backups", place), f"{backups} holds files, no database"
                elif its.role != called:
                    yield (
                        (*where, "backups", place),
                        f"{backups} is of the role {its.role}, and the plan moves {called}",
                    )
