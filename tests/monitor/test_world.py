"""What the monitor knows of a server that doesn't answer: dead, or not yet met."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from failover.errors import Unreachable
from failover.model import RunKind
from failover.monitor.world import World
from failover.recover.scene import RoleNow, Scene

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Asker:
    """One server that hangs until it is let answer, or fail."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()

    async def ask(self, _server: str, _verb: str, _within: float, **_args: object) -> Mapping[str, Any]:
        return await self.answer


def scene(world: World) -> Scene:
    return Scene(
        site="shop", kind=RunKind.RECOVER, role=RoleNow("web", "web", "web-backup"), old="web", new="web-backup",
        roles={}, addresses={}, servers={}, hosts={}, look=lambda _check, _server: None,  # type: ignore[arg-type, return-value]
        silent_since=world.silent_since, met=world.met,
    )  # fmt: skip


async def test_a_server_is_silent_only_once_it_was_met() -> None:
    asker, clock = Asker(), [NOON]
    setup: Any = SimpleNamespace(machines={"web": None}, world_every=1.0)
    world = World(setup, asker, lambda _before, _now: None, now=lambda: clock[0])  # type: ignore[arg-type]
    first = asyncio.create_task(world.look("web"))
    await asyncio.sleep(0)
    clock[0] += timedelta(seconds=2)
    assert not world.met("web")
    assert world.silent_since("web") is None, "its first session is still being opened"
    assert scene(world).patience("web", 0.5) == 3.0
    asker.answer.set_result({"boot_id": "b", "addresses": [], "parked": []})
    await first
    assert world.met("web")
    assert scene(world).patience("web", 0.5) == 0.5

    asker.answer = asyncio.get_running_loop().create_future()
    second = asyncio.create_task(world.look("web"))
    await asyncio.sleep(0)
    asked = clock[0]
    clock[0] += timedelta(seconds=2)
    assert world.silent_since("web") == asked, "one that was met and hangs is silent"
    assert scene(world).patience("web", 0.5) == 0.3
    asker.answer.set_exception(Unreachable("web", "no answer"))
    await second
    assert world.silent_since("web") is not None
