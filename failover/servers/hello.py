"""What a helper says of itself when a session opens, and what its clock shows now.

A deadline that the server can judge must be on the *server's* clock. The monitor only knows that clock from what the
helper said and when the answer was *received*, so its estimate can be early, by the time that the answer travelled, and
never late. Clocks differ in rate by up to 100 ppm, 9 s a day: a bound taken once wouldn't hold for a session that stays
warm for weeks. So every answer that carries a ``boottime`` renews it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

PROTOCOL = 1
KEPT_BOUNDS = 8
"""Answers that the estimate is drawn from: with one each 5 s, 40 s of drift, 4 ms at 100 ppm."""


class Hello(BaseModel):
    """The first line of a helper. Keys that a newer helper adds are left aside."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    protocol: int
    version: str = Field(max_length=100)
    sha256: str = Field(default="", max_length=64)
    """Of the helper's own file."""
    policy_sha256: str | None = Field(default=None, max_length=64)
    boot_id: str = Field(min_length=1, max_length=100)
    boottime: float = Field(ge=0, allow_inf_nan=False)
    """The server's CLOCK_BOOTTIME in seconds."""
    python: str = Field(default="", max_length=100)


class HelperClock:
    """The server's CLOCK_BOOTTIME, never ahead of the truth."""

    def __init__(self, hello: Hello, received: float) -> None:
        self.boot_id = hello.boot_id
        self._offsets: deque[float] = deque([hello.boottime - received], maxlen=KEPT_BOUNDS)

    def learn(self, answer: Mapping[str, Any], received: float) -> None:
        """Take the ``boottime`` of an answer, received at that monotonic second, as a new bound."""
        boottime = answer.get("boottime")
        if isinstance(boottime, float | int) and answer.get("boot_id", self.boot_id) == self.boot_id:
            self._offsets.append(float(boottime) - received)

    def at(self, moment: float) -> float:
        """What the server's clock shows at a monotonic second of ours, or a little less."""
        return moment + max(self._offsets)
