"""Making an old server let go: of an address, of a service. One way of trying, of cutting off, and of asking people."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

from failover.errors import NeedsPerson, StepRefused
from failover.model import RunKind
from failover.recover.address import FenceProof, PersonProof, Proof, ReadBack, SilenceProof
from failover.recover.outcome import Made, Outcome
from failover.recover.proof import Evidence, switched_off
from failover.recover.scene import Scene
from failover.recover.step import ANY_FAILURE, Change

TRIES_AT_ONCE = 2
_FIRST_PAUSE_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 300.0


def let_go(
    scene: Scene, server: str, release: Sequence[Proof], seen: Evidence, change: Change,
    tries: Callable[[], Sequence[Made]], fence_within: float,
) -> Generator[Change, Outcome | None, bool]:  # fmt: skip
    """Try the proofs in the order of the config, each as long as it can still help.

    A part of a step's ``todo``; returns whether something was tried, so that its effect is to be looked at first.
    """
    for proof in release:
        match proof:
            case ReadBack() if seen.held is not None and due(scene, tries()):
                done = yield change
                made = tries()
            case FenceProof() if may_fence(scene, server) and due(scene, scene.made(f"fence:{server}", "fence")):
                done = yield cut_off(server, fence_within)
                made = scene.made(f"fence:{server}", "fence")
            case _:
                continue
        if done is None or done.ok or len(made) < TRIES_AT_ONCE:
            return True  # whether that is proof, the next look says
    return False


def due(scene: Scene, tries: Sequence[Made]) -> bool:
    """Twice at once, then with growing pauses: a run may wait for days, and every try is written down."""
    if len(tries) < TRIES_AT_ONCE:
        return True
    pause = min(_FIRST_PAUSE_SECONDS * 2.0 ** min(len(tries) - TRIES_AT_ONCE, 10), _LONGEST_PAUSE_SECONDS)
    return not scene.within(tries[-1].at, pause)


def may_fence(scene: Scene, server: str) -> bool:
    """Whether a server may be cut off by this run: it has a fence, and there is a failure."""
    return f"fence:{server}" in scene.servers and scene.kind in (RunKind.RECOVER, RunKind.ROLLBACK)


def cut_off(server: str, within_seconds: float) -> Change:
    """Cut a server off by its fence."""
    return Change(
        f"fence:{server}", "fence", {"want": "off"}, f"cut {server} off by its fence",
        within_seconds=within_seconds, tolerates=ANY_FAILURE,
    )  # fmt: skip


def words(server: str, release: Sequence[Proof]) -> tuple[str, ...]:
    """The word by which a person may prove it, where that is accepted."""
    return (switched_off(server),) if any(isinstance(proof, PersonProof) for proof in release) else ()


def wait_for_proof(
    scene: Scene, server: str, release: Sequence[Proof], what: str, seen: str, then: tuple[str, str]
) -> None:
    """Ask people, since nothing else is left.

    Args:
        scene: of the run.
        server: the one that has to let go.
        release: what is accepted as proof.
        what: the address or unit, by its name in the config.
        seen: ``nothing proves that web let go of 10.77.0.100: web doesn't answer``.
        then: what comes next with a person's word, and what would happen if it weren't true.

    Raises:
        StepRefused: in a planned move. NeedsPerson: always else.
    """
    if scene.kind is RunKind.SWITCH:
        raise StepRefused(f"{seen}; a switch is for two healthy servers")
    if not words(server, release):
        raise NeedsPerson(
            f"{seen}. The config accepts no person's word for {what}, so {server} has to answer again, "
            "or one of its other proofs has to hold",
            word="",
        )
    raise NeedsPerson(
        f"Is {server} switched off or unplugged? {seen[0].upper()}{seen[1:]}. Go and see; if it is off, confirm "
        f"`{switched_off(server)}`: then {then[0]}. While {server} still runs, don't: {then[1]}",
        word=switched_off(server),
    )


def fence_used(scene: Scene, server: str) -> str | None:
    """Why nothing can be given back to a server that this run cut off, or None."""
    touched = any(made.outcome.touched for made in scene.made(f"fence:{server}", "fence"))
    return f"{server} was cut off by its fence" if touched else None


def fence_unclear(scene: Scene, server: str, release: Sequence[Proof]) -> str | None:
    """Whether the fence that a release may need can't say how the server is; may raise ``ServerError``."""
    fence = f"fence:{server}"
    if not any(isinstance(proof, FenceProof) for proof in release) or fence not in scene.servers:
        return None
    off = scene.servers[fence].ask("fence", within_seconds=10).get("off")
    return f"the fence of {server} can't say whether {server} is on" if off is None else None


def taking(scene: Scene, server: str, release: Sequence[Proof], fence_within: float) -> float | None:
    """How long a silent server may take to be made to let go without a person; None where that takes one."""
    if any(isinstance(proof, FenceProof) for proof in release) and f"fence:{server}" in scene.servers:
        return fence_within
    return next((proof.time for proof in release if isinstance(proof, SilenceProof)), None)
