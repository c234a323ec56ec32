"""What the API can be asked and told, and in what form. The daemon sits behind :class:`Desk`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from failover.model import Cause, Span

Json = Mapping[str, Any]
Name = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[\w.:-]+$")]
Sentence = Annotated[str, StringConstraints(min_length=1, max_length=500, strip_whitespace=True)]


@dataclass(frozen=True, slots=True)
class Person:
    """Who is at the other end of the socket: the kernel says so (SO_PEERCRED, unix(7)), not they."""

    uid: int
    pid: int
    name: str

    def __str__(self) -> str:
        return f"{self.name} (uid {self.uid})"

    def cause(self, why: str) -> Cause:
        """This person as the cause of an act."""
        return Cause(str(self), why)


class Body(BaseModel):
    """A request's body: strict, so that a misspelt key does nothing at all."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    site: str | None = Field(default=None, max_length=200)


class StartRun(Body):
    """Move a role, or show what that would do."""

    verb: Literal["recover", "switch", "rollback"]
    role: Name
    why: Sentence | None = None
    """The reason to roll back."""
    accept_loss: bool = False
    """What was saved in the database since its move may be lost, where it can't be read any more."""
    force: Sentence | None = None
    """The reason to recover though the daemon sees no failure."""
    dry: bool = False


class BeginBackup(Body):
    """Make a backup, read one to its end, or restore one beside what serves."""

    verb: Literal["now", "verify", "restore"]
    set: Name
    id: Name | None = None
    """By default the newest to verify, the best to restore."""
    server: Name | None = None
    """Where it lies; by default the set's first place."""
    into: Name | None = None
    """What it is restored as."""


class Why(Body):
    """An act with its reason."""

    why: Sentence


class MarkDone(Why):
    """A step was done by hand."""

    step: int = Field(ge=1, le=1000)


class GiveWord(Why):
    """The word that a run waits for."""

    word: Name


class BeginMaintenance(Why):
    """Nothing acts by itself on a server, a role or the whole site, until it ends by itself."""

    about: Name = "site"
    lasts: Span
    """At most seven days."""


class EndMaintenance(Why):
    """Maintenance is over before its time."""

    about: Name = "site"


class SwitchAutomation(Why):
    """Everything automatic on or off."""

    on: bool


class TestNotify(Body):
    """A test message, through one channel or all."""

    channel: Name | None = None


class Desk(Protocol):
    """What the API needs of the daemon. Thread-safe; called from the console's own threads, so it may wait.

    ``site`` may be None where there is one site only. Answers are plain JSON; keys are part of the API.

    Raises:
        NotFound, Busy, NotAllowed, ConfigError, JournalUnwritable: answered as problems (RFC 9457).
    """

    def status(self, site: str | None) -> Json:
        """One screen: servers, roles, addresses, checks, incidents, runs, of every site or one."""
        ...

    def backups(self, site: str | None, name: str | None) -> Json:
        """What there is of a backup set, or of all: which would be used, and why no newer one."""
        ...

    def begin_backup(
        self,
        site: str | None,
        verb: str,
        name: str,
        person: Person,
        *,
        backup: str | None,
        server: str | None,
        into: str | None,
    ) -> Json:
        """Begin to make, verify or restore a backup."""
        ...

    def runs(self, site: str | None, limit: int) -> Sequence[Json]:
        """The newest runs."""
        ...

    def run(self, site: str | None, number: int) -> Json:
        """One run with its steps, changes and words."""
        ...

    def ready(self, site: str | None, plan: str | None) -> Json:
        """Whether plans, or one, would work now, how long each would take, and what would be lost."""
        ...

    def events(self, site: str | None, *, run: int | None, after: int, limit: int) -> Sequence[Json]:
        """Lines of the journal after a number."""
        ...

    def dry(self, site: str | None, role: str, verb: str) -> Json:
        """What a run would do now, changing nothing."""
        ...

    def start(
        self,
        site: str | None,
        role: str,
        verb: str,
        person: Person,
        *,
        force: str | None,
        why: str | None,
        accept_loss: bool,
    ) -> Json:
        """Start a run; answers as soon as it is opened or refused."""
        ...

    def commit(self, site: str | None, role: str, cause: Cause) -> Json:
        """A role stays where it was moved to: its move can't be rolled back any more."""
        ...

    def resume(self, site: str | None, number: int, cause: Cause) -> Json:
        """Go on with a run that stopped."""
        ...

    def abort(self, site: str | None, number: int, cause: Cause) -> Json:
        """End a run."""
        ...

    def mark_done(self, site: str | None, number: int, step: int, cause: Cause) -> Json:
        """Take a step for done."""
        ...

    def word(self, site: str | None, number: int, word: str, cause: Cause) -> Json:
        """Give a run the word that it waits for."""
        ...

    def explain(self, site: str | None, at: datetime | None) -> Json:
        """The decisions that held at a time, with what they were made of, decided once more."""
        ...

    def acknowledge(self, site: str | None, plan: str, cause: Cause) -> Json:
        """A plan may act by itself again."""
        ...

    def begin_maintenance(self, site: str | None, about: str, lasts_seconds: float, cause: Cause) -> Json:
        """Nothing acts by itself there until then."""
        ...

    def end_maintenance(self, site: str | None, about: str, cause: Cause) -> Json:
        """Maintenance is over."""
        ...

    def switch_automation(self, site: str | None, on: bool, cause: Cause) -> Json:
        """Everything automatic on or off."""
        ...

    def reload(self, cause: Cause) -> Json:
        """Read the config again."""
        ...

    def audit_head(self) -> Json:
        """Number and hash of the journal's newest line."""
        ...

    def audit_verify(self) -> Json:
        """Compute the journal's chain again."""
        ...

    def notify_test(self, channel: str | None, person: Person) -> Json:
        """Send a test message and say what each channel answered."""
        ...
