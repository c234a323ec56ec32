"""``released``: the old server let go of an address, and that is proven."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field

from failover.errors import NeedsPerson, ServerError, StepRefused
from failover.model import RunKind, Span
from failover.recover.address import Address, FenceProof, PersonProof, ReadBack, SilenceProof
from failover.recover.outcome import Outcome
from failover.recover.problem import Problem
from failover.recover.proof import Evidence, evidence, read_back, switched_off
from failover.recover.scene import Scene
from failover.recover.step import ANY_FAILURE, Change, Step, Todo
from failover.recover.work import ASSUMED_SECONDS, Like, Told, Waits, Work

_TRIES_AT_ONCE = 2
_FIRST_PAUSE_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 300.0


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
        address = scene.addresses[self.address]
        accepted = any(isinstance(proof, PersonProof) for proof in address.release)
        return (switched_off(scene.old),) if accepted else ()

    def todo(self, scene: Scene) -> Todo:
        """See :class:`Step`. Tries the proofs in the order of the config, each as long as it can still help."""
        address = scene.addresses[self.address]
        found = evidence(scene, self.address)
        if found.proof is not None:
            return
        for proof in address.release:
            match proof:
                case ReadBack() if found.held is not None and _due(scene, scene.old, "address"):
                    change = self._let_go(scene.old, address)
                case FenceProof() if _may_fence(scene) and _due(scene, f"fence:{scene.old}", "fence"):
                    change = self._cut_off(scene)
                case _:
                    continue
            done = yield change
            if done is None or done.ok or len(scene.made(change.server, change.verb)) < _TRIES_AT_ONCE:
                return  # whether that is proof, the next look says
        self._wait_for_proof(scene, address, found)

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

    def _cut_off(self, scene: Scene) -> Change:
        return Change(
            f"fence:{scene.old}", "fence", {"want": "off"}, f"cut {scene.old} off by its fence",
            within_seconds=self.fence_within, tolerates=ANY_FAILURE,
        )  # fmt: skip

    def _wait_for_proof(self, scene: Scene, address: Address, found: Evidence) -> None:
        seen = f"nothing proves that {scene.old} let go of {address.host}: {found.why}"
        if scene.kind is RunKind.SWITCH:
            raise StepRefused(f"{seen}; a switch is for two healthy servers")
        if not self.words(scene):
            raise NeedsPerson(
                f"{seen}. The config accepts no person's word for {self.address}, so {scene.old} has to answer again, "
                "or one of its other proofs has to hold",
                word="",
            )
        raise NeedsPerson(
            f"Is {scene.old} switched off or unplugged? {seen[0].upper()}{seen[1:]}. Go and see; if it is off, confirm "
            f"`{switched_off(scene.old)}`: then {scene.new} takes the address. While {scene.old} still runs, don't: "
            "two servers would answer for it",
            word=switched_off(scene.old),
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
        if any(made.outcome.touched for made in scene.made(f"fence:{scene.old}", "fence")):
            return f"{scene.old} was cut off by its fence"
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
        kinds = {type(proof) for proof in address.release}
        within: float | None = None
        if FenceProof in kinds and fence in scene.servers:
            within = self.fence_within
        for proof in address.release:
            if within is None and isinstance(proof, SilenceProof):
                within = proof.time
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
        kinds = {type(proof) for proof in address.release}
        if ReadBack in kinds:
            scene.server(scene.old).ask("address", ip=address.host)
        fence = f"fence:{scene.old}"
        if FenceProof in kinds and fence in scene.servers:
            off = scene.servers[fence].ask("fence", within_seconds=10).get("off")
            if off is None:
                text = f"the fence of {scene.old} can't say whether {scene.old} is on"
                yield Problem(text, "stops", fence, scene.now())


def _may_fence(scene: Scene) -> bool:
    return f"fence:{scene.old}" in scene.servers and scene.kind is RunKind.RECOVER


def _due(scene: Scene, server: str, verb: str) -> bool:
    """Twice at once, then with growing pauses: a run may wait for days, and every try is written down."""
    tries = scene.made(server, verb)
    if len(tries) < _TRIES_AT_ONCE:
        return True
    pause = min(_FIRST_PAUSE_SECONDS * 2.0 ** min(len(tries) - _TRIES_AT_ONCE, 10), _LONGEST_PAUSE_SECONDS)
    return not scene.within(tries[-1].at, pause)
