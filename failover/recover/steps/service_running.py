"""``service_running``: a systemd unit runs on a server, and stays; where only one server may run it, alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from failover.errors import ServerError, StepRefused
from failover.model import RunKind, Span, State
from failover.recover.fits import KEEPS_SECONDS
from failover.recover.problem import Problem
from failover.recover.proof import PATIENCE_SECONDS, at_rest, of_service, service_evidence
from failover.recover.scene import On, Scene
from failover.recover.step import ANY_FAILURE, Change, Step, Todo
from failover.recover.steps.service_stopped import CERTAIN

_LOOK_EVERY_SECONDS = 0.1
_STABLE_SECONDS = 2.0
_FIT_SECONDS = 90.0
"""The site's own command may take its time; the helper ends it after a minute."""


def _running(answer: Mapping[str, Any]) -> bool:
    return answer["active"] in ("active", "reloading") and not answer.get("parked")


def plain_paths(value: tuple[str, ...]) -> tuple[str, ...]:
    """The paths, if each is absolute and plain. Raises ValueError."""
    for path in value:
        if not path.startswith("/") or {"", ".", ".."} & set(path[1:].split("/")):
            raise ValueError(f"{path!r} is not an absolute path without '.', '..' and a slash at its end")
    return value


class Requires(BaseModel):
    """What must be so on a server before a unit is started there; else it isn't, and what is missing is said."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mounts: tuple[str, ...] = Field(
        default=(), description="Folders that something must be mounted at: without, it would start empty."
    )
    ports: tuple[int, ...] = Field(
        default=(), description="TCP ports that it listens on: whoever else does is named and left alone."
    )

    command: str | None = Field(
        default=None,
        description="A command under the server's `commands` that says by its exit code whether it may start now, "
        "for example that the database's schema isn't newer than the software.",
    )

    @field_validator("mounts")
    @classmethod
    def _are_absolute(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return plain_paths(value)

    @field_validator("ports")
    @classmethod
    def _are_ports(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        for port in value:
            if not 1 <= port <= 65535:
                raise ValueError(f"{port} is no TCP port")
        return value


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
    stable: Annotated[Span, Field(ge=0, le=600)] | None = Field(
        default=None,
        description="How long it must stay after its start, with the same main process; by default 2 s for a unit that "
        "only one server may run, and no longer than its start for others.",
    )
    requires: Requires = Field(default=Requires(), description="What must be so before it is started.")
    pid_files: tuple[str, ...] = Field(
        default=(),
        description="Pid and lock files that it leaves behind when it dies: removed if their owner is certainly dead.",
    )
    wait: Span = Field(default=3.0, ge=0, description="How long after a restart the check may take to look up.")

    @field_validator("pid_files")
    @classmethod
    def _are_absolute(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return plain_paths(value)

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
        if answer["load"] == "not-found":
            raise StepRefused(f"{server} has no unit {self.unit}")
        if not scene.dry and (why := self._not_alone(scene, server, answer)):
            raise StepRefused(f"{self.unit} isn't started on {server}: {why}")
        stable = self.stable if self.stable is not None else _STABLE_SECONDS * (answer.get("parked") is not None)
        args: dict[str, Any] = {"unit": self.unit, "want": "running"}
        if stable:
            args["stable_seconds"] = stable
        outcome = yield Change(
            server, "service", args, f"start {self.unit} on {server}", within_seconds=self.within + stable
        )
        for said in outcome.answer.get("removed") or () if outcome is not None else ():
            scene.note(f"{server} {said}")

    def prepare(self, scene: Scene) -> Todo:
        """See :class:`Step`. What would keep it from starting is found while the old server still runs its own."""
        yield from ()
        if self.heals is not None or scene.kind is RunKind.KEEP:
            return
        server = scene.on(self.on)
        if scene.kind is RunKind.RECOVER and not scene.forced and self._known_fit(scene, server):
            return
        answer = scene.server(server).ask("service", within_seconds=_FIT_SECONDS, unit=self.unit, fit=True)
        if not at_rest(answer):
            return
        if said := answer.get("hindrances"):
            raise StepRefused(f"{self.unit} can't be started on {server}: {'; '.join(said)}")

    def _known_fit(self, scene: Scene, server: str) -> bool:
        """Whether readiness found it fit just now. Asking takes a site's own command, while visitors wait."""
        at = scene.fits.last(server, self.unit)
        return at is not None and scene.within(at, KEEPS_SECONDS)

    def _not_alone(self, scene: Scene, server: str, answer: Mapping[str, Any]) -> str | None:
        """Why nothing proves that the other server doesn't run it, where only one may (I12); None when that is proven.

        Looked at once more here, for a copy may have taken its time since the step that stopped it.
        """
        other = scene.old if server == scene.new else scene.new
        proven = of_service(other, self.unit) in scene.proofs
        if answer.get("parked") is None and not proven:
            return None
        found = service_evidence(scene, other, self.unit, CERTAIN)
        if found.proof is not None or (proven and found.held is None):
            return None
        return f"nothing proves that it stands still on {other}: {found.why}"

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
        if self.heals is not None or not self._started(scene, server):
            return
        answer = scene.server(server).ask("service", unit=self.unit)
        if not at_rest(answer) or answer.get("parked") is False:
            args = {"unit": self.unit, "want": "stopped"}
            yield Change(server, "service", args, f"stop {self.unit} on {server} again", within_seconds=self.within)

    def undo_problem(self, scene: Scene) -> str | None:
        """See :class:`Step`."""
        server = scene.on(self.on)
        if self.heals is not None or not self._started(scene, server):
            return None
        try:
            scene.server(server).ask("service", unit=self.unit)
        except ServerError as error:
            return f"{server}, where {self.unit} was started, doesn't answer ({error.sentence})"
        return None

    def _started(self, scene: Scene, server: str) -> bool:
        wish = (self.unit, "running")
        return any(
            made.outcome.touched and (made.args.get("unit"), made.args.get("want")) == wish
            for made in scene.made(server, "service")
        )

    def problems(self, scene: Scene) -> Iterator[Problem]:
        """See :class:`Step`."""
        server = scene.on(self.on)
        fit = self.heals is None
        scene.fits.unfit(server, self.unit)  # until it has said otherwise
        answer = scene.server(server).ask(
            "service", within_seconds=_FIT_SECONDS, unit=self.unit, **({"fit": True} if fit else {})
        )
        if answer["load"] == "not-found":
            yield Problem(f"{server} has no unit {self.unit}", "stops", server, scene.now())
        elif answer["load"] != "loaded" and not answer.get("hindrances"):
            yield Problem(f"{self.unit} on {server} can't be started ({answer['load']})", "stops", server, scene.now())
        elif fit and at_rest(answer):
            for said in answer.get("hindrances") or ():
                yield Problem(f"{self.unit} can't be started on {server}: {said}", "stops", server, scene.now())
            if not answer.get("hindrances"):
                scene.fits.found(server, self.unit, scene.now())
