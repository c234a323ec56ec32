"""What a server may do with databases, derived from the config: those of the roles that it can hold."""

from __future__ import annotations

from collections.abc import Iterator

from failover.config.backups_policy import LOOPBACK
from failover.config.model import SiteConfig
from failover.servers.policy import PolicyDatabase


def entries(site: SiteConfig, server: str) -> Iterator[PolicyDatabase]:
    """The databases that a server has, or may be given."""
    for role in site.roles.values():
        its = role.database
        if its is None or server not in (role.home, role.standby):
            continue
        yield PolicyDatabase(
            its.name, its.engine, its.owner, its.user, LOOPBACK, its.listens_on, its.password_file, its.queries
        )
