"""``service_running`` and ``service_stopped``: what a systemd unit does on a server, named by its part in the run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import Field

from failover.errors import NeedsPerson, ServerError, StepRefused
from failover.model import RunKind, Span, State
from failover.recover.problem import Problem
from failover.recover.proof import PATIENCE_SECONDS, fenced
from failover.recover.scene import On, Scene
from failover.recover.step import ANY_FAILURE, Change, Step, Todo

_LOOK_EVERY_SECONDS = 0.1


def _running(answer: Mapping[str, Any]) -> bool:
    return answer["active"] in ("active", "reloading")


def _at_rest(answer: Mapping[str, Any]) -> bool:
    return answer["active"] in ("inactive", "failed")


class ServiceRunning(Step):
    """A systemd unit runs on a server.

    With ``heals`` it is the attempt to end a failure without moving anything: the unit is restarted once, where it is,
    and if the check then looks up the run is over.
    """

    kind: Literal["service_running"] = "service_running"
    unit: str = Field(pattern=r"^[A-Za-z0-9:_.@-]{1,200}$", description="The systemd unit, as `nginx`.")
    on: On = Field(default="new", description="Where: `new`, `old`, `holder` or `standby`.")
    healing: str | None = Field(
        default=None, alias="heals", description="Restart the unit once; if this check is up then, nothing moves."
    )
    within: Span = Field(default=10.0, gt=0, description="How long starting may take.")
    wait: Span = Field(default=3.0, ge=0, description="How long after a restart the check may take to look up.")

    @property
    def heals(self) -> str | None:
        """See :class:`Step`."""
        return self.healing

    def title(self, scene: Scene) -> str:
        """See :class:`Step`."""
        done = "restarted" if self.heals else "running"
        return f"{self.unit} {done} on {scene.on(self.on)}"

    def todo(self, scene: Scene) -> Todo:
        """See :class:`Step`."""
        server = scene.on(self.on)
        if self.heals is not None:
            yield from self._restart_once(scene, server)
            return
        answer = scene.server(server).ask("service", unit=self.unit)
        if _running(answer):
            return
        if answer["load"] != "loaded":
            raise StepRefused(f"{server} has no unit {self.unit} ({answer['load']})")
        args = {"unit": self.unit, "want": "running"}
        yield Change(server, "service", args, f"start {self.unit} on {server}", within_seconds=self.within)

    def _restart_once(self, scene: Scene, server: str) -> Todo:
        # A restart leaves nothing that facts could tell from no restart: what the run has tried counts.
        if scene.kind is not RunKind.RECOVER or scene.forced or self._tries(scene, server):
            return
        try:
            scene.server(server).ask("service", within_seconds=scene.patience(server, PATIENCE_SECONDS), unit=self.unit)
        except ServerError as error:
            scene.note(f"{self.unit} can't be restarted on {server}: {error.sentence}")
            return
        args = {"unit": self.unit, "want": "restarted"}
        says = f"restart {self.unit} on {server}"
        yield Change(server, "service", args, says, within_seconds=self.within, tolerates=ANY_FAILURE)

    def _tries(self, scene: Scene, server: str) -> bool:
        return any(made.args.get("unit") == self.unit for made in scene.made(server, "service"))

    def enough(self, scene: Scene) -> str | None:
        """See :class:`Step`."""
        server = scene.on(self.on)
        made = [made for made in scene.made(server, "service") if made.args.get("unit") == self.unit]
        if self.heals is None or not made or made[-1].outcome.result not in ("ok", "unknown"):
            return None
        give_up = scene.clock() + self.wait
        ups = 0
        while ups < 2:
            ups = ups + 1 if scene.look(self.heals, server).state is State.UP else 0
            if scene.clock() >= give_up and ups == 0:
                return None
            if ups < 2:
                scene.wait(_LOOK_EVERY_SECONDS)
        return f"healed in place: {self.unit} was restarted on {server}"

    def undo(self, scene: Scene) -> Todo:
        """See :class:`Step`. Stops what this run started, so that the old server's may start again alone."""
        server = scene.on(self.on)
        args = {"unit": self.unit, "want": "running"}
        if self.heals is not None or not _did(scene, server, args):
            return
        if not _at_rest(scene.server(server).ask("service", unit=self.unit)):
            args = {"unit": self.unit, "want": "stopped"}
            yield Change(server, "service", args, f"stop {self.unit} on {server} again", within_seconds=self.within)

    def undo_problem(self, scene: Scene) -> str | None:
        """See :class:`Step`."""
        server = scene.on(self.on)
        if self.heals is not None or not _did(scene, server, {"unit": self.unit, "want": "running"}):
            return None
        try:
            scene.server(server).ask("service", unit=self.unit)
        except ServerError as error:
            return f"{server}, where {self.unit} was started, doesn't answer ({error.sentence})"
        return None

    def problems(self, scene: Scene) -> Iterator[Problem]:
        """See :class:`Step`."""
        server = scene.on(self.on)
        answer = scene.server(server).ask("service", unit=self.unit)
        if answer["load"] != "loaded":
            yield Problem(f"{server} has no unit {self.unit} ({answer['load']})", "stops", server, scene.now())


