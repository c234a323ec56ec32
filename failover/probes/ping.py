"""``ping``: does the machine's kernel answer? It does for a frozen server too: use it for witnesses and root causes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from failover.probes.base import Seen, Sight, track
from failover.probes.icmp import echoer
from failover.probes.resolve import Family, resolve
from failover.probes.target import AddressedProbe


class PingProbe(AddressedProbe):
    """Up when one of ``count`` echo requests, sent over the first half of the time, is answered."""

    kind: Literal["ping"] = "ping"
    count: int = Field(
        default=3, ge=1, le=10, description="Requests to send until one is answered: one lost packet is no outage."
    )
    family: Family = Field(default="any", description="Which address of a name to use: `any`, `ipv4` or `ipv6`.")

    async def look(self, sight: Sight) -> Seen:
        """Send, wait, send again."""
        where = self.where(sight)
        done = track()
        done.enter("resolve")
        address = (await resolve(where, 0, self.family))[0]
        done.enter("processing")
        seconds, lost = await echoer(address[0]).echo(address, self.count, self.timeout / (2 * self.count))
        done.leave()
        after = f", after {lost} lost" if lost else ""
        return Seen(
            f"{address[1][0]} answers in {seconds * 1000:.1f} ms{after}",
            {"processing": seconds},
            {"icmp_lost": float(lost)},
        )
