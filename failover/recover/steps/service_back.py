"""``service_back``: a unit that the boot guard parked on the role's own holder is let go and started again."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from failover.recover.scene import On, Scene
from failover.recover.step import Todo
from failover.recover.steps.service_running import ServiceRunning


class ServiceBack(ServiceRunning):
    """What only the holder may run runs again after the holder's boot: the guard can't know who holds the role.

    A unit that isn't parked was stopped by somebody, and is theirs to start.
    """

    kind: Literal["service_back"] = "service_back"  # type: ignore[assignment] # another kind of the same step
    on: On = Field(default="holder", description="Where: the holder, or another server that has to run it.")

    def todo(self, scene: Scene) -> Todo:
        """See :class:`Step`."""
        if scene.server(scene.on(self.on)).ask("service", unit=self.unit).get("parked"):
            yield from super().todo(scene)
