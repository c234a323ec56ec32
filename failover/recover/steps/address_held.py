"""``address_held``: the new server answers for an address."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from pydantic import Field

from failover.errors import ServerError, StepRefused
from failover.recover.address import Address
from failover.recover.problem import Problem
from failover.recover.proof import evidence, parked
from failover.recover.scene import Scene
from failover.recover.step import Change, Step, Todo

_DAD_SECONDS = 4.0
_DAD_LOOK_SECONDS = 0.1
_OURS_TO_JUDGE = frozenset({"refused", "failed"})
_NOT_DONE_BUT_MAY_BE_REPEATED = frozenset({"past-deadline", "other-boot", "busy"})


class AddressHeld(Step):
    """The new server holds the address on the right interface and answers for it, alone.

    Nothing is given without proof that the old one let go (I2), which is looked at once more here; and the helper
    itself asks the network first whether anybody answers (RFC 5227 for IPv4, RFC 4862 for IPv6).
    """

    kind: Literal["address_held"] = "address_held"
    address: str = Field(description="The service address, by its name under `addresses`.")

    def title(self, scene: Scene) -> str:
        """See :class:`Step`."""
        return f"{self.address} held by {scene.new}"

    def todo(self, scene: Scene) -> Todo:
        """See :class:`Step`."""
        address = scene.addresses[self.address]
        if _held(self._settled(scene, address), address):
            return
        if not scene.dry:
            found = evidence(scene, self.address)
            if found.proof is None:
                raise StepRefused(
                    f"{scene.new} isn't given {address.host}: nothing proves that {scene.old} let go of it: {found.why}"
                )
        args = {"ip": address.host, "interface": address.interface, "prefix": address.prefix, "want": "held"}
        says = f"give {address.ip} on {address.interface} to {scene.new}"
        outcome = yield Change(scene.new, "address", args, says, within_seconds=5, tolerates=_OURS_TO_JUDGE)
        if outcome is None or outcome.result not in _OURS_TO_JUDGE or outcome.kind in _NOT_DONE_BUT_MAY_BE_REPEATED:
            return
        raise StepRefused(f"{scene.new} can't have {address.host} ({outcome.kind}): {outcome.sentence}")

    def _settled(self, scene: Scene, address: Address) -> Mapping[str, Any]:
        """What the server says, once it knows itself: an IPv6 address is tentative at first (RFC 4862)."""
        give_up = scene.clock() + _DAD_SECONDS
        while True:
            answer = scene.server(scene.new).ask("address", ip=address.host)
            if not answer.get("tentative") or answer.get("dadfailed") or scene.clock() >= give_up:
                return answer
            scene.wait(_DAD_LOOK_SECONDS)

    def undo(self, scene: Scene) -> Todo:
        """See :class:`Step`."""
        address = scene.addresses[self.address]
        if not self._given(scene) or parked(scene.server(scene.new).ask("address", ip=address.host)):
            return
        args = {"ip": address.host, "interface": address.interface, "prefix": address.prefix, "want": "released"}
        yield Change(scene.new, "address", args, f"take {address.ip} from {scene.new}", within_seconds=5)

    def undo_problem(self, scene: Scene) -> str | None:
        """See :class:`Step`."""
        if not self._given(scene):
            return None
        try:
            scene.server(scene.new).ask("address", ip=scene.addresses[self.address].host)
        except ServerError as error:
            return f"{scene.new}, which was given {self.address}, doesn't answer ({error.sentence})"
        return None

    def _given(self, scene: Scene) -> bool:
        host = scene.addresses[self.address].host
        return any(
            made.outcome.touched and made.args["ip"] == host and made.args["want"] == "held"
            for made in scene.made(scene.new, "address")
        )

    def problems(self, scene: Scene) -> Iterator[Problem]:
        """See :class:`Step`. Finds the wrong interface, subnet or policy in daylight, and who else has the address."""
        address = scene.addresses[self.address]
        server = scene.server(scene.new)
        server.ask("address", ip=address.host)
        facts = server.ask("facts", sections=["interfaces", "addresses"])
        at = scene.now()
        found = {interface["name"]: interface for interface in facts["interfaces"]}
        interface = found.get(address.interface)
        if interface is None:
            there = ", ".join(sorted(found))
            yield Problem(f"{scene.new} has no interface {address.interface}; it has {there}", "stops", scene.new, at)
            return
        if not interface["up"] or not interface["carrier"]:
            state = "without a link" if interface["up"] else "down"
            yield Problem(f"{address.interface} of {scene.new} is {state}", "stops", scene.new, at)
            return
        if (misfit := _misfit(address, facts["addresses"])) is not None:
            yield Problem(f"{scene.new}'s {address.interface}: {misfit}", "stops", scene.new, at)
        yield from self._strangers(scene, address)

    def _strangers(self, scene: Scene, address: Address) -> Iterator[Problem]:
        """Whoever answers for the address besides its holder, asked from the standby: it couldn't be given then."""
        answer = scene.server(scene.new).ask("address", ip=address.host, probe=True)
        others = {str(mac).lower() for mac in answer.get("answered_by") or ()}
        if not others:
            return
        try:
            old = scene.server(scene.old).ask("address", ip=address.host)
        except ServerError as error:
            text = f"{', '.join(sorted(others))} answers for {address.host}; whether that is {scene.old} can't be asked"
            yield Problem(f"{text} ({error.sentence})", "hint", scene.old, scene.now())
            return
        others -= {str(old["mac"]).lower()} if old["held"] and not old["parked"] else set()
        if others:
            text = f"{', '.join(sorted(others))} answers for {address.host} and isn't {scene.old}"
            yield Problem(f"{text}: {scene.new} couldn't be given it", "stops", scene.new, scene.now())


def _misfit(address: Address, there: Iterable[Mapping[str, Any]]) -> str | None:
    """Why the address doesn't fit the interface's own networks, or None."""
    own = [
        ipaddress.ip_interface(f"{entry['ip']}/{entry['prefix']}").network
        for entry in there
        if entry["interface"] == address.interface and entry["ip"] != address.host
    ]
    networks = ", ".join(str(network) for network in own)
    around = [network for network in own if ipaddress.ip_address(address.host) in network]
    if own and not around:
        return f"{address.host} isn't in its network ({networks}): nobody would reach it"
    if around and address.prefix is not None and address.prefix < min(network.prefixlen for network in around):
        return f"{address.ip} is wider than its network ({networks}): what lies between wouldn't be reached any more"
    return None


def _held(answer: Mapping[str, Any], address: Address) -> bool:
    return bool(
        answer["held"]
        and not answer["parked"]
        and not answer.get("tentative")
        and not answer.get("dadfailed")
        and answer["interface"] == address.interface
        and (address.prefix is None or answer["prefix"] == address.prefix)
    )
