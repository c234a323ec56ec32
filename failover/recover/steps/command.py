"""``command``: a command of the site's own was run on a server: a licence server told, a Tomcat script started."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from failover.errors import NeedsPerson, ServerError
from failover.model import Span
from failover.recover.outcome import Made
from failover.recover.problem import Problem
from failover.recover.scene import On, Scene
from failover.recover.step import Change, Step, Todo


class Command(Step):
    """A command of the server's policy ended well.

    Nothing can be asked afterwards whether it was run, so the run's journal counts: what ended well isn't run again.
    Where nobody knows how it ended a person is asked, unless it does no harm to run it twice (``again``).
    """

    kind: Literal["command"] = "command"
    name: str = Field(
        min_length=1, max_length=100, description="The command, by its name under the server's `commands`."
    )
    on: On = Field(default="new", description="Where: `new`, `old`, `holder` or `standby`.")
    within: Span = Field(default=60.0, gt=0, description="How long it may take.")
    again: bool = Field(
        default=False, description="Whether it may be run a second time, where its first end isn't known."
    )
    reverse: str | None = Field(
        default=None,
        alias="undo",
        min_length=1,
        max_length=100,
        description="The command that takes it back, if there is one.",
    )

    def title(self, scene: Scene) -> str:
        """See :class:`Step`."""
        return f"{self.name} run on {scene.on(self.on)}"

    def words(self, scene: Scene) -> tuple[str, ...]:
        """See :class:`Step`."""
        return (self._word,)

    @property
    def _word(self) -> str:
        return f"ran:{self.name}"

    def todo(self, scene: Scene) -> Todo:
        """See :class:`Step`."""
        server = scene.on(self.on)
        last = self._last(scene, server, self.name)
        if scene.word(self._word) is not None or (last is not None and last.outcome.ok):
            return
        if last is not None and last.outcome.result == "unknown" and not self.again:
            raise NeedsPerson(
                f"Did {self.name} run on {server}? It was begun, and no answer came ({last.outcome.sentence or 'none'})"
                f". Look there; if it did its work, or you have done it, confirm `{self._word}`",
                word=self._word,
            )
        says = f"run {self.name} on {server}"
        yield Change(server, "command", {"name": self.name}, says, within_seconds=self.within)

    def undo(self, scene: Scene) -> Todo:
        """See :class:`Step`."""
        server = scene.on(self.on)
        ran = self._last(scene, server, self.name)
        if self.reverse is None or ran is None or not ran.outcome.touched:
            return
        back = self._last(scene, server, self.reverse)
        if back is None or not back.outcome.ok or back.at < ran.at:
            says = f"run {self.reverse} on {server}, which takes {self.name} back"
            yield Change(server, "command", {"name": self.reverse}, says, within_seconds=self.within)

    def undo_problem(self, scene: Scene) -> str | None:
        """See :class:`Step`."""
        server = scene.on(self.on)
        ran = self._last(scene, server, self.name)
        if ran is None or not ran.outcome.touched:
            return None
        if self.reverse is None:
            return f"{self.name} was run on {server}, and the plan has no command that takes it back"
        try:
            scene.server(server).ask("facts", sections=[])
        except ServerError as error:
            return f"{server}, where {self.name} was run, doesn't answer ({error.sentence})"
        return None

    @staticmethod
    def _last(scene: Scene, server: str, name: str) -> Made | None:
        made = [made for made in scene.made(server, "command") if made.args.get("name") == name]
        return made[-1] if made else None

    def problems(self, scene: Scene) -> Iterator[Problem]:
        """See :class:`Step`. What it would do can't be known without doing it; that its server is there can."""
        yield from ()
        scene.server(scene.on(self.on)).ask("facts", sections=[])
