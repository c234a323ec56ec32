"""``tls``: will the certificate still be good when people come to work? Alarms only; a backup shows the same one."""

from __future__ import annotations

import math
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import Field

from failover.errors import Unhealthy
from failover.model import Span, utc_now
from failover.probes.base import Seen, Sight, track
from failover.probes.dial import dial
from failover.probes.resolve import Family
from failover.probes.target import AddressedProbe
from failover.probes.trust import Certificate, context, presented
from failover.probes.wire import Wire

_DAY = 86400.0


class TlsProbe(AddressedProbe):
    """Up when the certificate is believed, is for ``name``, and lasts longer than ``warn_before``.

    Days to expiry are measured of the whole chain that is shown, also when it isn't believed.
    """

    kind: Literal["tls"] = "tls"
    every: Span = Field(default=3600.0, gt=0, description="Time from one look to the next.")
    timeout: Span = Field(default=10.0, gt=0, description="Total time that one look may take.")
    confirm_every: Span = Field(default=10.0, gt=0, description="After a failed look the next follow at this distance.")
    port: int = Field(default=443, ge=1, le=65535, description="The port that speaks TLS from the first byte.")
    family: Family = Field(default="any", description="Which addresses of a name to use: `any`, `ipv4` or `ipv6`.")
    name: str | None = Field(
        default=None, min_length=1, description="The name on the certificate; left out, the address that is looked at."
    )
    ca_file: Path | None = Field(default=None, description="The CA to believe instead of the system's.")
    warn_before: Span = Field(default=30 * _DAY, gt=0, description="How long before its end to call people.")
    fails_over: Literal[False] = Field(default=False, description="Always false: a backup shows the same certificate.")

    async def look(self, sight: Sight) -> Seen:
        """Shake hands as a browser would; if the certificate won't do, once more believing anything."""
        where = self.where(sight)
        name = self.name or where
        trouble = ""
        wire = await dial(where, self.port, self.family)
        try:
            try:
                await self._secure(wire, context(ca_file=self.ca_file), name)
            except ssl.SSLCertVerificationError as error:
                trouble = error.verify_message
                wire.close()
                wire = await dial(where, self.port, self.family)
                await self._secure(wire, context(verify=False), name)
            tls = wire.tls
            chain = presented(tls) if tls is not None else []
        except ValueError as error:
            raise Unhealthy(f"{wire.where} shows a certificate that can't be read: {error}") from error
        finally:
            wire.close()
        return self._judge(chain, trouble, name, utc_now())

    @staticmethod
    async def _secure(wire: Wire, trust: ssl.SSLContext, name: str) -> None:
        done = track()
        done.enter("tls")
        await wire.secure(trust, name)
        done.leave()

    def _judge(self, chain: Sequence[Certificate], trouble: str, name: str, now: datetime) -> Seen:
        if not chain:
            raise Unhealthy("the server shows no certificate")
        first = min(chain, key=lambda each: each.not_after)
        left = (first.not_after - now).total_seconds()
        track().values["ssl_earliest_cert_expiry"] = first.not_after.timestamp()
        whose = "the certificate" if first is chain[0] else f"the intermediate certificate {first.subject}"
        day = first.not_after.astimezone(UTC).date().isoformat()
        if left <= 0:
            raise Unhealthy(f"{whose} of {name} ended on {day}, {_days(-left)} ago")
        if trouble:
            names = f"; it is for {', '.join(chain[0].names) or chain[0].subject}" if "mismatch" in trouble else ""
            raise Unhealthy(f"{name}: {trouble}{names} (ends on {day}, in {_days(left)})")
        if left < self.warn_before:
            raise Unhealthy(f"{whose} of {name} ends on {day}, in {_days(left)}")
        return Seen(f"{whose} of {name} lasts {_days(left)} more, until {day}")


def _days(seconds: float) -> str:
    return f"{math.floor(seconds / _DAY)} d" if seconds >= _DAY else f"{math.floor(seconds / 3600)} h"
