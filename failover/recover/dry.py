"""A dry run: every change that a run would make now, and what would stop it. Nothing is changed."""

from __future__ import annotations

from dataclasses import dataclass, replace

from failover.errors import RunError, ServerError
from failover.model import RunKind
from failover.recover.plan import Plan
from failover.recover.scene import Scene


@dataclass(frozen=True, slots=True)
class DryStep:
    """What one step would do."""

    title: str
    changes: tuple[str, ...]
    problem: str | None = None
    """What would stop it, or what can't be seen now."""
    notes: tuple[str, ...] = ()
    """What people should know before they begin it: what would be lost, what changed."""


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a run would do, taking for done what earlier steps would have done."""

    plan: str
    kind: RunKind
    role: str
    old: str
    new: str
    steps: tuple[DryStep, ...]

    @property
    def changes(self) -> tuple[str, ...]:
        """Every change of every step."""
        return tuple(change for step in self.steps for change in step.changes)

    @property
    def problems(self) -> tuple[str, ...]:
        """Every problem of every step."""
        return tuple(step.problem for step in self.steps if step.problem)


def dry_run(name: str, plan: Plan, scene: Scene) -> DryRun:
    """Ask every step what it would do; a server that can't be asked is a step's problem, not the end."""
    supposed = replace(scene, dry=True)
    steps: list[DryStep] = []
    for step in plan.steps:
        changes: list[str] = []
        notes: list[str] = []
        problem: str | None = None
        try:
            changes.extend(change.says for change in step.todo(replace(supposed, note=notes.append)))
        except (RunError, ServerError) as error:
            problem = str(error)
        steps.append(DryStep(step.title(scene), tuple(changes), problem, tuple(dict.fromkeys(notes))))
    return DryRun(name, scene.kind, scene.role.name, scene.old, scene.new, tuple(steps))
