"""What a check looks at, in words that another server's helper understands (verb ``see``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from failover.probes.base import Probe, Sight
from failover.probes.database import PORTS, DatabaseProbe
from failover.probes.http import HttpProbe
from failover.probes.ping import PingProbe
from failover.probes.tcp import TcpProbe
from failover.probes.tls import TlsProbe
from failover.recover.scene import Page


def page(probe: Probe, sight: Sight) -> Page | None:
    """What an HTTP check asks for; None for other kinds."""
    if not isinstance(probe, HttpProbe):
        return None
    url = probe.place(probe.url, sight, in_url=True)
    host = None
    if probe.connect:
        parts = urlsplit(url)
        host = parts.netloc
        ip = probe.place(probe.connect, sight)
        port = f":{parts.port}" if parts.port else ""
        url = urlunsplit(parts._replace(netloc=(f"[{ip}]" if ":" in ip else ip) + port))
    contains = probe.expect.contains
    return Page(url, host, contains[0] if contains else None)


def shown_at(probe: Probe, sight: Sight, address: str) -> TlsProbe | None:
    """The look at the certificate that the server at ``address`` shows to who asks for an https check's name.

    None where the check isn't https, or takes any certificate.
    """
    if not isinstance(probe, HttpProbe) or not probe.verify:
        return None
    parts = urlsplit(probe.place(probe.url, sight, in_url=True))
    if parts.scheme != "https" or parts.hostname is None:
        return None
    port = parts.port or 443
    return TlsProbe(
        address=address, port=port, name=parts.hostname, ca_file=probe.ca_file, warn_before=1.0, timeout=5.0
    )


def sighting_args(probe: Probe, sight: Sight) -> dict[str, Any] | None:
    """Arguments of ``see`` for the same look from elsewhere; None when no other server can take it."""
    found = page(probe, sight)
    if found is not None:
        given = {"url": found.url, "host": found.host, "contains": found.contains}
        return {name: value for name, value in given.items() if value is not None}
    if isinstance(probe, DatabaseProbe):
        return {"ip": probe.where(sight), "port": probe.port or PORTS[probe.engine], "speaks": probe.engine}
    if isinstance(probe, TcpProbe):
        return {"ip": probe.where(sight), "port": probe.port}
    if isinstance(probe, PingProbe):
        return {"ip": probe.where(sight)}
    return None


def sighted(probe: Probe, answer: Mapping[str, Any]) -> bool | None:
    """What another server's answer means for the check: an error page that it sees too is no page that is seen."""
    status = answer.get("status")
    if not answer.get("seen") or not isinstance(probe, HttpProbe) or not isinstance(status, int) or status < 400:
        return answer.get("seen")  # a redirect is followed by the monitor alone
    if status in probe.blocked:
        return None
    return probe.expect.takes(status)


def target(probe: Probe, sight: Sight) -> str | None:
    """The server that a check looks at now: its own, or the holder of its role."""
    if probe.server is not None:
        return probe.server
    return sight.holder(probe.role) if probe.role is not None else None
