"""What a decision is: an action with its reason in words, and the guards that held it back."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from failover.decide.situation import Fact

Severity = Literal["info", "warning", "page"]
"""How soon people should know; the words are those of messages."""


class Action(StrEnum):
    """What is to be done about a plan now."""

    NOTHING = "nothing"
    WAIT = "wait"
    """Keep looking: it will be clear, or over, by itself."""
    CONFIRM = "confirm"
    """Ask first what :class:`Ask` lists, put the answers into the situation, decide again at once."""
    PROPOSE = "propose"
    """Tell people that the plan applies; one word of theirs starts it."""
    RECOVER = "recover"
    """Start the plan."""
    ALARM = "alarm"
    """People must know: something is wrong and the plan can't or mustn't run by itself."""


class Guard(Fact):
    """A reason not to act."""

    name: str
    reason: str
    """A clause that can follow "because"; it holds the values."""
    action: Action
    """What is to be done instead."""
    holds: bool = True
    """False: it only tells people what to expect."""


class Ask(Fact):
    """Who is to be asked about a check before anything moves."""

    check: str
    observers: tuple[str, ...] = ()
    """Servers to be asked "do you see it?". Whoever can't be asked is a sighting too, with ``seen=None``."""


class Decision(Fact):
    """What to do about one plan."""

    plan: str
    action: Action
    reason: str
    """A sentence for the person on call."""
    guards: tuple[Guard, ...] = ()
    severity: Severity = "info"
    ask: tuple[Ask, ...] = ()
    """With ``confirm``: whom to ask about what. With ``wait``: whom to ask ahead, so that no time is lost."""
    look_at: tuple[str, ...] = ()
    """With ``confirm`` and ``wait``: the witnesses to look at again."""

    @property
    def held_by(self) -> tuple[str, ...]:
        """The names of the guards that hold the plan back."""
        return tuple(guard.name for guard in self.guards if guard.holds)

    @property
    def final(self) -> bool:
        """Whether it is worth a line in the journal: asking others is only the way to a decision."""
        return self.action is not Action.CONFIRM

    def same_as(self, other: Decision) -> bool:
        """Whether nothing new is to be said: only the numbers in the sentences differ."""
        mine = (self.plan, self.action, self.severity, tuple(guard.name for guard in self.guards))
        return mine == (other.plan, other.action, other.severity, tuple(guard.name for guard in other.guards))
