"""Whether a plan would work now: every step is asked in daylight what would stop it, without any effect."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from failover.errors import FaultGone, RunError, ServerError
from failover.model import Mode
from failover.recover import fault, standby
from failover.recover.plan import Plan
from failover.recover.problem import Problem, Severity, once
from failover.recover.scene import Scene
from failover.recover.step import Step
from failover.recover.work import Told, Waits


def ready(plan: Plan, scene: Scene) -> list[Problem]:
    """What stands against the plan now, each once; empty when nothing does.

    A server that can't be asked stops the plan where it is the one that would take over. That the holder is silent is
    what the plan is for; what the silence of any other means for a step, the step itself says.
    """

    def unasked(server: str) -> Severity:
        return "stops" if server == scene.new else "hint"

    found = _asked(plan.steps, scene, lambda step: step.problems(scene), unasked)
    return once([*found, *standby.problems(scene)])


def works(plan: Plan, scene: Scene) -> list[tuple[int, tuple[Told, ...]]]:
    """What each step says of its work now, by its number, for a forecast. Who can't be asked takes as long as usual."""
    found: list[tuple[int, tuple[Told, ...]]] = []
    for number, step in enumerate(plan.steps, start=1):
        try:
            found.append((number, tuple(step.work(scene))))
        except (ServerError, RunError, KeyError):
            found.append((number, tuple(Step.work(step, scene))))  # what that means for the plan, its problems say
    if plan.mode is not Mode.AUTO:
        found.insert(0, (0, (Waits(f"a person starts it (mode {plan.mode})"),)))
    return found


def hindrances(plan: Plan, scene: Scene) -> list[str]:
    """What stands against a planned move now. A copy that is only out of date doesn't: it is made in the move."""
    supposed = replace(scene, dry=True)

    def unasked(_server: str) -> Severity:
        return "stops"

    found = _asked(plan.steps, scene, lambda step: () if step.harmless else step.problems(scene), unasked)
    found += _asked(plan.steps, scene, lambda step: _refusals(step, supposed), unasked)
    problems = [problem.text for problem in once(found) if problem.severity == "stops"]
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


def unfit(plan: Plan, scene: Scene) -> list[str]:
    """What would keep the server that a role goes back to from serving; the other one may be sick, that is why."""

    def unasked(server: str) -> Severity:
        return "stops" if server == scene.new else "hint"

    found = _asked(plan.steps, scene, lambda step: () if step.harmless else step.problems(scene), unasked)
    return [problem.text for problem in found if problem.severity == "stops" and problem.about == scene.new]


def _refusals(step: Step, supposed: Scene) -> Iterable[Problem]:
    for _ in step.todo(supposed):
        pass  # what it would do is no problem; only what it raises is
    return ()


def _asked(
    steps: Iterable[Step], scene: Scene, ask: Callable[[Step], Iterable[Problem]], unasked: Callable[[str], Severity]
) -> list[Problem]:
    problems: list[Problem] = []
    for step in steps:
        try:
            problems.extend(ask(step))  # what was said before it raises counts
        except ServerError as error:
            problems.append(Problem(str(error), unasked(error.server), error.server, scene.now()))
        except RunError as error:
            problems.append(Problem(str(error), "stops", None, scene.now()))
        except KeyError as error:
            problems.append(Problem(f"{step.kind}: there is no {error}", "stops", None, scene.now()))
    return once(problems)
