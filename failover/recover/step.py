"""A step is named by the state that it leaves behind and asks one question: what is still to be done?

Dry run and readiness print the answer; the engine writes it down, carries it out, and asks again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from failover.recover.scene import Scene


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that a step still has to do on one server: a verb with arguments, and the sentence people read."""

    server: str
    verb: str
    args: Mapping[str, Any]
    says: str
    """For example ``give 10.77.0.100/24 on eth0 to web-backup``."""
    within_seconds: float = 10.0
    tolerates: frozenset[str] = field(default=frozenset())
    """Kinds of failure after which the step may try its next way instead of stopping: ``unreachable unknown refused failed``."""

    def __str__(self) -> str:
        return self.says


class Step(BaseModel):
    """Settings and behaviour of one kind of step.

    ``todo`` looks at the world and yields what is left, lazily: the engine carries out each change before it asks for the
    next, so a step may look again in between. It yields nothing when the step's state is reached. It raises ``StepRefused`` when acting would be wrong, ``NeedsPerson`` when only a
    person's word helps, and lets ``ServerError`` through where it can't see.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str

    reversible: ClassVar[bool] = True
    """Whether :meth:`undo` takes the step back. The fault is looked at again before the first step that isn't harmless (I13)."""
    harmless: ClassVar[bool] = False
    """Whether visitors can't notice the step, so that it may run before the fault is confirmed once more."""

    def todo(self, scene: Scene) -> Iterator[Change]:
        """What is still to be done until the world is as this step's name says."""
        raise NotImplementedError  # every kind has its own

    def undo(self, scene: Scene) -> Iterator[Change]:
        """What is to be done to take this step back, when a later one can't be carried out. Nothing, unless a kind says so."""
        yield from ()

    def title(self, scene: Scene) -> str:
        """The state that the step leaves behind, as people read it: ``www released by web``."""
        return self.kind.replace("_", " ")
