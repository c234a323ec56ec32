from itertools import product

import pytest

from failover.decide.incident import EDGES, MEANINGLESS, Event, State, step, why_not


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)))
def test_every_event_in_every_state_leads_somewhere_or_is_listed_as_meaningless(state: State, event: Event) -> None:
    edge, reason = step(state, event), why_not(state, event)
    assert (edge is None) != (reason is None), f"{state} x {event} is in both or in neither"
    if edge:
        assert edge.sentence[0].islower()
        assert not edge.sentence.endswith(".")


def test_no_pair_is_listed_as_meaningless_twice() -> None:
    pairs = [pair for pairs in MEANINGLESS.values() for pair in pairs]
    assert len(pairs) == len(set(pairs))
    assert len(pairs) + len(EDGES) == len(State) * len(Event)


def test_every_state_can_be_reached_and_closed() -> None:
    ahead = {state: {edge.to for (source, _), edge in EDGES.items() if source is state} for state in State}

    def reach(start: State) -> set[State]:
        found, left = {start}, [start]
        while left:
            new = ahead[left.pop()] - found
            found |= new
            left += new
        return found

    assert reach(State.OPENED) == set(State)
    assert all(State.CLOSED in reach(state) for state in State)
    assert not ahead[State.CLOSED]


def follow(*events: Event) -> list[State]:
    state, path = State.OPENED, []
    for event in events:
        edge = step(state, event)
        assert edge is not None, f"{event} means nothing in {state}: {why_not(state, event)}"
        state = edge.to
        path.append(state)
    return path


def test_an_automatic_recovery_is_closed_by_the_person_who_sees_it() -> None:
    path = follow(Event.RUN_STARTED, Event.HEALED, Event.RUN_DONE, Event.ACKNOWLEDGED)
    assert path == [State.RECOVERING, State.RECOVERING, State.RECOVERED, State.CLOSED]
    assert step(State.RECOVERED, Event.SETTLED) is None, "a moved role isn't forgotten because time passed"


def test_a_hiccup_closes_by_itself() -> None:
    assert follow(Event.HEALED, Event.SETTLED) == [State.QUIET, State.CLOSED]


def test_a_run_that_waits_gives_up_and_is_resumed() -> None:
    events = (
        Event.RUN_STARTED,
        Event.RUN_ASKED,
        Event.RUN_GAVE_UP,
        Event.ACKNOWLEDGED,
        Event.RUN_STARTED,
        Event.RUN_DONE,
    )
    assert follow(*events)[2:] == [State.STUCK, State.TAKEN, State.RECOVERING, State.RECOVERED]


def test_what_fails_again_before_it_is_over_is_the_same_incident() -> None:
    assert follow(Event.HEALED, Event.FAILED) == [State.QUIET, State.OPENED]
