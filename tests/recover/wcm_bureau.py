"""The toys put together around a WCM: two servers that never may run it at once, and editors who upload to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from failover.journal import Journal
from failover.journal.queries import RunView, holders
from failover.model import Reading, RunKind, State
from failover.recover.plan import Plan
from failover.recover.scene import RoleNow, Scene
from failover.recover.steps import ContentSynced, ServiceRunning
from tests.recover.bureau import LIN, Bureau
from tests.recover.toy_fence import ToyFence
from tests.recover.toy_server import ToyServer
from tests.recover.toy_world import World, address_of

MEDIA = "/srv/wcm/media"
PLAN: dict[str, Any] = {
    "when": "wcm is down",
    "mode": "auto",
    "steps": [
        {"service_stopped": {"unit": "wcm"}},
        {"content_synced": {"from": "wcm", "path": MEDIA}},
        {"service_running": {"unit": "wcm"}},
        {"answers": {"check": "wcm", "every": "2s"}},
    ],
}


class WcmBureau(Bureau):
    """``wcm`` serves and ``wcm-backup`` stands by; what editors upload lies on the one that runs."""

    def __init__(
        self, path: Path, wrap: Callable[[Journal], Any] = lambda journal: journal, *, fence: bool = False
    ) -> None:
        self.path = path / "journal.db"
        self.world = World("wcm", "wcm-backup", "third")
        for name, state in (("wcm", "active"), ("wcm-backup", "inactive")):
            host = self.world.hosts[name]
            host.alone.add("wcm")
            host.services["wcm"] = state
            host.content[MEDIA] = _content({"first.jpg"})
        self.world.hosts["wcm-backup"].parked_units.add("wcm")
        self.accepted: set[str] = {"first.jpg"}
        self.servers: dict[str, Any] = {name: ToyServer(self.world, name) for name in self.world.hosts}
        if fence:
            self.servers["fence:wcm"] = ToyFence(self.world, "wcm")
        self.plans = {"wcm": Plan.model_validate(PLAN)}
        self.silent: dict[str, Any] = {}
        self.told: list[RunView] = []
        self.looks_left: int | None = None
        self.world.on_wait = self._leave_waiting
        self.spawn: Callable[[Callable[[], None], str], None] = lambda work, _name: work()
        self.wrap = wrap
        self.start_daemon()

    def scene(self, role: str, kind: RunKind) -> Scene:
        holder = holders(self.journal.events(kinds=["role.moved"]), {"wcm": "wcm"})["wcm"]
        standby = "wcm-backup" if holder == "wcm" else "wcm"
        wcm = RoleNow("wcm", holder, standby, path=MEDIA, unit="wcm")
        return Scene(
            site="shop", kind=kind, role=wcm, old=holder, new=standby, roles={"wcm": wcm}, addresses={},
            servers=self.servers, hosts={name: address_of(name, self.world) for name in self.world.hosts},
            look=self.look, silent_since=self.silent.get, copies=self.copies, now=self.world.now,
        )  # fmt: skip

    def look(self, check: str, server: str) -> Reading:
        up = self.world.hosts[server].runs("wcm") and "wcm" not in self.world.hosts[server].broken
        return Reading(check, State.UP if up else State.DOWN, "answers" if up else "nobody answers", self.world.now())

    def upload(self, _where: str = "") -> None:
        """An editor uploads a picture to whichever WCM runs, and is told that it is there."""
        for host in self.world.hosts.values():
            if host.runs("wcm"):
                name = f"{len(self.accepted)}.jpg"
                host.content[MEDIA] = _content({*host.content[MEDIA]["paths"], name})
                self.accepted.add(name)

    def move(self, kind: RunKind, **more: Any) -> RunView:
        return self._last(lambda: self.runner.start("wcm", kind, LIN, **more))

    def uploaded(self, name: str) -> set[str]:
        return set(self.world.hosts[name].content[MEDIA]["paths"])

    @property
    def content(self) -> ContentSynced:
        """The content step of the WCM plan."""
        return next(step for step in self.plans["wcm"].steps if isinstance(step, ContentSynced))

    @property
    def running(self) -> ServiceRunning:
        """The step that starts it."""
        return next(step for step in self.plans["wcm"].steps if isinstance(step, ServiceRunning))

    @property
    def stored(self) -> str:
        return self.scene("wcm", RunKind.RECOVER).role.holder

    @property
    def runs_on(self) -> str | None:
        return next((name for name, host in self.world.hosts.items() if host.runs("wcm")), None)


def _content(names: set[str]) -> dict[str, Any]:
    digest = "/".join(sorted(names))
    return {"digest": digest, "files": len(names), "bytes": 10 * len(names), "paths": dict.fromkeys(names, "")}
