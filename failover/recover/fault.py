"""Whether the failure that a run is for is still there (I13)."""

from __future__ import annotations

from datetime import timedelta

from failover.decide.when import Condition
from failover.errors import FaultGone, StepRefused
from failover.model import Reading, Standing, State
from failover.recover.scene import Scene

FRESH_SECONDS = 0.5
"""A look of the monitor's own that ended so recently counts: a look at a silent server takes all of its timeout."""
_PATIENCE_SECONDS = 10.0
"""How long the monitor may be unable to tell: one that was just started anew in mid-run soon can."""
_PAUSE_SECONDS = 0.25

_AS_STANDING = {
    State.UP: (Standing.UP,),
    State.DOWN: (Standing.DOWN, Standing.SUSPECT),
    State.UNKNOWN: (Standing.UNKNOWN,),
}


def look_again(scene: Scene, condition: Condition) -> None:
    """Return when the failure is still there.

    Raises:
        FaultGone: it isn't.
        StepRefused: the monitor can't tell, and what it can't see it doesn't act on.
    """
    give_up = scene.clock() + _PATIENCE_SECONDS
    while True:
        readings = [_reading(scene, check) for check in condition.checks]
        if _holds(condition, readings):
            return
        said = "; ".join(f"{reading.check} is {reading.state}: {reading.reason}" for reading in readings)
        if not any(reading.state is State.UNKNOWN for reading in readings):
            raise FaultGone(f"the failure is gone: {said}")
        if scene.clock() >= give_up:
            raise StepRefused(f"the failure can't be confirmed: {said}")
        scene.wait(_PAUSE_SECONDS)


def _reading(scene: Scene, check: str) -> Reading:
    newest = scene.newest(check)
    if newest is not None and newest.state is not State.UNKNOWN:
        ended = newest.at + timedelta(seconds=newest.seconds)
        if scene.within(ended, FRESH_SECONDS):
            return newest
    return scene.look(check, scene.role.holder)


def _holds(condition: Condition, readings: list[Reading]) -> bool:
    """Whether it holds for single looks, where the verdicts that it speaks of need several."""
    down: dict[str, Standing] = {reading.check: _AS_STANDING[reading.state][0] for reading in readings}
    suspect = {reading.check: _AS_STANDING[reading.state][-1] for reading in readings}
    return condition.holds(down) or condition.holds(suspect)
