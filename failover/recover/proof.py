"""Proof that a server let go of a service address (I2) or stopped a service (I12). Silence is never proof by itself.

Kernels don't say when two servers hold one IPv4 address, so nothing is given before something stands for its release:
the old server's own word read back twice, a fence that confirms, a person's word, or a risk accepted in the config.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from failover.errors import ServerError
from failover.model import RunKind, format_span
from failover.recover.address import Address, FenceProof, PersonProof, Proof, ReadBack, SilenceProof
from failover.recover.scene import Scene

GAP_SECONDS = 0.01
"""Between the two looks of a read-back. Short, because what is parked is silenced even if somebody puts it back."""
FENCE_HOLDS_SECONDS = 60.0
"""How long a fence's confirmation counts without asking it again."""
PATIENCE_SECONDS = 0.5
"""For an answer of a server that may be the one that failed; over a warm session it takes milliseconds."""
AFTER_FENCE_SECONDS = 0.1
"""For an answer of a server whose fence has just confirmed that it is off: only a fence that lies gets one."""
PROOF_HOLDS_SECONDS = 1.0
"""How long a proof that this run found isn't looked for again: from one step to the next, no longer."""
STATUS_SECONDS = 10.0
"""For a fence's answer; management boards are slow."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known about a server's grip on an address, or whether it still runs a service."""

    proof: str | None
    """Why it is certain that the server has let go, in words; None when it isn't."""
    held: bool | None
    """What the server itself says; None when it doesn't answer."""
    why: str
    """When nothing is proven: what was seen."""


def parked(answer: Mapping[str, Any]) -> bool:
    """Whether a server's answer says that it neither holds the address nor could be heard if it did."""
    return not answer["held"] and bool(answer["parked"])


def at_rest(answer: Mapping[str, Any]) -> bool:
    """Whether a server's answer says that a unit's processes are gone, and nothing is under way with it."""
    return answer["active"] in ("inactive", "failed") and not answer.get("job")


def stands_still(answer: Mapping[str, Any]) -> bool:
    """Whether a unit doesn't run there, and if only one server may run it, couldn't be started there by anything."""
    return at_rest(answer) and answer.get("parked") is not False


def read_back(scene: Scene, server: str, address: Address) -> Evidence:
    """Ask the server itself, twice."""

    def look(answer: Mapping[str, Any]) -> str | None:
        if parked(answer):
            return None
        return "still holds it" if answer["held"] else "doesn't hold it, but nothing keeps it from answering"

    return _twice(scene, server, ("address", {"ip": address.host}), look, "let go of it", lambda said: said["held"])


def service_read_back(scene: Scene, server: str, unit: str) -> Evidence:
    """Ask the server itself, twice, whether it runs a unit."""

    def look(answer: Mapping[str, Any]) -> str | None:
        if stands_still(answer):
            return None
        stands = at_rest(answer)
        return f"doesn't run {unit}, but nothing keeps it from starting" if stands else f"still runs {unit}"

    wish = ("service", {"unit": unit})
    return _twice(scene, server, wish, look, f"doesn't run {unit}", lambda said: not at_rest(said))


def _twice(
    scene: Scene, server: str, ask: tuple[str, Mapping[str, str]], wrong: Callable[[Mapping[str, Any]], str | None],
    done: str, held: Callable[[Mapping[str, Any]], bool],
) -> Evidence:  # fmt: skip
    patience = AFTER_FENCE_SECONDS if _just_fenced(scene, server) else scene.patience(server, PATIENCE_SECONDS)
    verb, args = ask
    said = _just_read_back(scene, server, verb, args)
    first = 1 if said is not None and wrong(said) is None else 0
    try:
        for look in range(first, 2):
            if look:
                scene.wait(GAP_SECONDS)
            answer = scene.server(server).ask(verb, within_seconds=patience, **args)
            if (against := wrong(answer)) is not None:
                return Evidence(None, bool(held(answer)), f"{server} {against}")
    except ServerError as error:
        return Evidence(None, None, f"{server} doesn't answer ({error.sentence})")
    return Evidence(f"{server} {done}, read back twice", False, "")


def _just_read_back(scene: Scene, server: str, verb: str, about: Mapping[str, str]) -> Mapping[str, Any] | None:
    """What the helper read back at the end of this run's newest change, made a moment ago: that is a first look."""
    made = [one for one in scene.made(server, verb) if about.items() <= one.args.items()]
    if not made or not made[-1].outcome.ok or not scene.within(made[-1].at, PROOF_HOLDS_SECONDS):
        return None
    return made[-1].outcome.answer


def evidence(scene: Scene, name: str) -> Evidence:
    """Everything that the config accepts as proof that ``scene.old`` let go of the address ``name``, cheapest first.

    A server that answers and says that it holds the address outweighs every other proof.
    """
    address = scene.addresses[name]

    def look() -> Evidence:
        seen = read_back(scene, scene.old, address)
        journal = f"{scene.old} hasn't been given it since it was released, says the journal"
        return _weigh(scene, scene.old, address.release, seen, name, journal, address)

    return _lately(scene, name, look)


