"""What a site's monitor is given to work with: settings from the config, and the living servers behind their names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from failover.backups import BackupSet
from failover.decide.situation import Limits
from failover.model import Span
from failover.probes.base import Probe
from failover.recover.address import Address
from failover.recover.databases import Database
from failover.recover.plan import Plan
from failover.servers.base import Servers
from failover.servers.policy import Policy


@dataclass(frozen=True, slots=True)
class RoleSetup:
    """A role as the config has it: its two servers, its addresses, where its content lies, and its database."""

    home: str
    standby: str
    addresses: tuple[str, ...] = ()
    path: str | None = None
    database: Database | None = None
    unit: str | None = None

    def other(self, server: str) -> str:
        """The server of the pair that isn't the named one."""
        return self.standby if server == self.home else self.home


@dataclass(frozen=True)
class Setup:
    """One site. Frozen: a reload makes a new one."""

    site: str
    roles: Mapping[str, RoleSetup]
    addresses: Mapping[str, Address]
    checks: Mapping[str, Probe]
    witnesses: Mapping[str, Probe]
    plans: Mapping[str, Plan]
    servers: Servers
    """Every server by name, and every fence as ``fence:NAME``."""
    hosts: Mapping[str, str]
    """The address of each server at which the monitor and the other servers reach it."""
    backups: Mapping[str, BackupSet] = field(default_factory=dict)
    """The backup sets, by name."""
    timezone: str = "UTC"
    """In which the times of the calendar are."""
    limits: Limits = field(default_factory=Limits)
    policy: Callable[[str], Policy | None] = lambda _server: None
    """What a server's helper is to be allowed by the config of now; None where nobody enrolls it."""
    world_every: Span = 3.0
    """How often every server is asked for its facts."""
    ready_every: Span = 60.0
    """How often it is asked whether the plans would work."""
    ahead_every: Span = 300.0
    """How often content is compared with its source and copied ahead."""
    settle: Span = 300.0
    """How long something must keep working until its incident closes by itself."""

    @property
    def machines(self) -> tuple[str, ...]:
        """The servers without the fences."""
        return tuple(name for name in self.servers if not name.startswith("fence:"))

    def role_of_plan(self, plan: str) -> str | None:
        """The role that a plan moves: as it says, or the role of its name."""
        role = self.plans[plan].role or plan
        return role if role in self.roles else None

    def plan_of_role(self, role: str) -> str | None:
        """The plan that moves a role; the one of the role's name first."""
        names = sorted(self.plans, key=lambda name: name != role)
        return next((name for name in names if self.role_of_plan(name) == role), None)
