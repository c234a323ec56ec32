"""What cuts a toy's power."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from failover.errors import OutcomeUnknown, Unreachable
from failover.model import Token
from failover.servers.base import Answer, Progress
from tests.recover.toy_world import World


class ToyFence:
    """Cuts a toy's power. Honest unless told otherwise."""

    def __init__(self, world: World, server: str, *, works: bool = True, lies: bool = False) -> None:
        self.world = world
        self.server = server
        self.works = works
        self.lies = lies

    @property
    def name(self) -> str:
        return f"fence:{self.server}"

    def warm(self) -> bool:
        return True

    def close(self) -> None:
        pass

    def ask(self, verb: str, /, *, within_seconds: float = 5.0, **args: Any) -> Answer:
        self.world.pass_time(0.2)
        if not self.works:
            raise Unreachable(self.name, "the power strip doesn't answer")
        return {"off": not self.world.hosts[self.server].on}

    def change(
        self, verb: str, args: Mapping[str, Any], /, *, token: Token, within_seconds: float,
        progress: Progress | None = None,
    ) -> Answer:  # fmt: skip
        self.world.at_call(f"before change {self.name} {verb}")
        self.world.calls.append((self.name, verb, dict(args), token))
        fate = self.world.fate_of(verb)
        self.world.pass_time(0.5)
        if not self.works:
            raise Unreachable(self.name, "the power strip doesn't answer")
        if fate not in ("lost", "unreachable"):
            self.world.power_off(self.server)
        if fate:
            raise OutcomeUnknown(self.name, "no answer")
        self.world.at_call(f"after change {self.name} {verb}")
        return {"off": True}
