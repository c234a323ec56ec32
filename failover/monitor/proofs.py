"""Which proofs of release a plan could have now, so that deciding knows whether a run would have to wait for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from failover.decide.situation import ProofFact
from failover.errors import ServerError
from failover.monitor.setup import Setup
from failover.monitor.world import ServerNow
from failover.recover.address import FenceProof, PersonProof, ReadBack, SilenceProof
from failover.recover.steps import Released

FENCE_SECONDS = 10.0


def proofs(
    setup: Setup, plan: str, holder: str, servers: Callable[[], Mapping[str, ServerNow]]
) -> tuple[ProofFact, ...]:
    """By kind, whether it could be had of the holder; asks its fence whether it answers."""
    facts: dict[str, ProofFact] = {}
    for step in setup.plans[plan].steps:
        if isinstance(step, Released):
            for proof in setup.addresses[step.address].release:
                match proof:
                    case ReadBack():
                        seen = servers().get(holder)
                        there = seen is not None and seen.reachable is True
                        why = "" if there else f"{holder} doesn't answer"
                        fact = ProofFact(kind="read-back", available=there, why=why)
                    case FenceProof():
                        fact = _fence(setup, holder)
                    case PersonProof():
                        fact = ProofFact(kind="person", available=True)
                    case SilenceProof():
                        fact = ProofFact(kind="silence", available=True)
                facts.setdefault(fact.kind, fact)
    return tuple(facts.values())


def _fence(setup: Setup, holder: str) -> ProofFact:
    fence = setup.servers.get(f"fence:{holder}")
    if fence is None:
        return ProofFact(kind="fence", available=False, why=f"{holder} has no fence")
    try:
        fence.ask("fence", within_seconds=FENCE_SECONDS)
    except ServerError as error:
        return ProofFact(kind="fence", available=False, why=error.sentence)
    return ProofFact(kind="fence", available=True)
