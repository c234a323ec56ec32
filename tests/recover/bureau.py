"""The toys put together: a web role with an address, its WCM, its journal and its runner."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from failover.journal import Journal
from failover.journal.queries import RunView, holders, run_view
from failover.model import Cause, RunKind, RunState
from failover.recover.address import Address
from failover.recover.copies import Copies
from failover.recover.plan import Plan
from failover.recover.runner import Runner
from failover.recover.scene import Page, RoleNow, Scene
from failover.recover.steps import ContentSynced
from tests.recover.toy_fence import ToyFence
from tests.recover.toy_server import ToyServer
from tests.recover.toy_world import World, address_of

WWW = "10.77.0.100"
SITE = {"digest": "d1", "files": 100, "bytes": 1000, "text": "统计"}
DAEMON = Cause("daemon", "website is down")
LIN = Cause("lin (uid 1000)", "I looked")
PLAN: dict[str, Any] = {
    "when": "website is down",
    "mode": "auto",
    "steps": [
        {"released": {"address": "www"}},
        {"content_synced": {"from": "wcm", "path": "/srv/site"}},
        {"address_held": {"address": "www"}},
        {"answers": {"check": "website", "marker": "X-Served-By", "every": "2s"}},
    ],
}
HEALING = {"service_running": {"unit": "nginx", "on": "old", "heals": "website"}}


class LeftWaiting(BaseException):
    """The run waits for a person, and the test has seen enough of it."""


class Bureau:
    """``web`` serves and ``web-backup`` stands by; ``db`` is the third place."""

    def __init__(
        self, path: Path, *, fence: bool = False, release: tuple[Any, ...] = ("read-back", "fence", "person"),
        plan: dict[str, Any] | None = None, wrap: Callable[[Journal], Any] = lambda journal: journal,
    ) -> None:  # fmt: skip
        self.path = path / "journal.db"
        self.world = World("web", "web-backup", "wcm", "db")
        self.release = release
        for name in ("web", "web-backup"):
            self.world.hosts[name].services["nginx"] = "active"
            self.world.hosts[name].content["/srv/site"] = {**SITE, "verified_at": self.world.now().isoformat()}
        self.world.hosts["wcm"].content["/srv/site"] = dict(SITE)
        self.world.hosts["web"].held[WWW] = ("eth0", 24)
        self.world.hosts["web-backup"].parked.add(WWW)
        self.servers: dict[str, Any] = {name: ToyServer(self.world, name) for name in self.world.hosts}
        if fence:
            self.servers["fence:web"] = ToyFence(self.world, "web")
        self.plans = {"web": Plan.model_validate(plan or PLAN)}
        self.copies = Copies()
        self.silent: dict[str, Any] = {}
        self.told: list[RunView] = []
        self.looks_left: int | None = None
        self.world.on_wait = self._leave_waiting
        self.spawn: Callable[[Callable[[], None], str], None] = lambda work, _name: work()
        self.wrap = wrap
        self.start_daemon()

    # the daemon ------------------------------------------------------------------------------------------------

    def start_daemon(self) -> None:
        self.journal = Journal.open(self.path, now=self.world.now, ballast_bytes=0)
        self.journal.begin_epoch()
        self.copies = Copies()
        self.runner = Runner(
            "shop", self.wrap(self.journal), self.scene, lambda: self.plans, clock=self.world, spawn=self.spawn
        )
        self.runner.under_way.subscribe(self.told.append)

    def kill_daemon(self) -> None:
        self.journal.close()

    def restart_daemon(self) -> list[int]:
        """kill -9, and start again."""
        self.kill_daemon()
        self.start_daemon()
        return self.runner.recover_unfinished()

    def scene(self, role: str, kind: RunKind) -> Scene:
        holder = holders(self.journal.events(kinds=["role.moved"]), {"web": "web"})["web"]
        standby = "web-backup" if holder == "web" else "web"
        web = RoleNow("web", holder, standby, ("www",), "/srv/site")
        return Scene(
            site="shop", kind=kind, role=web, old=holder, new=standby,
            roles={"web": web, "wcm": RoleNow("wcm", "wcm", "wcm")},
            addresses={"www": Address.model_validate({"ip": f"{WWW}/24", "release": self.release})},
            servers=self.servers, hosts={name: address_of(name, self.world) for name in self.world.hosts},
            look=self.world.look, page=lambda _check, _server: Page(f"http://{WWW}/", contains="统计"),
            silent_since=self.silent.get, copies=self.copies, now=self.world.now,
        )  # fmt: skip

    def _leave_waiting(self, _seconds: float) -> None:
        """Runs are carried out in the test's own thread: one that waits for a person is left after some looks."""
        if self.told and self.told[-1].state is RunState.WAITING:
            self.looks_left = 20 if self.looks_left is None else self.looks_left - 1
            if self.looks_left == 0:
                self.looks_left = None
                raise LeftWaiting

    # what tests do ---------------------------------------------------------------------------------------------

    def break_web(self, *, hopeless: bool = True) -> None:
        self.world.hosts["web"].broken.add("nginx")
        self.world.hosts["web"].hopeless = hopeless

    def publish(self, digest: str, **more: Any) -> None:
        """What the WCM has from now on."""
        self.world.hosts["wcm"].content["/srv/site"] = {**SITE, "digest": digest, **more}

    @property
    def content(self) -> ContentSynced:
        """The content step of the web plan."""
        return next(step for step in self.plans["web"].steps if isinstance(step, ContentSynced))

    def recover(self, cause: Cause = DAEMON, **more: Any) -> RunView:
        return self._last(lambda: self.runner.start("web", RunKind.RECOVER, cause, **more))

    def switch(self) -> RunView:
        return self._last(lambda: self.runner.start("web", RunKind.SWITCH, LIN))

    def roll_back(self, *words: str) -> RunView:
        return self._last(
            lambda: self.runner.start(next(iter(self.plans)), RunKind.ROLLBACK, LIN, force=True, words=words)
        )

    def resume(self, run: int) -> RunView:
        return self._last(lambda: self.runner.resume(run, LIN))

    def abort(self, run: int) -> RunView:
        return self._last(lambda: self.runner.abort(run, LIN))

    def _last(self, work: Callable[[], RunView]) -> RunView:
        """Carry it out to its end, or until it has waited for a person for a while."""
        try:
            return self.end(work().number)
        except LeftWaiting:
            return self.end(self.told[-1].number)

    def end(self, number: int) -> RunView:
        view = run_view(self.journal.events(run=number))
        assert view is not None
        return view

    @property
    def holds(self) -> str | None:
        host = self.world.holder(WWW)
        return host.name if host else None

    @property
    def stored(self) -> str:
        return self.scene("web", RunKind.RECOVER).role.holder

    def kinds(self, number: int) -> list[str]:
        return [event.kind for event in self.journal.events(run=number)]
