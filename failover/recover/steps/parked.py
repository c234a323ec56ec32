"""``parked``: a server that doesn't hold the role keeps quiet about its address (I10)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from failover.recover.outcome import Outcome
from failover.recover.proof import parked
from failover.recover.scene import On, Scene
from failover.recover.step import Change, Step, Todo


class Parked(Step):
    """The address is off that server and silenced there, whatever its own boot configuration says."""

    kind: Literal["parked"] = "parked"
    address: str = Field(description="The service address, by its name under `addresses`.")
    on: On = Field(default="standby", description="Which server.")

    def title(self, scene: Scene) -> str:
        """See :class:`Step`."""
        return f"{self.address} parked on {scene.on(self.on)}"

    def todo(self, scene: Scene) -> Todo:
        """See :class:`Step`."""
        address, server = scene.addresses[self.address], scene.on(self.on)
        if parked(scene.server(server).ask("address", ip=address.host)):
            return
        args = {"ip": address.host, "interface": address.interface, "prefix": address.prefix, "want": "released"}
        yield Change(server, "address", args, f"park {address.ip} on {server}", within_seconds=5)

    def news(self, scene: Scene, change: Change, outcome: Outcome) -> tuple[str, dict[str, Any]] | None:
        """See :class:`Step`."""
        if change.verb != "address" or change.args["want"] != "released":
            return None
        return "server.parked", {"server": change.server, "address": self.address}
