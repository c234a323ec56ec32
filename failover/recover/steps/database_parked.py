"""``database_parked``: a database that doesn't serve any more takes no writes, and what it has besides is told."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from failover.errors import ServerError, StepRefused
from failover.recover.catalogue import look_at
from failover.recover.outcome import Outcome
from failover.recover.restoring import quiet, the_database
from failover.recover.rows import counted, differences
from failover.recover.scene import On, Scene
from failover.recover.step import ANY_FAILURE, Change, Step, Todo


class DatabaseParked(Step):
    """Nobody writes to the database of a server that doesn't hold the role (I10, I11). Nothing is merged or dropped.

    Its server goes on running, for people to read what was written last, and for shadows to be restored beside it. One
    that a planned move stopped is started again: it was made read-only before. One that failed is left to people.
    """

    kind: Literal["database_parked"] = "database_parked"
    on: On = Field(default="standby", description="Which server.")

    def title(self, scene: Scene) -> str:
        """See :class:`Step`."""
        name = scene.role.database.name if scene.role.database else scene.role.name
        return f"{name} on {scene.on(self.on)} takes no writes"

    def todo(self, scene: Scene) -> Todo:
        """See :class:`Step`. A database server that is down takes no writes."""
        database, server = the_database(scene), scene.on(self.on)
        now = look_at(scene, server, database)
        if not now.up:
            yield from self._start(scene, server)
        if not now.takes_writes:
            return
        holder = scene.role.holder
        try:
            serving = look_at(scene, holder, database)
        except ServerError:
            serving = None  # what the journal says of who serves is the best that is known
        if serving is not None and serving.up and not serving.exists:
            raise StepRefused(
                f"{holder} should serve {database.name} and has no such database, and {server} has: people have to say "
                "which one serves before anything is made read-only"
            )
        yield quiet(server, database)

    def _start(self, scene: Scene, server: str) -> Todo:
        swap, unit = scene.swap(scene.role.name), scene.role.unit
        if unit is None or swap is None or swap.loss_seconds > 0 or swap.server != scene.role.holder:
            return
        if not scene.made(server, "service"):
            says = f"start {unit} on {server} again, whose database was made read-only before it was stopped"
            args = {"unit": unit, "want": "running"}
            yield Change(server, "service", args, says, within_seconds=60, tolerates=ANY_FAILURE)

    def news(self, scene: Scene, change: Change, outcome: Outcome) -> tuple[str, dict[str, Any]] | None:
        """See :class:`Step`. Compares with the backup that was put in its place, where rows were counted in that."""
        if change.verb != "database":
            return None
        told: dict[str, Any] = {"server": change.server, "role": scene.role.name, "name": change.args["name"]}
        swap = scene.swap(scene.role.name)
        if swap is None or swap.tables is None or swap.server == change.server:
            return "database.parked", {**told, "newer_rows": {}, "against": None}
        try:
            rows = differences(swap.tables, counted(scene, change.server, the_database(scene)))
        except ServerError as error:
            return "database.parked", {**told, "newer_rows": {}, "against": swap.backup, "problem": error.sentence}
        return "database.parked", {**told, "newer_rows": rows, "against": swap.backup}
