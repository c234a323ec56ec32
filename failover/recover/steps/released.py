"""``released``: the old server let go of an address, and that is proven."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field

from failover.errors import ServerError, StepRefused
from failover.model import Span
from failover.recover import letting_go
from failover.recover.address import Address, ReadBack
from failover.recover.outcome import Outcome
from failover.recover.problem import Problem
from failover.recover.proof import evidence, read_back, switched_off
from failover.recover.scene import Scene
from failover.recover.step import ANY_FAILURE, Change, Step, Todo
from failover.recover.work import ASSUMED_SECONDS, Like, Told, Waits, Work


class Released(Step):
    """The old server doesn't answer for the address any more, and there is proof of it (I2)."""

    kind: Literal["released"] = "released"
    address: str = Field(description="The service address, by its name under `addresses`.")
    fence_within: Span = Field(default=30.0, gt=0, description="How long a fence may take to confirm.")

    def title(self, scene: Scene) -> str:
        """See :class:`Step`."""
        return f"{self.address} released by {scene.old}"

    def words(self, scene: Scene) -> tuple[str, ...]:
        """See :class:`Step`."""
        return letting_go.words(scene.old, scene.addresses[self.address].release)

    def todo(self, scene: Scene) -> Todo:
        """See :class:`Step`. Tries the proofs in the order of the config, each as long as it can still help."""
        address = scene.addresses[self.address]
        found = evidence(scene, self.address)
        if found.proof is not None:
            return
        change, old = self._let_go(scene.old, address), scene.old
        tried = yield from letting_go.let_go(
            scene, old, address.release, found, change, lambda: scene.made(old, "address"), self.fence_within
        )
        if not tried:
            seen = f"nothing proves that {old} let go of {address.host}: {found.why}"
            then = (f"{scene.new} takes the address", "two servers would answer for it")
            letting_go.wait_for_proof(scene, old, address.release, self.address, seen, then)

    def news(self, scene: Scene, change: Change, outcome: Outcome) -> tuple[str, dict[str, Any]] | None:
        """See :class:`Step`."""
        if change.verb != "address" or change.args["want"] != "released":
            return None
        return "server.parked", {"server": change.server, "address": self.address}

    def _let_go(self, server: str, address: Address) -> Change:
        args = {"ip": address.host, "interface": address.interface, "prefix": address.prefix, "want": "released"}
        return Change(
            server, "address", args, f"take {address.ip} from {server}", within_seconds=5, tolerates=ANY_FAILURE
        )

    def undo(self, scene: Scene) -> Todo:
        """See :class:`Step`. Gives the address back to a server that this run took it from, once the new one let go."""
        address = scene.addresses[self.address]
        scene.proofs.pop(self.address, None)
        if not self._taken(scene):
            return
        answer = scene.server(scene.old).ask("address", ip=address.host)
        if answer["held"] and not answer["parked"]:
            return
        found = read_back(scene, scene.new, address)
        if found.held:
            raise StepRefused(f"{scene.new} still holds {address.host}, so {scene.old} can't have it back")
        if found.held is None:
            raise StepRefused(f"{found.why}, so nothing proves that {scene.old} may have {address.host} back")
        args = {"ip": address.host, "interface": address.interface, "prefix": address.prefix, "want": "held"}
        says = f"give {address.ip} on {address.interface} back to {scene.old}"
        yield Change(scene.old, "address", args, says, within_seconds=5)

    def undo_problem(self, scene: Scene) -> str | None:
        """See :class:`Step`."""
        if fenced := letting_go.fence_used(scene, scene.old):
            return fenced
        if not self._taken(scene):
            return None
        try:
            scene.server(scene.old).ask("address", ip=scene.addresses[self.address].host)
        except ServerError as error:
            return f"{scene.old}, which had {self.address}, doesn't answer ({error.sentence})"
        return None

    def _taken(self, scene: Scene) -> bool:
        host = scene.addresses[self.address].host
        return any(
            made.outcome.touched
            for made in scene.made(scene.old, "address")
            if made.args["ip"] == host and made.args["want"] == "released"
        )

    def work(self, scene: Scene) -> Iterator[Told]:
        """See :class:`Step`. Usually the old server lets go by itself; a silent one takes a fence, or a person."""
        address, fence = scene.addresses[self.address], f"fence:{scene.old}"
        within = letting_go.taking(scene, scene.old, address.release, self.fence_within)
        if within is None:
            who = f"a person's word (`{switched_off(scene.old)}`)" if self.words(scene) else "that it answers again"
            yield Waits(f"where {scene.old} is silent, the address waits for {who}")
        step, change = f"step {self.kind}", "address released"
        like = (
            Like(step, self.address, scene.new),
            Like(step, self.address),
            Like(change, address.host, scene.old),
            Like(change, address.host),
        )
        instead = Work("fence", (Like("fence off", "", fence),), within, within) if within is not None else None
        yield Work(self.title(scene), like, ASSUMED_SECONDS[self.kind], otherwise=instead)

    def problems(self, scene: Scene) -> Iterator[Problem]:
        """See :class:`Step`."""
        address = scene.addresses[self.address]
        if any(isinstance(proof, ReadBack) for proof in address.release):
            scene.server(scene.old).ask("address", ip=address.host)
        if text := letting_go.fence_unclear(scene, scene.old, address.release):
            yield Problem(text, "stops", f"fence:{scene.old}", scene.now())
