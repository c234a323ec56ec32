"""How a change ended, and the changes that a run has made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from failover.errors import ChangeFailed, OutcomeUnknown, Refused, ServerError

Result = Literal["ok", "refused", "failed", "unreachable", "unknown"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one change.

    ``refused`` and ``unreachable``: not done. ``failed``: begun, and ``answer`` says how far it came.
    ``unknown``: done, half done, not done, or still to happen; look again.
    """

    result: Result
    kind: str = ""
    """The helper's word for what went wrong, for example ``address-taken``."""
    sentence: str = ""
    answer: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether it was done and confirmed."""
        return self.result == "ok"

    @property
    def touched(self) -> bool:
        """Whether the server may be another one than before."""
        return self.result in ("ok", "failed", "unknown")

    @classmethod
    def of(cls, error: ServerError) -> Outcome:
        """What an error of :meth:`failover.servers.base.Server.change` says about the change."""
        match error:
            case Refused():
                return cls("refused", error.kind, error.sentence)
            case ChangeFailed():
                return cls("failed", error.kind, error.sentence, error.result)
            case OutcomeUnknown():
                return cls("unknown", "", error.sentence)
            case _:
                return cls("unreachable", "", error.sentence)


@dataclass(frozen=True, slots=True)
class Made:
    """One change that a run made, tried, or was about to make when it was interrupted (then it is ``unknown``)."""

    step: int
    server: str
    verb: str
    args: Mapping[str, Any]
    says: str
    outcome: Outcome
    at: datetime
    number: int
    """Within the run, from 1: the order in which they were intended, whatever the clock did."""
