"""``address``: who answers for a service address? The right machine, and no other beside it (I1)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Literal

from pydantic import Field

from failover.errors import FailoverError, ServerError, Undecidable, Unhealthy
from failover.model import Span
from failover.probes.base import Probe, Seen, Sight, ask, track
from failover.probes.neighbour import who_answers


class AddressProbe(Probe):
    """Up when exactly one machine answers for the address on the wire, and it's the server that should.

    The monitor asks by ARP or Neighbour Discovery where it's on the address's own segment and may; else servers that
    are ask in its place. An unmanaged machine that took the address is found too.
    """

    kind: Literal["address"] = "address"
    address: str = Field(description="The name of the service address.")
    every: Span = Field(default=10.0, gt=0, description="Time from one look to the next.")
    timeout: Span = Field(default=5.0, gt=0, description="Total time that one look may take.")
    listen: Span = Field(default=0.2, ge=0.02, le=5, description="How long to listen for a second answer.")
    through: tuple[str, ...] = Field(
        default=(),
        description="Servers on the address's segment that ask in the monitor's place where it can't. The holder is"
        " always asked then.",
    )
    fails_over: bool = Field(default=False, description="True: it may start a plan.")

    async def look(self, sight: Sight) -> Seen:
        """Ask on the wire first; the holder's helper then says whether the one MAC that answered is its own."""
        ip, holder = sight.service_address(self.address)
        try:
            track().enter("processing")
            macs = await who_answers(ip, self.listen)
            track().leave()
        except Undecidable as error:
            try:
                return await self._through_servers(sight, ip, holder)
            except Undecidable as other:
                raise Undecidable(f"{error}, and {other}") from other
        self._at_most_one(ip, macs)
        if holder is None:
            return self._nobody(ip, macs)
        if not macs:
            raise Unhealthy(f"nobody answers for {ip}; {holder} should")
        try:
            told = await ask(sight, holder, "address", self.timeout, ip=ip)
        except ServerError as error:
            raise Undecidable(f"{macs[0]} answers for {ip}; whether that's {holder} can't be asked: {error}") from error
        return self._is_holders(ip, macs[0], holder, told)

    def _at_most_one(self, ip: str, macs: Iterable[str]) -> None:
        found = sorted(set(macs))
        track().values["address_answers"] = float(len(found))
        if len(found) > 1:
            number = "two" if len(found) == 2 else str(len(found))
            raise Unhealthy(f"{number} machines answer for {ip}: {' and '.join(found)}")

    def _nobody(self, ip: str, macs: list[str]) -> Seen:
        if macs:
            raise Unhealthy(f"{macs[0]} answers for {ip}, and nobody should")
        return Seen(f"nobody answers for {ip}, as it should be")

    def _is_holders(self, ip: str, mac: str, holder: str, told: dict[str, Any]) -> Seen:
        own = str(told.get("mac") or "").lower()
        if not told.get("held"):
            raise Unhealthy(f"{mac} answers for {ip}, and {holder} says that it doesn't hold it")
        if mac != own:
            raise Unhealthy(f"{mac} answers for {ip}, and that isn't {holder}, which is {own or 'without a MAC'}")
        return Seen(f"{holder} ({mac}) answers for {ip}, and nobody else")

    async def _through_servers(self, sight: Sight, ip: str, holder: str | None) -> Seen:
        names = list(dict.fromkeys([*((holder,) if holder else ()), *self.through]))
        if not names:
            raise Undecidable("there is no server to ask in its place; name some under `through`")
        track().enter("ask")
        answers = await asyncio.gather(
            *(sight.ask(name, "address", self.timeout, ip=ip, probe=True) for name in names), return_exceptions=True
        )
        track().leave()
        told: dict[str, dict[str, Any]] = {}
        failures: list[str] = []
        for name, answer in zip(names, answers, strict=True):
            if isinstance(answer, dict):
                told[name] = answer
            elif isinstance(answer, FailoverError):
                failures.append(str(answer))
            else:
                raise answer
        others = [name for name in told if name != holder]
        heard = {name: [str(mac).lower() for mac in told[name].get("answered_by") or ()] for name in told}
        claims = [mac for macs in heard.values() for mac in macs]
        held = [str(answer.get("mac") or name).lower() for name, answer in told.items() if answer.get("held")]
        self._at_most_one(ip, [*claims, *held])
        if not told:
            raise Undecidable("; ".join(failures))
        if holder is None:
            return self._nobody(ip, [*claims, *held])
        if holder not in told:
            seen = f"{claims[0]} answers for {ip}" if claims else f"nobody is heard for {ip} by {', '.join(others)}"
            raise Undecidable(f"{seen}; whether that's {holder} can't be asked: {'; '.join(failures)}")
        if not claims and not held:
            raise Unhealthy(f"nobody answers for {ip}; {holder} should")
        if others and not any(heard[name] for name in others):
            raise Unhealthy(f"{holder} holds {ip}, yet it doesn't answer when {', '.join(others)} asks")
        return self._is_holders(ip, (claims or held)[0], holder, told[holder])
