"""The life of an incident, from opened to closed, as a table; an event that isn't in it means nothing in that state.

Rule: all that moves an incident is in :data:`EDGES`. The sentence of an edge is what people read in the journal.
"""

from __future__ import annotations

from enum import StrEnum
from itertools import product
from typing import NamedTuple


class State(StrEnum):
    """Where an incident is."""

    OPENED = "opened"
    """Something is down and nobody has taken it up yet."""
    TAKEN = "taken"
    """A person has it in hand."""
    RECOVERING = "recovering"
    """A run is at work."""
    WAITING = "waiting"
    """The run needs a person's word."""
    STUCK = "stuck"
    """The run gave up; its reason says the exact state."""
    QUIET = "quiet"
    """It works again and nothing was moved; it closes by itself when that lasts."""
    RECOVERED = "recovered"
    """A run mended it; a person still has to see that."""
    CLOSED = "closed"


class Event(StrEnum):
    """What can happen to an incident."""

    FAILED = "failed"
    """What it is about is down."""
    HEALED = "healed"
    """What it is about is up."""
    SETTLED = "settled"
    """It has been up for so long that it is over."""
    RUN_STARTED = "run-started"
    RUN_ASKED = "run-asked"
    """The run waits for a person's word."""
    RUN_ANSWERED = "run-answered"
    RUN_DONE = "run-done"
    RUN_GAVE_UP = "run-gave-up"
    """Undone, stopped or aborted."""
    ACKNOWLEDGED = "acknowledged"
    """A person has seen it."""
    DISMISSED = "dismissed"
    """A person says that it is over."""


class Edge(NamedTuple):
    """Where an event leads, and the sentence for it."""

    to: State
    sentence: str


EDGES: dict[tuple[State, Event], Edge] = {
    (State.OPENED, Event.HEALED): Edge(State.QUIET, "it works again by itself"),
    (State.OPENED, Event.RUN_STARTED): Edge(State.RECOVERING, "a run has begun"),
    (State.OPENED, Event.ACKNOWLEDGED): Edge(State.TAKEN, "a person has it in hand"),
    (State.OPENED, Event.DISMISSED): Edge(State.CLOSED, "a person closed it"),
    (State.TAKEN, Event.HEALED): Edge(State.QUIET, "it works again"),
    (State.TAKEN, Event.RUN_STARTED): Edge(State.RECOVERING, "a run has begun"),
    (State.TAKEN, Event.ACKNOWLEDGED): Edge(State.TAKEN, "another person has it in hand"),
    (State.TAKEN, Event.DISMISSED): Edge(State.CLOSED, "a person closed it"),
    (State.RECOVERING, Event.FAILED): Edge(State.RECOVERING, "it is down while the run is at work"),
    (State.RECOVERING, Event.HEALED): Edge(State.RECOVERING, "it works again; the run ends first"),
    (State.RECOVERING, Event.RUN_ASKED): Edge(State.WAITING, "the run needs a person's word"),
    (State.RECOVERING, Event.RUN_DONE): Edge(State.RECOVERED, "the run is done"),
    (State.RECOVERING, Event.RUN_GAVE_UP): Edge(State.STUCK, "the run gave up"),
    (State.RECOVERING, Event.ACKNOWLEDGED): Edge(State.RECOVERING, "a person watches the run"),
    (State.WAITING, Event.FAILED): Edge(State.WAITING, "it is down and the run needs a person's word"),
    (State.WAITING, Event.HEALED): Edge(State.WAITING, "it works again; the run still needs a person's word"),
    (State.WAITING, Event.RUN_ASKED): Edge(State.WAITING, "the run needs another word"),
    (State.WAITING, Event.RUN_ANSWERED): Edge(State.RECOVERING, "a person gave their word"),
    (State.WAITING, Event.RUN_DONE): Edge(State.RECOVERED, "the run is done"),
    (State.WAITING, Event.RUN_GAVE_UP): Edge(State.STUCK, "the run gave up"),
    (State.WAITING, Event.ACKNOWLEDGED): Edge(State.WAITING, "a person has seen that the run needs a word"),
    (State.STUCK, Event.HEALED): Edge(State.RECOVERED, "it works again after the run gave up"),
    (State.STUCK, Event.RUN_STARTED): Edge(State.RECOVERING, "a run has begun again"),
    (State.STUCK, Event.ACKNOWLEDGED): Edge(State.TAKEN, "a person has it in hand"),
    (State.STUCK, Event.DISMISSED): Edge(State.CLOSED, "a person closed it"),
    (State.QUIET, Event.FAILED): Edge(State.OPENED, "it failed again before it had settled"),
    (State.QUIET, Event.SETTLED): Edge(State.CLOSED, "it has kept working"),
    (State.QUIET, Event.RUN_STARTED): Edge(State.RECOVERING, "a run has begun"),
    (State.QUIET, Event.ACKNOWLEDGED): Edge(State.CLOSED, "a person has seen it"),
    (State.QUIET, Event.DISMISSED): Edge(State.CLOSED, "a person closed it"),
    (State.RECOVERED, Event.FAILED): Edge(State.OPENED, "it failed again after it was recovered"),
    (State.RECOVERED, Event.RUN_STARTED): Edge(State.RECOVERING, "another run has begun"),
    (State.RECOVERED, Event.ACKNOWLEDGED): Edge(State.CLOSED, "a person has seen it"),
    (State.RECOVERED, Event.DISMISSED): Edge(State.CLOSED, "a person closed it"),
}

MEANINGLESS: dict[str, frozenset[tuple[State, Event]]] = {
    "what is down can't go down again": frozenset(product((State.OPENED, State.TAKEN, State.STUCK), (Event.FAILED,))),
    "what is up can't come up again": frozenset(product((State.QUIET, State.RECOVERED), (Event.HEALED,))),
    "what is down, or in a run's hands, hasn't settled": frozenset(
        product((State.OPENED, State.TAKEN, State.STUCK, State.RECOVERING, State.WAITING), (Event.SETTLED,))
    ),
    "a role was moved or left half way: time alone doesn't end that": frozenset({(State.RECOVERED, Event.SETTLED)}),
    "no run is at work": frozenset(
        product(
            (State.OPENED, State.TAKEN, State.STUCK, State.QUIET, State.RECOVERED),
            (Event.RUN_ASKED, Event.RUN_ANSWERED, Event.RUN_DONE, Event.RUN_GAVE_UP),
        )
    ),
    "one run is at work at a time": frozenset(product((State.RECOVERING, State.WAITING), (Event.RUN_STARTED,))),
    "the run was asked nothing": frozenset({(State.RECOVERING, Event.RUN_ANSWERED)}),
    "a run at work is aborted, not dismissed": frozenset(
        product((State.RECOVERING, State.WAITING), (Event.DISMISSED,))
    ),
    "it is over: the next failure is another incident": frozenset(product((State.CLOSED,), Event)),
}
"""What can't happen, or changes nothing, by reason."""


def step(state: State, event: Event) -> Edge | None:
    """Where ``event`` leads from ``state``; None when it means nothing there (:func:`why_not` says why)."""
    return EDGES.get((state, event))


def why_not(state: State, event: Event) -> str | None:
    """Why ``event`` means nothing in ``state``; None when it does mean something."""
    return next((reason for reason, pairs in MEANINGLESS.items() if (state, event) in pairs), None)
