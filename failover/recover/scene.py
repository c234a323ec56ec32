"""What the steps of one run may see of the world: which role moves from whom to whom, and through whom to reach them.

Steps speak of roles, ``old`` and ``new``, never of "the backup": so failback is the same plan run the other way.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from failover.backups import BackupSet
from failover.journal.database_view import Swap
from failover.model import Reading, RunKind, utc_now
from failover.recover.address import Address
from failover.recover.copies import Copies
from failover.recover.databases import Database, Restores
from failover.recover.fits import Fits
from failover.recover.outcome import Made
from failover.servers.base import Server, Servers
from failover.servers.policy import Policy

On = Literal["new", "old", "holder", "standby"]
"""A server by its part in the run: where the role goes and where it leaves, or who had it and who stood by before."""
MEET_SECONDS = 3.0
"""A first session, from its TCP connection to the helper's first answer, takes half a second on a busy server."""


@dataclass(frozen=True, slots=True)
class RoleNow:
    """A role and who holds it, at the moment the run was opened."""

    name: str
    holder: str
    standby: str
    addresses: tuple[str, ...] = ()
    path: str | None = None
    """Where the role's content lies, for roles that have content."""
    database: Database | None = None
    """The role's database, for roles that have one."""
    unit: str | None = None
    """The systemd unit that does the role's work."""


@dataclass(frozen=True, slots=True)
class Word:
    """A named person's word, given for this run."""

    word: str
    by: str
    why: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Page:
    """What an HTTP check asks for, so that another server can be asked to look at the same."""

    url: str
    """With an IP address for its host, so that no other server's names are in the way."""
    host: str | None = None
    """The name to ask for, when the URL names an address."""
    contains: str | None = None
    """Text that must be in the page."""
    statuses: tuple[int, ...] = ()
    """Statuses that are good; without any, all from 200 to 399."""


@dataclass(frozen=True)
class Scene:
    """The world as one run sees it.

    Whoever builds the daemon fills in the upper part; what stands below ``opened_at`` is the engine's.
    """

    site: str
    kind: RunKind
    role: RoleNow
    old: str
    """The server that the role leaves; in a run that keeps things as they are, the standby."""
    new: str
    """The server that the role goes to; in a run that keeps things as they are, the holder."""
    roles: Mapping[str, RoleNow]
    addresses: Mapping[str, Address]
    servers: Servers
    """Every server by name, and every fence as ``fence:NAME``."""
    hosts: Mapping[str, str]
    """The IP of each server, as the other servers reach it (management address)."""
    look: Callable[[str, str], Reading]
    """Looks at a check now, from the monitor, as if the named server held this run's role: check, server."""
    newest: Callable[[str], Reading | None] = field(default=lambda _check: None)
    """The newest reading of a check that the monitor took by itself."""
    page: Callable[[str, str], Page | None] = field(default=lambda _check, _server: None)
    """What an HTTP check asks for, as if the named server held this run's role; None for other checks."""
    silent_since: Callable[[str], datetime | None] = field(default=lambda _server: None)
    """Since when a server has been silent on every path (ssh, ping, its checks, seen from others), or None."""
    met: Callable[[str], bool] = field(default=lambda _server: True)
    """Whether a server answered, or didn't, since the monitor's own start; else nobody knows yet which it will do."""
    copies: Copies = field(default_factory=Copies)
    """Which copies were found equal to their source, and when; lives as long as the daemon."""
    backups: Mapping[str, BackupSet] = field(default_factory=dict)
    """The site's backup sets, by name."""
    frozen: Callable[[], str | None] = field(default=lambda: None)
    """Why no backup may be removed at the moment, as during an incident; None when old ones may go."""
    restores: Restores = field(default_factory=Restores)
    """Which backups could not be restored; lives as long as the daemon."""
    fits: Fits = field(default_factory=Fits)
    """Which units were found fit to be started, and when; lives as long as the config."""
    swap: Callable[[str], Swap | None] = field(default=lambda _role: None)
    """Which backup was put in the place of a role's database last, by the role's name."""
    policy: Callable[[str], Policy | None] = field(default=lambda _server: None)
    """What a server's helper is to be allowed by the config of now; None where nobody enrolls it."""
    certificate: Callable[[str, str], Reading | None] = field(default=lambda _check, _server: None)
    """Whether a server, asked itself, shows a good certificate for an https check's name; None for other checks."""
    witnesses: Callable[[], Mapping[str, bool | None]] = field(default=dict)
    """Whether each witness was seen lately; None: it wasn't looked at."""
    now: Callable[[], datetime] = utc_now
    clock: Callable[[], float] = time.monotonic
    """Seconds that nobody can set back; bounds every wait."""
    wait: Callable[[float], None] = time.sleep
    """Waits some seconds; the engine's raises ``RunAborted`` when the run is to end meanwhile."""

    proofs: dict[str, tuple[str, float]] = field(default_factory=dict)
    """What this run has proven: by address, why it is certain that ``old`` let go of it, and when by ``clock``."""
    opened_at: datetime | None = None
    """When the run was opened, or resumed."""
    begun_at: datetime | None = None
    """When the run was first opened: what was written after the newest backup and until then is lost."""
    left_at: datetime | None = None
    """When the role left ``new`` last; None where it never had it. Makes a planned move a way back."""
    run: int = 0
    """The run's number; 0 where none is open."""
    forced: bool = False
    """A person takes the responsibility: the fault needn't be confirmed."""
    early: bool = False
    """Nothing has moved yet, and the step is asked once more in its place: what still changes may wait until then."""
    dry: bool = False
    """Changes are only listed: what earlier steps would have done is taken for done."""
    word: Callable[[str], Word | None] = field(default=lambda _word: None)
    """A person's word given for this run, for example ``off:web``."""
    made: Callable[[str, str], Sequence[Made]] = field(default=lambda _server, _verb: ())
    """The changes that this run made or tried so far, oldest first: server, verb. For what facts can't tell."""
    told: Callable[[str], Sequence[Mapping[str, Any]]] = field(default=lambda _kind: ())
    """The data of this run's news of that kind, oldest first."""
    note: Callable[[str], None] = field(default=lambda _text: None)
    """Says something that people should know of this run, for example the age of a copy. The same text is said once."""

    def server(self, name: str) -> Server:
        """The server of that name."""
        return self.servers[name]

    def on(self, part: On) -> str:
        """The name of the server that plays that part."""
        return {"new": self.new, "old": self.old, "holder": self.role.holder, "standby": self.role.standby}[part]

    def patience(self, server: str, usual_seconds: float) -> float:
        """How long to wait for an answer: a server that is silent on every path is given a moment only, and one that a
        monitor just started is still connecting to the time that takes, lest it be taken for dead and cut off."""
        if self.silent_since(server) is not None:
            return min(usual_seconds, 0.3)
        return usual_seconds if self.met(server) else max(usual_seconds, MEET_SECONDS)

    def others(self) -> list[str]:
        """Every server but ``old`` and ``new``: a third place to look from."""
        return [name for name in self.servers if name not in (self.old, self.new) and not name.startswith("fence:")]

    def within(self, at: datetime, seconds: float) -> bool:
        """Whether ``at`` is no longer ago than that; a time in the future (a clock set back) is not."""
        return timedelta(0) <= self.now() - at <= timedelta(seconds=seconds)
