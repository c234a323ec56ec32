"""Whether a plan would work now: every step is asked in daylight what would stop it, without any effect."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from failover.errors import FaultGone, RunError, ServerError
from failover.recover import fault
from failover.recover.plan import Plan
from failover.recover.scene import Scene
from failover.recover.step import Step


def ready(plan: Plan, scene: Scene) -> list[str]:
    """What would stop the plan now, in sentences, each once; empty when nothing would."""
    return _asked(plan.steps, lambda step: step.problems(scene))


def hindrances(plan: Plan, scene: Scene) -> list[str]:
    """What stands against a planned move now. A copy that is only out of date doesn't: it is made in the move."""
    supposed = replace(scene, dry=True)
    problems = _asked(plan.steps, lambda step: () if step.harmless else step.problems(scene))
    problems += _asked(plan.steps, lambda step: _refusals(step, supposed))
    if plan.condition is not None:
        try:
            fault.look_again(scene, plan.condition)
        except FaultGone:
            pass  # as it should be
        except RunError as error:
            problems.append(str(error))
        else:
            problems.append(f"{plan.when}: that is what `failover recover` is for")
    return list(dict.fromkeys(problems))


def _refusals(step: Step, supposed: Scene) -> Iterable[str]:
    for _ in step.todo(supposed):
        pass  # what it would do is no problem; only what it raises is
    return ()


def _asked(steps: Iterable[Step], ask: Callable[[Step], Iterable[str]]) -> list[str]:
    problems: list[str] = []
    for step in steps:
        try:
            problems += ask(step)
        except (ServerError, RunError) as error:
            problems.append(str(error))
        except KeyError as error:
            problems.append(f"{step.kind}: there is no {error}")
    return list(dict.fromkeys(problems))
