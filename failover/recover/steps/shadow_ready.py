"""``shadow_ready``: the newest good backup stands restored and checked beside the database, before it is needed."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from failover.model import Span
from failover.recover.catalogue import look_at
from failover.recover.outcome import Outcome
from failover.recover.restoring import drop, restore, restored_news, the_database
from failover.recover.scene import On, Scene
from failover.recover.step import ANY_FAILURE, Change, Step, Todo

_NOTE_SECONDS = 15.0


class ShadowReady(Step):
    """The newest good backup is restored under a name of its own, so that putting it in place takes milliseconds.

    There is one shadow at a time, whatever its backups come to: older ones are dropped once the newest stands. The
    catalogue is told that its backup was restored, which is the best proof that it is good.
    """

    kind: Literal["shadow_ready"] = "shadow_ready"
    backups: tuple[str, ...] = Field(
        min_length=1, max_length=10, description="The sets to choose from, by their names under `backups`."
    )
    on: On = Field(default="standby", description="Which server: `new`, `old`, `holder` or `standby`.")
    within: Span = Field(default=7200.0, gt=0, description="How long bringing or restoring one may take.")

    @property
    def harmless(self) -> bool:
        """See :class:`Step`."""
        return True

    def title(self, scene: Scene) -> str:
        """See :class:`Step`."""
        name = scene.role.database.name if scene.role.database else scene.role.name
        return f"the newest good backup of {name} restored beside it on {scene.on(self.on)}"

    def todo(self, scene: Scene) -> Todo:
        """See :class:`Step`."""
        database, server = the_database(scene), scene.on(self.on)
        ready = yield from restore(scene, server, self.backups, self.within)
        if ready is None:
            return
        for shadow in look_at(scene, server, database).shadows:
            if shadow.into != ready.shadow.into:
                yield drop(server, database, shadow)
        yield from self._note(scene, server)

    def _note(self, scene: Scene, server: str) -> Todo:
        """Tell the catalogues that it was restored; one that can't be told isn't waited for."""
        for made in scene.made(server, "database"):
            if made.args.get("want") != "restored" or not made.outcome.ok:
                continue
            name, backup = str(made.args["set"]), str(made.args["backup"])
            for place in scene.backups[name].servers if name in scene.backups else ():
                if any(told.args.get("id") == backup for told in scene.made(place, "backups")):
                    continue
                args = {"set": name, "want": "noted", "id": backup, "restored_at": made.at.isoformat()}
                says = f"note on {place} that {backup} was restored"
                yield Change(place, "backups", args, says, within_seconds=_NOTE_SECONDS, tolerates=ANY_FAILURE)

    def news(self, scene: Scene, change: Change, outcome: Outcome) -> tuple[str, dict[str, Any]] | None:
        """See :class:`Step`."""
        if change.verb != "database" or change.args["want"] != "restored":
            return None
        return restored_news(scene, change, outcome)
