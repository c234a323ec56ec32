"""A dry run: every change that a run would make now, and what would stop it. Nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from failover.errors import NeedsPerson, RunError, ServerError
from failover.model import RunKind
from failover.recover.difference import Difference
from failover.recover.plan import Plan
from failover.recover.scene import Scene
from failover.recover.step import Step


@dataclass(frozen=True, slots=True)
class DryStep:
    """What one step would do."""

    title: str
    changes: tuple[str, ...]
    problem: str | None = None
    """What would stop it, or what can't be seen now."""
    notes: tuple[str, ...] = ()
    """What people should know before they begin it, as what would be lost."""
    differences: tuple[Difference, ...] = ()
    """What changed since the role left the server that it goes back to."""
    word: str | None = None
    """The person's word that the run would wait for, where that is the problem."""


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a run would do, taking for done what earlier steps would have done."""

    plan: str
    kind: RunKind
    role: str
    old: str
    new: str
    steps: tuple[DryStep, ...]
    left_at: datetime | None = None
    """When the role left ``new``, where it goes back."""

    @property
    def changes(self) -> tuple[str, ...]:
        """Every change of every step."""
        return tuple(change for step in self.steps for change in step.changes)

    @property
    def problems(self) -> tuple[str, ...]:
        """Every problem of every step."""
        return tuple(step.problem for step in self.steps if step.problem)

    @property
    def differences(self) -> tuple[Difference, ...]:
        """All that changed since the role left the server that it goes back to."""
        return tuple(difference for step in self.steps for difference in step.differences)


def dry_run(name: str, plan: Plan, scene: Scene) -> DryRun:
    """Ask every step what it would do; a server that can't be asked is a step's problem, not the end."""
    supposed = replace(scene, dry=True)
    steps: list[DryStep] = []
    for step in plan.steps:
        changes: list[str] = []
        notes: list[str] = []
        problem = word = None
        try:
            changes.extend(change.says for change in step.todo(replace(supposed, note=notes.append)))
        except NeedsPerson as need:
            problem, word = str(need), need.word
        except (RunError, ServerError) as error:
            problem = str(error)
        told = tuple(changed(step, scene))
        steps.append(DryStep(step.title(scene), tuple(changes), problem, tuple(dict.fromkeys(notes)), told, word))
    left_at = scene.left_at if goes_back(scene) else None
    return DryRun(name, scene.kind, scene.role.name, scene.old, scene.new, tuple(steps), left_at)


def goes_back(scene: Scene) -> bool:
    """Whether the role goes back as planned to a server that it left: then people see first what changed since."""
    return scene.left_at is not None and scene.kind in (RunKind.SWITCH, RunKind.ROLLBACK)


def changed(step: Step, scene: Scene) -> Iterator[Difference]:
    """What changed since, of what the step brings there; nothing on the way to a new server."""
    if goes_back(scene):
        yield from step.differences(scene)
