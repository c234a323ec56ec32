"""``service_stopped``: the old server doesn't run a unit any more, and that is proven as for an address (I12)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field

from failover.errors import ServerError, StepRefused
from failover.model import RunKind, Span
from failover.recover import letting_go
from failover.recover.address import CertainProof, FenceProof, PersonProof, ReadBack
from failover.recover.outcome import Made, Outcome
from failover.recover.problem import Problem
from failover.recover.proof import service_evidence, service_read_back, switched_off
from failover.recover.scene import On, Scene
from failover.recover.step import ANY_FAILURE, Change, Step, Todo
from failover.recover.work import ASSUMED_SECONDS, Like, Told, Waits, Work

CERTAIN: tuple[CertainProof, ...] = (ReadBack(), FenceProof(), PersonProof())


class ServiceStopped(Step):
    """A systemd unit doesn't run on a server any more, and there is proof of it: two that write would spoil the data.

    A unit that the same plan starts on the new server is also parked on the old one: it doesn't start again there,
    neither at a boot nor by hand, until the daemon lets it.
    """

    kind: Literal["service_stopped"] = "service_stopped"
    unit: str = Field(pattern=r"^[A-Za-z0-9:_.@-]{1,200}$", description="The systemd unit, as `wcm`.")
    on: On = Field(default="old", description="Where: `new`, `old`, `holder` or `standby`.")
    within: Span = Field(default=30.0, gt=0, description="How long stopping may take.")
    release: tuple[CertainProof, ...] = Field(
        default=CERTAIN, min_length=1, description="What counts as proof that it doesn't run, tried in this order."
    )
    fence_within: Span = Field(default=30.0, gt=0, description="How long a fence may take to confirm.")

    def title(self, scene: Scene) -> str:
        """See :class:`Step`."""
        return f"{self.unit} stopped on {scene.on(self.on)}"

    def words(self, scene: Scene) -> tuple[str, ...]:
        """See :class:`Step`."""
        return letting_go.words(scene.on(self.on), self.release)

    def todo(self, scene: Scene) -> Todo:
        """See :class:`Step`. Tries the proofs in the order of the config, each as long as it can still help."""
        server = scene.on(self.on)
        found = service_evidence(scene, server, self.unit, self.release)
        if found.proof is not None:
            return
        change = self._stop(scene, server)
        tried = yield from letting_go.let_go(
            scene, server, self.release, found, change, lambda: self._tries(scene, server), self.fence_within
        )
        if not tried:
            seen = f"nothing proves that {self.unit} stands still on {server}: {found.why}"
            then = (f"{scene.new} goes on without it", "two would write at once")
            letting_go.wait_for_proof(scene, server, self.release, self.unit, seen, then)

    def _stop(self, scene: Scene, server: str) -> Change:
        """What hangs doesn't end when it is asked to; where it failed anyway, it is killed then."""
        args: dict[str, Any] = {"unit": self.unit, "want": "stopped"}
        tries = self._tries(scene, server)
        if tries and tries[-1].outcome.kind == "timeout" and scene.kind is RunKind.RECOVER:
            says = f"kill what is left of {self.unit} on {server}, which doesn't stop"
            args["kill"] = True
        else:
            says = f"stop {self.unit} on {server}"
        return Change(server, "service", args, says, within_seconds=self.within, tolerates=ANY_FAILURE)

    def _tries(self, scene: Scene, server: str) -> list[Made]:
        wish = (self.unit, "stopped")
        made = scene.made(server, "service")
        return [one for one in made if (one.args.get("unit"), one.args.get("want")) == wish]

    def news(self, scene: Scene, change: Change, outcome: Outcome) -> tuple[str, dict[str, Any]] | None:
        """See :class:`Step`."""
        if change.verb != "service" or change.args["want"] != "stopped" or outcome.answer.get("parked") is not True:
            return None
        return "server.parked", {"server": change.server, "unit": self.unit}

    def undo(self, scene: Scene) -> Todo:
        """See :class:`Step`. Starts it again where this run stopped it, once the new server's stands still."""
        server = scene.on(self.on)
        if not self._stopped(scene, server):
            return
        answer = scene.server(server).ask("service", unit=self.unit)
        if answer["active"] in ("active", "reloading") and not answer.get("parked"):
            return
        other = scene.new if server == scene.old else scene.old
        if answer.get("parked") is not None:
            found = service_read_back(scene, other, self.unit)
            if found.proof is None:
                raise StepRefused(f"{self.unit} isn't started on {server} again: {found.why}, and two would write")
        args = {"unit": self.unit, "want": "running"}
        yield Change(server, "service", args, f"start {self.unit} on {server} again", within_seconds=self.within)

    def undo_problem(self, scene: Scene) -> str | None:
        """See :class:`Step`."""
        server = scene.on(self.on)
        if fenced := letting_go.fence_used(scene, server):
            return fenced
        if not self._stopped(scene, server):
            return None
        try:
            scene.server(server).ask("service", unit=self.unit)
        except ServerError as error:
            return f"{server}, where {self.unit} was stopped, doesn't answer ({error.sentence})"
        return None

    def _stopped(self, scene: Scene, server: str) -> bool:
        return any(made.outcome.touched for made in self._tries(scene, server))

    def work(self, scene: Scene) -> Iterator[Told]:
        """See :class:`Step`. Usually it stops when told to; a silent server takes a fence, or a person."""
        server = scene.on(self.on)
        within = letting_go.taking(scene, server, self.release, self.fence_within)
        if within is None:
            who = f"a person's word (`{switched_off(server)}`)" if self.words(scene) else "that it answers again"
            yield Waits(f"where {server} is silent, {self.unit} waits for {who}")
        step = f"step {self.kind}"
        like = (Like(step, self.unit, server), Like(step, self.unit))
        instead = Work("fence", (Like("fence off", "", f"fence:{server}"),), within, within) if within else None
        yield Work(self.title(scene), like, ASSUMED_SECONDS[self.kind], self.within, otherwise=instead)

    def problems(self, scene: Scene) -> Iterator[Problem]:
        """See :class:`Step`."""
        server = scene.on(self.on)
        if text := letting_go.fence_unclear(scene, server, self.release):
            yield Problem(text, "stops", f"fence:{server}", scene.now())
        scene.server(server).ask("service", unit=self.unit)
