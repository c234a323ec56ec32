"""A step is named by the state that it leaves behind and asks one question: what is still to be done?

Dry run and readiness print the answer; the engine writes it down, carries it out, and asks again.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict

from failover.journal.measured import subject_of
from failover.recover.difference import Difference
from failover.recover.outcome import Made, Outcome
from failover.recover.problem import Problem
from failover.recover.scene import Scene
from failover.recover.work import ASSUMED_SECONDS, Like, Told, Work

ANY_FAILURE = frozenset({"unreachable", "unknown", "refused", "failed"})


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
    """Results after which the step itself says how to go on: ``unreachable unknown refused failed``."""
    tells: Mapping[str, Any] = field(default_factory=dict)
    """What the step's news of this change says besides; the server isn't sent it."""

    def __str__(self) -> str:
        return self.says


Todo = Generator[Change, Outcome | None, None]
"""Yields changes and is told what came of each; ``None`` means that it is to be taken for done (a dry run)."""


class Step(BaseModel):
    """Settings and behaviour of one kind of step."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str

    @property
    def harmless(self) -> bool:
        """Whether visitors can't notice the step, so that it may run before the fault is confirmed once more (I13)."""
        return False

    @property
    def heals(self) -> str | None:
        """The check that this step may heal without moving anything, for a step that tries that."""
        return None

    def moves(self, scene: Scene, change: Change | Made) -> bool:
        """Whether a change of this step is one that visitors or editors may notice."""
        return not self.harmless and self.heals is None

    def prepare(self, scene: Scene) -> Todo:
        """What of this step can be done before the first step that moves anything, as :meth:`todo` does the whole."""
        yield from ()

    def todo(self, scene: Scene) -> Todo:
        """What is still to be done until the world is as this step's name says; nothing when it is.

        Lazy: each change is carried out before the next is asked for, so a step may look again in between. When it has
        ended the engine asks anew, until nothing is left: whoever yields a change needn't confirm it.

        Raises:
            StepRefused: acting would be wrong.
            StepUnfinished: only waiting was left to do, and it was in vain.
            NeedsPerson: only a person's word helps; the engine asks the step again from time to time all the same.
            ServerError: it can't see; the engine asks again for a while.
        """
        raise NotImplementedError  # every kind has its own

    def undo(self, scene: Scene) -> Todo:
        """What is to be done to take this step back, when a later one can't be carried out."""
        yield from ()

    def undo_problem(self, scene: Scene) -> str | None:
        """Why the step can't be taken back safely, or None. Asked of every step before the first is taken back."""
        return None

    def news(self, scene: Scene, change: Change, outcome: Outcome) -> tuple[str, dict[str, Any]] | None:
        """Kind and data of the event that tells others what a change of this step brought about, if it has its own."""
        return None

    def enough(self, scene: Scene) -> str | None:
        """Why, with this step done, the run has reached its aim and nothing more is to be done; usually None."""
        return None

    def problems(self, scene: Scene) -> Iterator[Problem]:
        """What stands against this step now, asked in daylight without any effect; may raise ``ServerError``."""
        yield from ()

    def differences(self, scene: Scene) -> Iterator[Difference]:
        """What changed since the role left ``new``, of what this step brings there; asked without any effect."""
        yield from ()

    def work(self, scene: Scene) -> Iterator[Told]:
        """What it would have to do now, for a forecast; asked without any effect; may raise ``ServerError``.

        By default that is the step as a whole, which takes what it took before.
        """
        what, subject = f"step {self.kind}", subject_of(self.model_dump(mode="json", by_alias=True))
        like = (Like(what, subject, scene.new), Like(what, subject))
        within = getattr(self, "within", None)
        yield Work(self.title(scene), like, ASSUMED_SECONDS.get(self.kind, 1.0), most_seconds=within)

    def words(self, scene: Scene) -> tuple[str, ...]:
        """The words of a person that this step has a use for."""
        return ()

    def by_hand(self, scene: Scene) -> tuple[str, ...]:
        """The words that a person gives by calling this step done by hand; without any, it is taken for done."""
        return self.words(scene)

    def title(self, scene: Scene) -> str:
        """The state that the step leaves behind, as people read it: ``www released by web``."""
        return self.kind.replace("_", " ")
