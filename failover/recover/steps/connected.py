"""``connected``: the WCM reads and writes the database that serves now, and nobody writes to another one (I11)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from failover.errors import Refused, ServerError, StepRefused
from failover.model import RunKind, Span
from failover.recover.marker import Marker, look_for
from failover.recover.outcome import Made
from failover.recover.problem import Problem
from failover.recover.proof import at_rest
from failover.recover.scene import On, RoleNow, Scene
from failover.recover.step import ANY_FAILURE, Change, Step, Todo

PLACEHOLDERS = ("host", "server", "port", "database")
_MARKS = 6  # within the proof's time: a program that was restarted just now takes a while to serve
_GONE_SECONDS = 10.0
"""A server that is silent on every path for so long isn't back in a moment: a session is, in a second or two."""
_RESTARTS = 2
_OUT_OF_ORDER = frozenset({"failed", "unknown"})


class Connected(Step):
    """A role's program is pointed at the database's new server, restarted, and seen to write there and nowhere else.

    With ``file`` a few values of a file that the program reads are set, reversibly; without, a database address moves
    with the role, and the program is only made to connect anew. The server that stands by for the role gets the same
    values, so that it doesn't wake up to the old database.

    A program that is out of order itself, or whose server is gone, doesn't keep the database from being recovered: that
    is said, and left to the plan of its own role.
    """

    kind: Literal["connected"] = "connected"
    role: str = Field(description="The role whose program is connected, as `wcm`.")
    database: str | None = Field(
        default=None, description="The role that it is connected to; by default the only one that has a database."
    )
    file: str | None = Field(default=None, description="The file that the program reads its connection from.")
    format: Literal["env", "properties", "ini", "php", "template"] | None = Field(
        default=None, description="How the file is written."
    )
    template: str | None = Field(
        default=None, description="For `template`: a file on the servers that the whole file is made from, with @KEY@."
    )
    values: dict[str, str] = Field(
        default_factory=dict,
        alias="set",
        description="What is set, by key: {host}, {server}, {port} and {database} stand for the database's. A key of a "
        "section is SECTION.KEY; `KEY#host`, `KEY#port` and `KEY#database` are pieces of a URL.",
    )
    restart: str | None = Field(default=None, description="The unit that reads the file at its start.")
    proof: Marker | None = Field(default=None, description="How it is seen that the WCM writes there.")
    on: On | None = Field(default=None, description="Only this server's file, as part of a move of the role itself.")
    within: Span = Field(default=30.0, gt=0, description="How long the restart may take.")

    @field_validator("file", "template")
    @classmethod
    def _is_absolute(cls, value: str | None) -> str | None:
        if value is not None and (not value.startswith("/") or {"", ".", ".."} & set(value[1:].split("/"))):
            raise ValueError(f"{value!r} is not an absolute path without '.', '..' and a slash at its end")
        return value

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.file is not None and (self.format is None or not self.values):
            raise ValueError("a 'file' needs its 'format' and what to 'set' in it")
        if self.file is None and (self.format is not None or self.values or self.template):
            raise ValueError("'format', 'template' and 'set' are for a 'file', and there is none")
        if self.file is None and self.restart is None:
            raise ValueError("it has neither a 'file' to edit nor a unit to 'restart', so that nothing would be done")
        if (self.format == "template") != (self.template is not None):
            raise ValueError("a 'template' goes with 'format: template', and with no other")
        for key, value in self.values.items():
            try:
                value.format(**dict.fromkeys(PLACEHOLDERS, "x"))
            except (KeyError, IndexError, ValueError):
                known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
                raise ValueError(f"{value!r} for {key}: {known} can be filled in, and nothing else in braces") from None
        return self

    def title(self, scene: Scene) -> str:
        """See :class:`Step`."""
        return f"{self.role} connected to the database on {self._database_server(scene)}"

    # who and where -----------------------------------------------------------------------------------------------

    def _database(self, scene: Scene) -> RoleNow:
        if self.database is not None:
            return scene.roles[self.database]
        having = [role for role in scene.roles.values() if role.database is not None]
        if scene.role.database is not None:
            return scene.role
        if len(having) != 1:
            raise StepRefused(f"{len(having)} roles have a database; 'database' has to say which one is meant")
        return having[0]

    def _database_server(self, scene: Scene) -> str:
        role = self._database(scene)
        return scene.new if role.name == scene.role.name else role.holder

    def _server(self, scene: Scene) -> str:
        """Where the program runs, or is about to."""
        if self.on is not None:
            return scene.on(self.on)
        return scene.new if self.role == scene.role.name else scene.roles[self.role].holder

    def _standby(self, scene: Scene) -> str | None:
        if self.on is not None or self.role == scene.role.name:
            return None
        return scene.roles[self.role].standby

    def wanted(self, scene: Scene) -> dict[str, str]:
        """The values that the file has to have, with the database's place filled in."""
        role, server = self._database(scene), self._database_server(scene)
        known = {"host": scene.hosts[server], "server": server}
        if role.database is not None:
            known |= {"port": str(role.database.port), "database": role.database.name}
        try:
            return {key: value.format(**known) for key, value in self.values.items()}
        except KeyError as error:
            raise StepRefused(f"the role {role.name} has no database, so nothing can stand for {error}") from None

    # forward -----------------------------------------------------------------------------------------------------

    def todo(self, scene: Scene) -> Todo:
        """See :class:`Step`. The server that stands by comes first: it costs nobody anything, and may be away."""
        if (standby := self._standby(scene)) is not None and self.file is not None:
            yield from self._edit_standby(scene, standby)
        server = self._server(scene)
        if (why := self._out_of_order(scene, server)) is not None:
            there = f"the database on {self._database_server(scene)}"
            scene.note(f"{self.role} on {server} isn't connected to {there}: {why}; that is for its own plan")
            return
        if self.file is not None:
            wanted = self.wanted(scene)
            if self._differs(scene, server, wanted):
                yield self._edit(scene, server, wanted)
        if self.restart is not None and (restart := self._restart(scene, server)) is not None:
            outcome = yield restart
            if outcome is not None and not outcome.ok:
                return
        if self.proof is not None:
            yield from self._prove(scene, server, self.proof)

    def _out_of_order(self, scene: Scene, server: str) -> str | None:
        """Why the program can't be connected whatever is tried, where that may be left to the plan of its role."""
        if not self._may_be_left(scene):
            return None
        since = scene.silent_since(server)
        if since is not None and not scene.within(since, _GONE_SECONDS):
            try:
                scene.server(server).ask("facts", within_seconds=1.0, sections=[])
            except ServerError as error:
                return f"{server} is gone ({error.sentence})"
        tries = self._restarts(scene, server)
        if len(tries) >= _RESTARTS and not tries[-1].outcome.ok:
            return f"{self.restart} can't be restarted ({tries[-1].outcome.sentence})"
        marks = self._marks(scene, server, self.proof) if self.proof is not None else []
        if self.proof is None or not marks or marks[-1].outcome.ok or scene.within(marks[0].at, self.proof.within):
            return None
        return f"it saves nothing ({marks[-1].outcome.sentence})"

    def _may_be_left(self, scene: Scene) -> bool:
        """Only after a failure: in a planned move both work, and what doesn't then is taken back."""
        return scene.kind is RunKind.RECOVER and self.on is None and self.role != scene.role.name

    def _tolerated(self, scene: Scene) -> frozenset[str]:
        return _OUT_OF_ORDER if self._may_be_left(scene) else frozenset()

    def _differs(self, scene: Scene, server: str, wanted: Mapping[str, str]) -> bool:
        try:
            values = scene.server(server).ask("connect", file=self.file)["values"]
        except Refused as error:
            if error.kind != "template-differs":
                raise
            return True
        return any(values.get(key) != value for key, value in wanted.items())

    def _edit_standby(self, scene: Scene, server: str) -> Todo:
        wanted = self.wanted(scene)
        try:
            if not self._differs(scene, server, wanted):
                return
        except ServerError as error:
            scene.note(f"{self.file} on {server} may still name the old database: {error.sentence}")
            return
        done = yield self._edit(scene, server, wanted, tolerates=ANY_FAILURE)
        if done is not None and not done.ok:
            scene.note(f"{self.file} on {server} may still name the old database: {done.sentence}")

    def _edit(
        self, scene: Scene, server: str, wanted: Mapping[str, str], tolerates: frozenset[str] = frozenset()
    ) -> Change:
        args = {"file": self.file, "run": scene.run, "set": dict(wanted)}
        says = f"point {self.file} on {server} to the database on {self._database_server(scene)}"
        return Change(server, "connect", args, says, within_seconds=10, tolerates=tolerates)

    def _restart(self, scene: Scene, server: str) -> Change | None:
        """The restart that is due: none of this run's came after its last edit. A unit that stands still needs none."""
        edits = [made for made in self._edits(scene, server) if made.outcome.touched]
        restarts = self._restarts(scene, server)
        if restarts and restarts[-1].outcome.ok and (not edits or restarts[-1].at >= edits[-1].at):
            return None
        if self.file is not None and not edits:
            return None
        if at_rest(scene.server(server).ask("service", unit=self.restart)) and not restarts:
            return None
        args = {"unit": self.restart, "want": "restarted"}
        says = f"restart {self.restart} on {server}, so that it reads where its database is"
        return Change(server, "service", args, says, self.within, self._tolerated(scene))

    def _edits(self, scene: Scene, server: str) -> list[Made]:
        return [made for made in scene.made(server, "connect") if made.args.get("file") == self.file]

    def _restarts(self, scene: Scene, server: str) -> list[Made]:
        wish = (self.restart, "restarted")
        return [one for one in scene.made(server, "service") if (one.args.get("unit"), one.args.get("want")) == wish]

    # the proof ---------------------------------------------------------------------------------------------------

    def _mark(self, scene: Scene, server: str, proof: Marker) -> Change:
        says = f"write a marker through {self.role} on {server} ({proof.command})"
        return Change(server, "command", {"name": proof.command}, says, self.within, self._tolerated(scene))

    def _marks(self, scene: Scene, server: str, proof: Marker) -> list[Made]:
        """The markers that this run had written, or tried to, since the last restart."""
        restarts = self._restarts(scene, server)
        marks = [made for made in scene.made(server, "command") if made.args.get("name") == proof.command]
        return [made for made in marks if not restarts or made.at >= restarts[-1].at]

    def _prove(self, scene: Scene, server: str, proof: Marker) -> Todo:
        """A marker written after the last restart is in the database that serves, and not in the other one."""
        good = [made for made in self._marks(scene, server, proof) if made.outcome.ok]
        if good:
            look_for(scene, proof, good[-1], self.role, self._database(scene), self._database_server(scene))
            return
        outcome = yield self._mark(scene, server, proof)  # in a dry run that is all
        if outcome is not None and not outcome.ok:
            scene.wait(proof.within / _MARKS)

    # back --------------------------------------------------------------------------------------------------------

    def undo(self, scene: Scene) -> Todo:
        """See :class:`Step`. The values of before this run, and the program restarted with them where it was before."""
        server, standby = self._server(scene), self._standby(scene)
        for name in [server, *([standby] if standby else [])]:
            if self.file is None or not any(made.outcome.touched for made in self._edits(scene, name)):
                continue
            back = [made for made in self._edits(scene, name) if made.args.get("want") == "restored"]
            if back and back[-1].outcome.ok:
                continue
            args = {"file": self.file, "run": scene.run, "want": "restored"}
            says = f"take back what was set in {self.file} on {name}"
            outcome = yield Change(name, "connect", args, says, within_seconds=10, tolerates=frozenset({"refused"}))
            if outcome is not None and outcome.result == "refused" and outcome.kind != "no-such-file":
                raise StepRefused(f"{self.file} on {name} can't be set back: {outcome.sentence}")
        if self.restart is not None and self._restarts(scene, server):
            restart = self._restart(scene, server)
            if restart is not None:
                yield restart

    def undo_problem(self, scene: Scene) -> str | None:
        """See :class:`Step`."""
        server = self._server(scene)
        if not any(made.outcome.touched for made in [*self._edits(scene, server), *self._restarts(scene, server)]):
            return None
        try:
            scene.server(server).ask("facts", sections=[])
        except ServerError as error:
            return f"{server}, where {self.role} was pointed at another database, doesn't answer ({error.sentence})"
        return None

    # in daylight -------------------------------------------------------------------------------------------------

    def problems(self, scene: Scene) -> Iterator[Problem]:
        """See :class:`Step`. Whether the file can be read and edited there, on both servers of the role."""
        if self.file is None:
            return
        wanted = self.wanted(scene)
        for name in dict.fromkeys([self._server(scene), self._standby(scene)]):
            if name is None:
                continue
            try:
                values = scene.server(name).ask("connect", file=self.file)["values"]
            except Refused as error:
                if error.kind != "template-differs":
                    text = f"{self.file} on {name} can't be edited: {error.sentence}"
                    yield Problem(text, "stops", name, scene.now())
                continue
            except ServerError as error:
                yield Problem(str(error), "hint", name, scene.now())
                continue
            if missing := sorted(set(wanted) - set(values)):
                text = f"{name}'s helper may not touch {missing[0]} in {self.file}: run `failover enroll {name}`"
                yield Problem(text, "stops", name, scene.now())
