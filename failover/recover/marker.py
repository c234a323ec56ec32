"""Seeing where a program writes: a marker goes in through it, and comes out of the database that serves (I11)."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from failover.errors import ServerError, StepRefused, StepUnfinished
from failover.model import Span
from failover.recover.outcome import Made
from failover.recover.proof import fenced
from failover.recover.scene import RoleNow, Scene

_LOOK_SECONDS = 0.25
_ASK_SECONDS = 10.0
_SHORTEST = 4
"""A marker of fewer letters could be there by chance."""


class Marker(BaseModel):
    """How it is proven: a marker goes in through the WCM, and comes out of the database that serves."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    command: str = Field(
        description="A command under the WCM servers' `commands` that writes a new text through the WCM, and prints it."
    )
    query: str = Field(
        description="A question under the database's `queries` that answers with the texts written last."
    )
    within: Span = Field(default=15.0, gt=0, description="How long it may take until the marker is found.")


def look_for(scene: Scene, proof: Marker, written: Made, program: str, role: RoleNow, serves: str) -> None:
    """Wait until a marker that was written through a program is in the database that serves; and say so.

    Args:
        scene: the run's.
        proof: how the marker is written and found.
        written: the command that wrote it, and what that printed.
        program: the role of the program.
        role: of the database.
        serves: the server whose database it has to be in.

    Raises:
        StepRefused: nothing was printed that could be looked for.
        StepUnfinished: it isn't there in time, or it is in the other database.
    """
    marker = (str(written.outcome.answer.get("output") or "").strip().splitlines() or [""])[-1].strip()
    if len(marker) < _SHORTEST:
        raise StepRefused(f"{proof.command} on {written.server} printed no marker that could be looked for: {marker!r}")
    through = f"through {program} on {written.server}"
    give_up = scene.clock() + proof.within
    while marker not in _newest(scene, serves, role, proof):
        _not_elsewhere(scene, marker, proof, program, role, serves)
        if scene.clock() >= give_up:
            raise StepUnfinished(f"the marker {marker!r}, written {through}, isn't in the database on {serves}")
        scene.wait(_LOOK_SECONDS)
    _not_elsewhere(scene, marker, proof, program, role, serves)
    scene.note(f"the marker {marker!r} went in {through} and is in the database on {serves}")


def _newest(scene: Scene, server: str, role: RoleNow, proof: Marker) -> str:
    name = role.database.name if role.database is not None else role.name
    patience = scene.patience(server, _ASK_SECONDS)
    answer = scene.server(server).ask("database", within_seconds=patience, name=name, query=proof.query)
    return str(answer.get("value") or "")


def _not_elsewhere(scene: Scene, marker: str, proof: Marker, program: str, role: RoleNow, serves: str) -> None:
    """Raises where the other database has the marker; one that can't be asked can't be written to from here."""
    other = next(name for name in (role.holder, role.standby) if name != serves)
    if fenced(scene, other)[0] is not None:
        return  # nobody can write to what is off
    try:
        found = marker in _newest(scene, other, role, proof)
    except ServerError as error:
        scene.note(f"the database on {other} couldn't be asked whether anybody writes to it: {error.sentence}")
        return
    if found:
        raise StepUnfinished(f"{program} still writes to the database on {other}: the marker {marker!r} is there")
