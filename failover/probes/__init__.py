"""Probes look. One file a kind; ``AnyProbe`` is the registry: a new kind is its file and one line here."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from failover.probes.address import AddressProbe
from failover.probes.backup import BackupProbe
from failover.probes.base import Probe, Seen, Sight
from failover.probes.database import DatabaseProbe
from failover.probes.host import HostProbe
from failover.probes.http import HttpProbe
from failover.probes.local import LocalProbe
from failover.probes.ping import PingProbe
from failover.probes.selfwatch import SelfWatch
from failover.probes.ssh import SshProbe
from failover.probes.tcp import TcpProbe
from failover.probes.tls import TlsProbe

AnyProbe = Annotated[
    AddressProbe
    | BackupProbe
    | DatabaseProbe
    | HostProbe
    | HttpProbe
    | LocalProbe
    | PingProbe
    | SshProbe
    | TcpProbe
    | TlsProbe,
    Field(discriminator="kind"),
]
"""A check as the config writes it; ``kind`` says which."""

__all__ = ["AnyProbe", "Probe", "Seen", "SelfWatch", "Sight"]
