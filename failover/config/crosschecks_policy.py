"""What no server's policy could hold: said at its line, and not by ``failover enroll`` in the middle of its work."""

from __future__ import annotations

import re
from collections.abc import Iterator

from failover.config.model import SiteConfig
from failover.config.references import Found
from failover.config.strict_yaml import Path
from failover.probes.host import HostProbe
from failover.recover.steps import Connected, ServiceRunning, ServiceStopped

_UNIT = re.compile(r"(?!-)[A-Za-z0-9:_.@-]{1,200}")
_ACCOUNT = re.compile(r"[a-z_][a-z0-9_-]{0,31}")


def crosscheck(site: SiteConfig) -> Found:
    """All of it."""
    for where, unit in _units(site):
        if not _UNIT.fullmatch(unit):
            yield where, f"{unit!r} is not the name of a systemd unit, as nginx"
    for name, role in site.roles.items():
        for key, account in (("owner", role.owner), ("group", role.group)):
            if account is not None and not _ACCOUNT.fullmatch(account):
                yield ("roles", name, key), f"{account!r} is not the name of an account, as www-data"
    for name, server in site.servers.items():
        for command, argv in server.commands.items():
            if not argv[0].startswith("/"):
                yield (
                    ("servers", name, "commands", command),
                    f"{argv[0]!r} is not an absolute path: nobody searches for a program that runs as root",
                )
    for name, address in site.addresses.items():
        if address.interface.startswith("-") or address.interface in (".", ".."):
            yield (
                ("addresses", name, "interface"),
                f"{address.interface!r} is not the name of a network interface, as eth0",
            )


def _units(site: SiteConfig) -> Iterator[tuple[Path, str]]:
    for name, role in site.roles.items():
        if role.unit is not None:
            yield ("roles", name, "unit"), role.unit
    for name, check in site.checks.items():
        if isinstance(check, HostProbe):
            for number, unit in enumerate(check.services):
                yield ("checks", name, "services", number), unit
    for name, plan in site.plans.items():
        for number, step in enumerate(plan.steps):
            if isinstance(step, ServiceRunning | ServiceStopped):
                yield ("plans", name, "steps", number, step.kind, "unit"), step.unit
            if isinstance(step, Connected) and step.restart is not None:
                yield ("plans", name, "steps", number, step.kind, "restart"), step.restart
