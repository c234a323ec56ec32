"""``service_parked``: a server that doesn't hold the role doesn't run the role's unit, and couldn't (I10, I12)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from failover.recover.outcome import Outcome
from failover.recover.proof import stands_still
from failover.recover.scene import On, Scene
from failover.recover.step import Change, Step, Todo


class ServiceParked(Step):
    """The unit stands still on that server and nothing there can start it: no boot, no timer, no hand."""

    kind: Literal["service_parked"] = "service_parked"
    unit: str = Field(pattern=r"^[A-Za-z0-9:_.@-]{1,200}$", description="The systemd unit, as `wcm`.")
    on: On = Field(default="standby", description="Which server.")

    def title(self, scene: Scene) -> str:
        """See :class:`Step`."""
        return f"{self.unit} parked on {scene.on(self.on)}"

    def todo(self, scene: Scene) -> Todo:
        """See :class:`Step`."""
        server = scene.on(self.on)
        if stands_still(scene.server(server).ask("service", unit=self.unit)):
            return
        args = {"unit": self.unit, "want": "stopped"}
        yield Change(server, "service", args, f"park {self.unit} on {server}", within_seconds=30)

    def news(self, scene: Scene, change: Change, outcome: Outcome) -> tuple[str, dict[str, Any]] | None:
        """See :class:`Step`."""
        return "server.parked", {"server": change.server, "unit": self.unit}
