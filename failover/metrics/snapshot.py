"""What is exported, as plain values; the daemon fills them in at every scrape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from failover.model import Reading, Standing


@dataclass(frozen=True, slots=True)
class PlanSnapshot:
    """A plan: whether it would work, and what is decided about it."""

    ready: bool
    mode: str
    action: str
    asked_at: datetime | None = None
    """When its readiness was last asked."""
    asked_every: float = 60.0
    """Seconds from one time to the next."""
    problems: Mapping[str, int] = field(default_factory=dict)
    """How many there are, by severity: ``stops loss hint``."""
    rto_seconds: float | None = None
    rto_worst_seconds: float | None = None
    rpo_seconds: float | None = None
    rpo_worst_seconds: float | None = None
    """Foretold; None where nothing is."""


@dataclass(frozen=True, slots=True)
class BackupSnapshot:
    """What a server has of a backup set."""

    good: int
    """How many can be used."""
    newest_at: datetime | None = None
    """The moment that the newest good one holds; None without one."""
    bytes: int = 0
    """Its size."""


@dataclass(frozen=True, slots=True)
class SiteSnapshot:
    """One site now."""

    name: str
    checks: Mapping[str, Standing]
    intervals: Mapping[str, float]
    """By check, the seconds from one look to the next."""
    readings: Mapping[str, Reading]
    servers: Mapping[str, bool | None]
    """Whether each server answers; None: not known."""
    warm: Mapping[str, bool]
    pairs: Mapping[str, tuple[str, str]]
    """By role, its two servers."""
    holders: Mapping[str, str]
    addresses: Mapping[str, tuple[str, tuple[str, ...]]]
    """By address, its place (``ok missing elsewhere twice unparked unknown``) and who holds it."""
    plans: Mapping[str, PlanSnapshot]
    incidents: Mapping[str, int]
    """How many are open, by severity."""
    automation: bool
    run: str | None
    """``running`` or ``waiting``; None when no run is under way."""
    witnesses: Mapping[str, bool | None]
    copies: Mapping[tuple[str, str], datetime]
    """By role and server, when its copy was last verified."""
    maintenance_until: Mapping[str, datetime]
    backups: Mapping[tuple[str, str], BackupSnapshot] = field(default_factory=dict)
    """By set and server, what that server said last."""


@dataclass(frozen=True, slots=True)
class ChannelSnapshot:
    """How a channel does."""

    sent: int
    failed: int
    dropped: int
    waiting: int
    ok: bool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole daemon now."""

    version: str
    epoch: int
    ready: bool
    started_at: datetime
    reload_ok: bool
    reloaded_at: datetime
    journal_seq: int
    journal_ok: bool
    sites: tuple[SiteSnapshot, ...] = ()
    channels: Mapping[str, ChannelSnapshot] = field(default_factory=dict)
