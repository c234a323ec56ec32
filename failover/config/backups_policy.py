"""What a server may do with backups, derived from the config: make, keep, copy and read those that concern it."""

from __future__ import annotations

from collections.abc import Iterator

from failover.backups import BackupSet, DatabaseSet, FilesSet, FoundSet, MadeSet
from failover.config.model import SiteConfig
from failover.servers.policy import PolicyBackups, PolicyDump

LOOPBACK = "127.0.0.1"


def entries(site: SiteConfig, server: str) -> Iterator[PolicyBackups]:
    """The sets that a server has backups of, or may be given some of, to restore them."""
    for name, its in site.backups.items():
        if server not in keepers(site, its):
            continue
        makes = server == its.on
        store = its.store if isinstance(its, MadeSet) and makes else None
        yield PolicyBackups(
            set=name,
            kind=its.kind,
            path=its.path,
            dump=_dump(site, its, server) if isinstance(its, DatabaseSet) and makes else None,
            paths=its.paths if isinstance(its, FilesSet) and makes else (),
            pattern=its.pattern if isinstance(its, FoundSet) else None,
            settle_seconds=its.settle if isinstance(its, FoundSet) else None,
            store={"kind": store.kind, "repository": store.repository, "password_file": store.password_file}
            if store
            else None,
        )


def keepers(site: SiteConfig, its: BackupSet) -> tuple[str, ...]:
    """Where a set's backups lie, and where a database's may be brought to, to be restored."""
    role = site.roles.get(its.role)
    pair = (role.home, role.standby) if role is not None and isinstance(its, DatabaseSet) else ()
    return tuple(dict.fromkeys((*its.servers, *pair)))


def served(site: SiteConfig, server: str) -> Iterator[str]:
    """Folders of a server that others pull backups from, or archive."""
    for its in site.backups.values():
        if isinstance(its, MadeSet) and server in its.servers:
            yield its.path
        role = site.roles.get(its.role)
        if isinstance(its, FilesSet) and role is not None and server in (role.home, role.standby):
            yield from its.paths


def sources(site: SiteConfig, server: str) -> set[str]:
    """The servers that this one may have to pull backups from, or folders to archive."""
    found: set[str] = set()
    for its in site.backups.values():
        role = site.roles.get(its.role)
        if isinstance(its, MadeSet) and server in keepers(site, its):
            found |= set(its.servers)
        if isinstance(its, FilesSet) and role is not None and server == its.on:
            found |= {role.home, role.standby}
    return found - {server}


def _dump(site: SiteConfig, its: DatabaseSet, server: str) -> PolicyDump | None:
    role = site.roles[its.role]
    if role.database is None:
        return None
    places = {
        name: (LOOPBACK if name == server else site.servers[name].ssh.host, role.database.listens_on)
        for name in (role.home, role.standby)
    }
    its_own = role.database
    return PolicyDump(its_own.engine, its_own.name, its_own.user, its_own.password_file, places, its.format)
