"""Names that name nothing: every place of the config that speaks of a server, role, address, check or unit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set

from failover.backups import MadeSet
from failover.config.messages import closest, did_you_mean
from failover.config.model import SiteConfig
from failover.config.strict_yaml import Path
from failover.probes.address import AddressProbe
from failover.probes.backup import BackupProbe
from failover.probes.host import HostProbe
from failover.probes.local import LocalProbe
from failover.recover.steps import (
    Connected,
    ContentSynced,
    DatabaseRestored,
    ServiceParked,
    ServiceRunning,
    ServiceStopped,
    ShadowReady,
)

Found = Iterator[tuple[Path, str]]
Declared = Mapping[str, Set[str] | None]
"""By section, the names that stand in the file, those of wrong entries among them; None: no names can be read there."""

_SINGULAR = {
    "servers": "server", "roles": "role", "addresses": "address", "checks": "check", "backups": "backup set",
}  # fmt: skip


def unknown_names(site: SiteConfig, declared: Declared) -> Found:
    """Every reference to something that the site doesn't have."""
    for section, where, name in (*_of_roles(site), *_of_checks(site), *_of_plans(site), *_of_backups(site)):
        known = names(declared, section)
        if known is not None and name not in known:
            yield where, unknown(_SINGULAR[section], name, known)


def names(declared: Declared, section: str) -> Set[str] | None:
    """The names in a section; None where that can't be known, so that nothing is said of them."""
    return declared.get(section, frozenset())


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """``there is no server 'wbe'; did you mean 'web'?``"""
    return f"there is no {what} {name!r}{did_you_mean(name, sorted(known))}"


def unknown_units(site: SiteConfig) -> Found:
    """Units that look like a slip of the pen beside those that the roles name."""
    units = {_plain(role.unit) for role in site.roles.values() if role.unit}
    for where, unit in _units(site):
        if _plain(unit) not in units and (close := closest(_plain(unit), units)) and _slip(_plain(unit), close):
            yield where, f"no role has the unit {unit!r}; did you mean {close!r}?"


def _of_roles(site: SiteConfig) -> Iterator[tuple[str, Path, str]]:
    for name, role in site.roles.items():
        yield "servers", ("roles", name, "home"), role.home
        yield "servers", ("roles", name, "standby"), role.standby
        for number, address in enumerate(role.address):
            yield "addresses", ("roles", name, "address", number), address


def _of_checks(site: SiteConfig) -> Iterator[tuple[str, Path, str]]:
    for name, check in site.checks.items():
        where = ("checks", name)
        if check.role is not None:
            yield "roles", (*where, "role"), check.role
        if check.server is not None:
            yield "servers", (*where, "server"), check.server
        for number, other in enumerate(check.depends_on):
            yield "checks", (*where, "depends_on", number), other
        if isinstance(check, AddressProbe):
            yield "addresses", (*where, "address"), check.address
            for number, server in enumerate(check.through):
                yield "servers", (*where, "through", number), server
        if isinstance(check, LocalProbe):
            for number, address in enumerate(check.addresses):
                yield "addresses", (*where, "addresses", number), address
        if isinstance(check, BackupProbe):
            yield "backups", (*where, "set"), check.set


def _of_backups(site: SiteConfig) -> Iterator[tuple[str, Path, str]]:
    for name, its in site.backups.items():
        where = ("backups", name)
        yield "roles", (*where, "role"), its.role
        yield "servers", (*where, "on"), its.on
        if isinstance(its, MadeSet) and its.also_on is not None:
            yield "servers", (*where, "also_on"), its.also_on


def _of_plans(site: SiteConfig) -> Iterator[tuple[str, Path, str]]:
    for name, plan in site.plans.items():
        where = ("plans", name)
        if plan.role is not None:
            yield "roles", (*where, "role"), plan.role
        for check in plan.condition.checks if plan.condition else ():
            yield "checks", (*where, "when"), check
        for number, step in enumerate(plan.steps):
            at = (*where, "steps", number, step.kind)
            if isinstance(address := getattr(step, "address", None), str):
                yield "addresses", (*at, "address"), address
            if isinstance(looked_at := getattr(step, "check", None), str):
                yield "checks", (*at, "check"), looked_at
            if isinstance(step, ServiceRunning) and step.heals is not None:
                yield "checks", (*at, "heals"), step.heals
            if isinstance(step, ContentSynced):
                yield "roles", (*at, "from"), step.source
            if isinstance(step, Connected):
                yield "roles", (*at, "role"), step.role
                if step.database is not None:
                    yield "roles", (*at, "database"), step.database
            if isinstance(step, DatabaseRestored | ShadowReady):
                for place, backups in enumerate(step.backups):
                    yield "backups", (*at, "backups", place), backups


def _units(site: SiteConfig) -> Iterator[tuple[Path, str]]:
    for name, check in site.checks.items():
        if isinstance(check, HostProbe):
            for number, unit in enumerate(check.services):
                yield ("checks", name, "services", number), unit
    for name, plan in site.plans.items():
        for number, step in enumerate(plan.steps):
            where = ("plans", name, "steps", number, step.kind)
            if isinstance(step, ServiceRunning | ServiceStopped | ServiceParked):
                yield (*where, "unit"), step.unit
            if isinstance(step, Connected) and step.restart is not None:
                yield (*where, "restart"), step.restart


def _plain(unit: str | None) -> str:
    return (unit or "").removesuffix(".service")


def _slip(word: str, meant: str) -> bool:
    """Two letters exchanged, or one too many, missing or wrong; ``wcm-a`` beside ``wcm-b`` is another unit."""
    if any(character.isdigit() or character in "-_@." for character in {*word} ^ {*meant}):
        return False
    if sorted(word) == sorted(meant):
        return True
    longer, shorter = sorted((word, meant), key=len, reverse=True)
    return len(longer) - len(shorter) == 1 and any(
        longer[:place] + longer[place + 1 :] == shorter for place in range(len(longer))
    )
