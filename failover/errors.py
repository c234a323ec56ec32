"""Every error class of failover, so that a caller can see at one place what can go wrong and what it then knows.

::

    FailoverError
    ├── ConfigError              the config is wrong: all its problems at once; exit code 78
    ├── JournalError
    │   ├── JournalTooNew        written by a newer failover: nothing is guessed
    │   ├── JournalBroken        the hash chain doesn't hold
    │   └── JournalUnwritable    disk full, EIO: nothing more may be begun
    ├── ServerError              has .server
    │   ├── Unreachable          nothing was sent: it is *not done*
    │   │   └── HostKeyChanged   somebody else answers at that address: nothing was sent, ever
    │   ├── Refused              the helper said no before it began: *not done*; has .kind
    │   ├── ChangeFailed         the helper began and says how far it came; has .kind, .result
    │   └── OutcomeUnknown       sent, and no answer: *done or not done*; look before the next move
    ├── Unhealthy                a probe saw that it's down
    ├── Undecidable              a probe can't tell, through no fault of what it looks at
    ├── RunError
    │   ├── StepRefused          a step found a reason not to act (source suspect, address taken, disk full)
    │   ├── StepUnfinished       everything was done and yet something is left to do
    │   ├── NeedsPerson          a step can't go on without a person's word; has .question
    │   ├── FaultGone            the fault healed before the first step that can't be undone
    │   └── RunAborted           a person, or a newer run, ended it
    ├── Busy                     a run is under way already; has .run
    ├── NotAllowed               who asks may not do that
    ├── NotFound                 no such run, server, plan or check; lists what there is
    └── NotificationError        a channel didn't take the message; has .permanent
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class FailoverError(Exception):
    """The root: catch it at the edge, show ``str(error)``, a sentence with the value in it."""


class ConfigError(FailoverError):
    """The config can't be used; ``problems`` are sentences, each led by ``file:line:column:``."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class JournalError(FailoverError):
    """Something is wrong with the journal."""


class JournalTooNew(JournalError):
    """The journal's schema is newer than this program."""


class JournalBroken(JournalError):
    """An event was changed, removed, added or reordered."""


class JournalUnwritable(JournalError):
    """An event could not be made durable, so the effect that it announces must not happen."""


class ServerError(FailoverError):
    """Something about one server; ``server`` is its name in the config."""

    def __init__(self, server: str, sentence: str) -> None:
        super().__init__(f"{server}: {sentence}")
        self.server = server
        self.sentence = sentence


class Unreachable(ServerError):
    """No request was sent: whatever was asked for is not done."""


class HostKeyChanged(Unreachable):
    """The server shows another host key than the pinned one. Nothing is sent; people are told."""


class Refused(ServerError):
    """The helper said no before it began, for example ``stale-token``, ``past-deadline``, ``not-in-policy``."""

    def __init__(self, server: str, kind: str, sentence: str) -> None:
        super().__init__(server, sentence)
        self.kind = kind


class ChangeFailed(ServerError):
    """The helper began and failed; ``kind`` says at what, ``result`` what it left behind."""

    def __init__(self, server: str, kind: str, sentence: str, result: Mapping[str, Any] | None = None) -> None:
        super().__init__(server, sentence)
        self.kind = kind
        self.result = dict(result or {})


class OutcomeUnknown(ServerError):
    """A request was sent and no answer came in time: it may be done, half done, not done, or still running."""


class Unhealthy(FailoverError):
    """What a probe looked at is down, and why. ``phases`` and ``values`` keep what was measured until then."""

    def __init__(
        self, sentence: str, *, phases: Mapping[str, float] | None = None, values: Mapping[str, float] | None = None
    ) -> None:
        super().__init__(sentence)
        self.phases = dict(phases or {})
        self.values = dict(values or {})


class Undecidable(FailoverError):
    """A probe can't tell: the monitor itself, or something between, is at fault."""


class RunError(FailoverError):
    """A run can't go on as planned."""


class StepRefused(RunError):
    """A step found a reason not to act; nothing was changed by it."""


class StepUnfinished(RunError):
    """Every change was made and the world still isn't as the step's name says.

    ``serves`` means that visitors are served all the same, at least in part, so that taking everything back would harm.
    """

    def __init__(self, sentence: str, *, serves: bool = False) -> None:
        super().__init__(sentence)
        self.serves = serves


class NeedsPerson(RunError):
    """Only a named person's word lets the step go on; ``question`` is what they are asked."""

    def __init__(self, question: str, *, word: str) -> None:
        super().__init__(question)
        self.question = question
        self.word = word


class FaultGone(RunError):
    """The fault was looked at again just before the first step that can't be undone, and is gone."""


class RunAborted(RunError):
    """A person or a newer run ended this one."""


class Busy(FailoverError):
    """A run of this site is under way; ``run`` is its number."""

    def __init__(self, sentence: str, *, run: int) -> None:
        super().__init__(sentence)
        self.run = run


class NotAllowed(FailoverError):
    """Who asks may not do that."""


class NotFound(FailoverError):
    """There is nothing of that name; the sentence lists what there is."""


class NotificationError(FailoverError):
    """A channel didn't take a message; ``permanent`` means that trying again is of no use."""

    def __init__(self, sentence: str, *, permanent: bool = False) -> None:
        super().__init__(sentence)
        self.permanent = permanent
