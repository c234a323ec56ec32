"""Everything that a decision rests on, as one frozen value: it is stored with the decision and can be replayed.

The monitor builds it from its healths, its sessions, the journal's folds and the readiness of the standbys. Nothing in
here is asked for lazily, so that ``choose(situation)`` gives the same answer tomorrow.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator

from failover.decide import when
from failover.model import Mode, RunKind, Standing, Verdict

Name = Annotated[str, Field(min_length=1)]


class Fact(BaseModel):
    """A frozen value that goes to JSON and back unchanged."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Limits(Fact):
    """How long things count, in seconds."""

    grace_seconds: float = 10.0
    """After its start the monitor only looks: caches are cold, sessions not up, witnesses not asked."""
    witness_seconds: float = 15.0
    """A witness that was seen longer ago isn't seen."""
    sighting_seconds: float = 10.0
    """What another server saw counts so long."""
    together_seconds: float = 60.0
    """Servers that fail within this time of each other fail at once."""
    aftermath_seconds: float = 15.0
    """What a failure caused may take so long to go away once that is mended: caches, pools, retries."""
    not_ready_seconds: float | None = None
    """A plan that isn't ready for longer is worth a page; None: for no time."""


class Seen(Fact):
    """A witness (the gateway, another network's host), as last looked at."""

    name: Name
    seen: bool | None
    """None: it couldn't be looked at."""
    at: AwareDatetime
    reason: str = ""


class Sighting(Fact):
    """What another server answered to "do you see it?"."""

    observer: Name
    check: Name
    seen: bool | None
    """None: the observer couldn't be asked, or couldn't tell."""
    at: AwareDatetime
    reason: str = ""


class CheckFact(Fact):
    """A check's verdict (as of now: stale ones are ``unknown``) and what it is about."""

    verdict: Verdict
    failing_since: AwareDatetime | None = None
    """The first failed look of the present streak (``Health.failing_since``): what others saw since then counts."""
    mended_at: AwareDatetime | None = None
    """When it was last well again (``Health.mended_at``)."""
    role: str | None = None
    server: str | None = None
    """The server that it looks at now: its own, or the holder of its role."""
    depends_on: tuple[str, ...] = ()
    fails_over: bool = True
    stale_after_seconds: float = 30.0
    """An older look is no evidence any more; as in the check's thresholds."""
    observers: tuple[str, ...] = ()
    """Other servers that can be asked whether they see it."""

    @property
    def standing(self) -> Standing:
        """What the readings amount to."""
        return self.verdict.standing

    @property
    def began(self) -> datetime:
        """When what the verdict says began, as far as looks could tell."""
        return self.failing_since or self.verdict.since


class ServerFact(Fact):
    """Whether the monitor's own session to a server works; None when it wasn't tried lately."""

    reachable: bool | None = None
    since: AwareDatetime | None = None
    """Since when it is so."""
    hangs_since: AwareDatetime | None = None
    """Since when a question has no answer, where that is longer than any takes; it ends within seconds."""
    reason: str = ""


class LastRun(Fact):
    """The newest automatic run of a plan."""

    run: int
    at: AwareDatetime
    """When it was opened."""
    state: str


class ProofFact(Fact):
    """One way to prove that the old holder let go, and whether it would work now."""

    kind: Name
    available: bool
    why: str = ""


class PlanFact(Fact):
    """A plan, whom it would move what, and whether that would work now."""

    name: Name
    mode: Mode
    when: str
    """The condition's text; see :mod:`failover.decide.when`."""
    role: str | None = None
    holder: str | None = None
    standby: str | None = None
    rank: int = 0
    """Lower goes first where two plans apply; the isolation of an attacked server goes before a recovery."""
    wait_seconds: float = Field(default=0.0, ge=0)
    """How long the condition must have held, for example the time that a restart takes."""
    cooldown_seconds: float = Field(default=3600.0, ge=0)
    last_automatic: LastRun | None = None
    acknowledged_at: AwareDatetime | None = None
    """When a person last acknowledged a run of this plan."""
    not_ready: tuple[str, ...] = ()
    """Why the standby couldn't take over now, each a sentence; empty means that it could."""
    not_ready_since: AwareDatetime | None = None
    """Since when that is so."""
    proofs: tuple[ProofFact, ...] = ()
    """Empty where nothing has to be released."""
    source_suspect: str | None = None
    """Why the content or data that the plan would copy may not be good (tampering, virus, mass loss)."""
    drift: str | None = None
    """How the world differs from what the journal says of this role (an address held by another server)."""

    @field_validator("when")
    @classmethod
    def _can_be_read(cls, text: str) -> str:
        when.parse(text)
        return text


class RunFact(Fact):
    """The run that is under way."""

    run: int
    plan: str
    state: str
    kind: RunKind = RunKind.RECOVER
    reason: str = ""


class Switched(Fact):
    """The switch of all automation: who turned it off, and why."""

    on: bool = True
    by: str = ""
    why: str = ""


class Window(Fact):
    """A maintenance window; it ends by itself."""

    about: Name
    """A server, a role, or ``site``."""
    until: AwareDatetime
    why: str = ""
    by: str = ""


class Situation(Fact):
    """One site at one moment."""

    now: AwareDatetime
    site: str
    since_start_seconds: float
    """How long the monitor has been looking: since its start, or since it could judge again."""
    checks: dict[str, CheckFact] = Field(default_factory=dict)
    servers: dict[str, ServerFact] = Field(default_factory=dict)
    witnesses: tuple[Seen, ...] = ()
    sightings: tuple[Sighting, ...] = ()
    own_fault: str | None = None
    """Why this monitor can't be trusted to judge now (loop lag, no file descriptors)."""
    plans: tuple[PlanFact, ...] = ()
    run: RunFact | None = None
    automation: Switched = Switched()
    maintenance: tuple[Window, ...] = ()
    limits: Limits = Limits()

    @property
    def standings(self) -> dict[str, Standing]:
        """Every check's standing, as conditions want it."""
        return {name: check.standing for name, check in self.checks.items()}

    def age_seconds(self, at: datetime) -> float:
        """How long ago that was."""
        return (self.now - at).total_seconds()

    def fresh(self, at: datetime, within_seconds: float) -> bool:
        """Whether it is recent, and not of a future that a clock set back has left behind."""
        return -1.0 <= self.age_seconds(at) <= within_seconds
