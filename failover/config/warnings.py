"""What works, and yet deserves a look before the night when it is needed."""

from __future__ import annotations

from pathlib import Path

from failover.config import crosschecks_services
from failover.config.crosschecks_addresses import another_segment
from failover.config.crosschecks_checks import unwatched
from failover.config.crosschecks_databases import worth_a_look
from failover.config.model import CommonConfig, SiteConfig
from failover.config.references import Found
from failover.config.secrets import locate, named
from failover.model import Mode, format_span
from failover.recover.address import PersonProof, SilenceProof
from failover.recover.steps import AddressHeld, Answers, Released


def warnings_of(site: SiteConfig, _common: CommonConfig) -> Found:
    """Every such thing of a site, with its place."""
    yield from another_segment(site)
    yield from unwatched(site)
    yield from worth_a_look(site)
    yield from _nobody_starts(site)
    yield from crosschecks_services.warnings_of(site)
    for name, plan in site.plans.items():
        role = site.roles.get(plan.role or name)
        for number, step in enumerate(plan.steps):
            if isinstance(step, Released) and role is not None and plan.mode is Mode.AUTO:
                yield from _waits(site, step, role.home, ("plans", name, "steps", number, step.kind))
        if any(isinstance(step, AddressHeld) for step in plan.steps) and not isinstance(plan.steps[-1], Answers):
            yield ("plans", name, "steps"), "the last step isn't 'answers', so that a run ends without having looked"


def absent_secrets(value: object, beside: Path) -> Found:
    """Files that aren't there: what they are for won't work."""
    for where, name in named(value):
        file = locate(name, beside)
        try:
            there = file.exists()
        except PermissionError:
            continue
        if not there:
            yield (
                where,
                f"there is no file {file}, which this needs; write it, or give it to the daemon as a credential",
            )


def _waits(site: SiteConfig, step: Released, home: str, where: tuple[str | int, ...]) -> Found:
    """By itself, a plan can only go on without an answer from the old server where a fence cuts that off."""
    server, address = site.servers.get(home), site.addresses.get(step.address)
    if server is None or address is None or server.fence is not None:
        return
    proofs = {type(proof) for proof in address.release}
    if PersonProof in proofs and SilenceProof not in proofs:
        yield where, f"when {home} doesn't answer, the run waits for a person's word: {home} has no fence"
    silence = next((proof for proof in address.release if isinstance(proof, SilenceProof)), None)
    if silence is not None:
        span = format_span(silence.time)
        yield where, f"{span} of silence from {home} are taken for proof: two servers may answer for {step.address}"


def _nobody_starts(site: SiteConfig) -> Found:
    if site.automation == "off" and any(plan.mode is Mode.AUTO for plan in site.plans.values()):
        yield ("automation",), "plans of mode 'auto' only propose, since automation is off"
