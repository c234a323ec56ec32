"""What stands against a plan, as readiness found it: a sentence, how much it weighs, and whom it is about."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

Severity = Literal["stops", "loss", "hint"]
"""``stops``: the plan wouldn't work now. ``loss``: it would, and something is lost by it or may be. ``hint``: it would;
people may want to know what a run finds out by itself."""

MONITOR = "this monitor"
"""Stands in ``about`` where the monitor itself is meant; no server can be called so."""

_NUMBER = re.compile(r"\d[\d.:,]*")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that stands against a plan now, or that its run would cost."""

    text: str
    """A sentence with the value in it."""
    severity: Severity
    about: str | None
    """The server that it is about, :data:`MONITOR`, or None where it is about none of them alone."""
    measured_at: datetime

    @property
    def gist(self) -> tuple[str, str, str | None]:
        """The same for two problems that only differ in their numbers, as the age of a copy does at every look."""
        return self.severity, _NUMBER.sub("#", self.text), self.about


class Ready(StrEnum):
    """Whether a plan would work now."""

    READY = "ready"
    WITH_LOSS = "ready with loss"
    NOT_READY = "not ready"

    @property
    def works(self) -> bool:
        """Whether the plan would reach its aim."""
        return self is not Ready.NOT_READY


def judge(problems: Iterable[Problem]) -> Ready:
    """What these problems amount to."""
    severities = {problem.severity for problem in problems}
    if "stops" in severities:
        return Ready.NOT_READY
    return Ready.WITH_LOSS if "loss" in severities else Ready.READY


def once(problems: Iterable[Problem]) -> list[Problem]:
    """Each sentence once, as heavy as it was said at its heaviest; in the order in which they were said first."""
    rank = ("stops", "loss", "hint").index
    found: dict[str, Problem] = {}
    for problem in problems:
        known = found.get(problem.text)
        if known is None or rank(problem.severity) < rank(known.severity):
            found[problem.text] = problem
    return list(found.values())
