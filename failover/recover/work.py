"""What a step says of its work before it is done: like what, how much, from when. How long that takes is foretold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple


class Like(NamedTuple):
    """Work that the journal may know the times of (:class:`failover.journal.measured.Key`)."""

    what: str
    subject: str
    server: str | None = None
    """None: on any server."""


@dataclass(frozen=True, slots=True)
class Work:
    """One part of what a step would do now."""

    name: str
    """As people read it: ``put the restored wcm in place``."""
    like: tuple[Like, ...] = ()
    """Best first; the first that was ever measured counts."""
    assumed_seconds: float = 1.0
    """Where nothing like it was ever measured."""
    most_seconds: float | None = None
    """It is ended then; the worst, where nothing was measured."""
    bytes: int | None = None
    """How much is moved, for work that takes so much longer for more."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Bytes of the backups that are known, so that the time of one tells the time of another."""
    asked_seconds: float | None = None
    """How long just the same took a moment ago, for work that is a question."""
    ahead: bool | None = None
    """Whether the long part of it is done already; None where there is none."""
    otherwise: Work | None = None
    """What has to be done instead in the worse case."""


@dataclass(frozen=True, slots=True)
class Basis:
    """The moment whose state would serve: what was written later is lost."""

    what: str
    """As people read it: ``/srv/site on web-backup``, ``backup wcm-db-20261124T020000Z``."""
    as_of: datetime | None
    """None: its source answers, and what that has now is copied in the run."""
    worst_as_of: datetime
    """Where the source falls away too."""
    source: str
    """Who said so: ``content of web-backup``."""


@dataclass(frozen=True, slots=True)
class Waits:
    """What nobody can foretell the time of: a person has to do it."""

    text: str


Told = Work | Basis | Waits

ASSUMED_SECONDS: Mapping[str, float] = {
    "released": 0.1,
    "content_synced": 0.5,
    "address_held": 0.3,
    "answers": 0.2,
    "service_stopped": 2.0,
    "service_running": 5.0,
    "connected": 2.0,
}
"""By kind of step, what it may take where it was never done; on the hosts of the lab it took less."""