def service_evidence(scene: Scene, server: str, unit: str, release: Sequence[Proof]) -> Evidence:
    """Everything that is accepted as proof that ``server`` doesn't run a unit (I12): as for an address."""

    def look() -> Evidence:
        seen = service_read_back(scene, server, unit)
        journal = f"{server} hasn't been let run {unit} since it was stopped there, says the journal"
        return _weigh(scene, server, release, seen, unit, journal, None)

    return _lately(scene, of_service(server, unit), look)


def of_service(server: str, unit: str) -> str:
    """How the proof that a server doesn't run a unit is called in :attr:`Scene.proofs`."""
    return f"{unit} on {server}"


def _lately(scene: Scene, name: str, look: Callable[[], Evidence]) -> Evidence:
    known = scene.proofs.get(name)
    if known is not None and scene.clock() - known[1] < PROOF_HOLDS_SECONDS:
        return Evidence(known[0], False, "")
    found = look()
    if found.proof is not None:
        scene.proofs[name] = (found.proof, scene.clock())
    return found


def _weigh(
    scene: Scene, server: str, release: Sequence[Proof], seen: Evidence, name: str, journal: str,
    address: Address | None,
) -> Evidence:  # fmt: skip
    """What all that is accepted amounts to, after the server itself was asked."""
    kinds = {type(proof) for proof in release}
    if seen.held:
        return seen
    # In a run that keeps things as they are the read-back is a precaution: nothing was asked to be let go.
    if seen.proof is not None and (ReadBack in kinds or scene.kind is RunKind.KEEP):
        return seen
    why = [seen.why or f"the config doesn't list read-back as proof for {name}"]
    if scene.kind is RunKind.KEEP and seen.held is None:
        return Evidence(journal, None, "")
    if scene.kind is RunKind.SWITCH:
        return Evidence(None, seen.held, why[0])
    for proof in release:
        match proof:
            case FenceProof():
                found, said = fenced(scene, server)
            case PersonProof() if seen.held is None or ReadBack not in kinds:
                found, said = _person(scene, server)
            case SilenceProof() if address is not None:
                found, said = _silence(scene, proof, address, seen)
            case _:
                continue
        if found is not None:
            return Evidence(found, seen.held, "")
        if said:
            why.append(said)
    return Evidence(None, seen.held, "; ".join(why))


def _just_fenced(scene: Scene, server: str) -> bool:
    tries = scene.made(f"fence:{server}", "fence")
    if not tries or not tries[-1].outcome.ok or not scene.within(tries[-1].at, FENCE_HOLDS_SECONDS):
        return False
    return tries[-1].outcome.answer.get("off") is True


def fenced(scene: Scene, server: str) -> tuple[str | None, str]:
    """Why it is certain that a server is cut off by its fence, or None and what stands against it."""
    fence = f"fence:{server}"
    if fence not in scene.servers:
        return None, f"{server} has no fence"
    if _just_fenced(scene, server):
        return f"the fence of {server} confirmed that it is off", ""
    if not scene.made(fence, "fence"):
        return None, ""  # cutting off costs no more than asking, and is tried next
    try:
        off = scene.servers[fence].ask("fence", within_seconds=STATUS_SECONDS).get("off")
    except ServerError as error:
        return None, f"the fence of {server} doesn't answer ({error.sentence})"
    if off is True:
        return f"the fence of {server} says that it is off", ""
    return None, f"the fence of {server} says that it is {'on' if off is False else 'in an unknown state'}"


def switched_off(server: str) -> str:
    """The word by which a person says that a server is off: one word for all that it held."""
    return f"off:{server}"


def _person(scene: Scene, server: str) -> tuple[str | None, str]:
    word = scene.word(switched_off(server))
    return (f"{word.by} says so: {word.why}", "") if word else (None, "nobody confirmed it yet")


def _silence(scene: Scene, proof: SilenceProof, address: Address, seen: Evidence) -> tuple[str | None, str]:
    since = scene.silent_since(scene.old)
    if since is None or seen.held is not None:
        return None, f"{scene.old} isn't silent on every path"
    silent_seconds = (scene.now() - since).total_seconds()
    if silent_seconds < proof.time:
        return None, f"{scene.old} is silent for {format_span(max(0.0, silent_seconds))} of {format_span(proof.time)}"
    looked = 0
    for other in scene.others():
        for target in ({"ip": scene.hosts[scene.old]}, {"ip": address.host, "arp": True}):
            try:
                answer = scene.server(other).ask("see", within_seconds=PATIENCE_SECONDS * 2, **target)
            except ServerError:
                break
            if answer["seen"]:
                return None, f"{other} sees {target['ip']}: {answer['reason']}"
        else:
            looked += 1
    if not looked:
        return None, "no other server could look whether it is silent"
    said = f"{scene.old} is silent on every path for {format_span(silent_seconds)}"
    return f"{said}; the config accepts that {proof.accept}", ""