class ServiceStopped(Step):
    """A systemd unit doesn't run on a server any more."""

    kind: Literal["service_stopped"] = "service_stopped"
    unit: str = Field(pattern=r"^[A-Za-z0-9:_.@-]{1,200}$", description="The systemd unit, as `wcm`.")
    on: On = Field(default="old", description="Where: `new`, `old`, `holder` or `standby`.")
    within: Span = Field(default=30.0, gt=0, description="How long stopping may take.")

    def title(self, scene: Scene) -> str:
        """See :class:`Step`."""
        return f"{self.unit} stopped on {scene.on(self.on)}"

    def words(self, scene: Scene) -> tuple[str, ...]:
        """See :class:`Step`."""
        return (f"stopped:{self.unit}",)

    def todo(self, scene: Scene) -> Todo:
        """See :class:`Step`. Like an address, a service that can't be asked isn't taken for stopped."""
        server = scene.on(self.on)
        try:
            patience = scene.patience(server, PATIENCE_SECONDS)
            answer = scene.server(server).ask("service", within_seconds=patience, unit=self.unit)
        except ServerError as error:
            yield from self._cut_off(scene, server, error)
            return
        if _at_rest(answer):
            return
        args = {"unit": self.unit, "want": "stopped"}
        yield Change(server, "service", args, f"stop {self.unit} on {server}", within_seconds=self.within)

    def _cut_off(self, scene: Scene, server: str, error: ServerError) -> Todo:
        fence = f"fence:{server}"
        if fenced(scene, server)[0] is not None or scene.word(f"stopped:{self.unit}") is not None:
            return
        if fence in scene.servers and scene.kind is RunKind.RECOVER and not scene.made(fence, "fence"):
            says = f"cut {server} off by its fence"
            done = yield Change(fence, "fence", {"want": "off"}, says, within_seconds=30, tolerates=ANY_FAILURE)
            if done is None or (done.ok and done.answer.get("off") is True):
                return
        raise NeedsPerson(
            f"Is {self.unit} on {server} stopped for certain? {server} doesn't answer ({error.sentence}). If it is "
            f"switched off, confirm `stopped:{self.unit}`; while it may still run, don't: two would write at once",
            word=f"stopped:{self.unit}",
        )

    def undo(self, scene: Scene) -> Todo:
        """See :class:`Step`."""
        server = scene.on(self.on)
        stopped = _did(scene, server, {"unit": self.unit, "want": "stopped"})
        if stopped and not _running(scene.server(server).ask("service", unit=self.unit)):
            args = {"unit": self.unit, "want": "running"}
            yield Change(server, "service", args, f"start {self.unit} on {server} again", within_seconds=self.within)

    def undo_problem(self, scene: Scene) -> str | None:
        """See :class:`Step`."""
        server = scene.on(self.on)
        if any(made.outcome.touched for made in scene.made(f"fence:{server}", "fence")):
            return f"{server} was cut off by its fence"
        return None


def _did(scene: Scene, server: str, args: Mapping[str, Any]) -> bool:
    return any(made.outcome.touched and made.args == args for made in scene.made(server, "service"))
