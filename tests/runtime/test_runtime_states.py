"""The life of a node follows the table, and a service is what its best node is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microlite.core.runtime.states import (
    SERVING,
    TRANSITIONS,
    WITH_PROCESS,
    Event,
    IllegalTransition,
    State,
    after,
    allowed,
    summarise,
    word,
)


def live(*events: Event) -> State:
    state = State.PENDING
    for event in events:
        state = after(state, event)
    return state


@pytest.mark.parametrize(
    ("events", "end"),
    [
        ([Event.BUILD, Event.START, Event.HEALTHY, Event.STOP, Event.EXIT], State.STOPPED),
        ([Event.START, Event.HEALTHY], State.RUNNING),
        ([Event.START, Event.EXIT, Event.RETRY, Event.START, Event.HEALTHY], State.RUNNING),
        ([Event.START, Event.HEALTHY, Event.EXIT], State.BACKOFF),
        ([Event.START, Event.FAIL, Event.GIVE_UP], State.ERROR),
        ([Event.START, Event.FAIL, Event.GIVE_UP, Event.RETRY], State.PENDING),
        ([Event.BUILD, Event.FAIL], State.BACKOFF),
        ([Event.START, Event.ATTACH, Event.HEALTHY], State.DEBUGGING),
        ([Event.START, Event.ATTACH, Event.HEALTHY, Event.DETACH], State.RUNNING),
        ([Event.START, Event.STOP, Event.STOP, Event.EXIT], State.STOPPED),
        ([Event.BUILD, Event.STOP], State.STOPPED),
        ([Event.START, Event.EXIT, Event.STOP], State.STOPPED),
    ],
)
def test_lives_that_happen(events: list[Event], end: State) -> None:
    assert live(*events) is end


@pytest.mark.parametrize(
    ("state", "event"),
    [
        (State.STOPPED, Event.RETRY),
        (State.PENDING, Event.HEALTHY),
        (State.DRAINING, Event.HEALTHY),
        (State.ERROR, Event.START),
        (State.DEBUGGING, Event.FAIL),
    ],
)
def test_what_cannot_happen_is_refused_with_both_names(state: State, event: Event) -> None:
    with pytest.raises(IllegalTransition, match=f"{state.value}.*{event.value}"):
        after(state, event)


def test_a_node_under_a_debugger_is_not_failed_for_its_silence() -> None:
    assert Event.FAIL not in allowed(State.DEBUGGING)


def test_every_state_is_reached_and_only_stopped_is_final() -> None:
    assert {State.PENDING, *TRANSITIONS.values()} == set(State)
    assert [state for state in State if not allowed(state)] == [State.STOPPED]


@given(st.lists(st.sampled_from(Event), max_size=30))
def test_a_wanted_stop_always_leads_to_the_end(events: list[Event]) -> None:
    """Whatever happened before, stop and the exit of what may run end the node."""
    state = State.PENDING
    for event in events:
        if event in allowed(state):
            state = after(state, event)
    if state is State.STOPPED:
        return
    state = after(state, Event.STOP)
    if state in WITH_PROCESS:
        state = after(state, Event.EXIT)
    assert state is State.STOPPED


@given(st.sampled_from(State), st.sampled_from(Event))
def test_only_healthy_processes_serve(state: State, event: Event) -> None:
    """A node gets calls only after it was healthy, or is held by a debugger; and never without a process."""
    assert SERVING <= WITH_PROCESS
    if event in allowed(state) and after(state, event) in SERVING and state not in SERVING:
        assert event in (Event.HEALTHY, Event.ATTACH)


@pytest.mark.parametrize(
    ("nodes", "wanted", "shown"),
    [
        ([], 1, "pending"),
        ([], 0, "stopped"),
        ([State.RUNNING, State.ERROR], 1, "running"),
        ([State.DRAINING, State.STARTING], 1, "starting"),
        ([State.DRAINING], 1, "stopping"),
        ([State.RUNNING, State.DRAINING], 0, "stopping"),
        ([State.BACKOFF, State.ERROR], 2, "backoff"),
        ([State.ERROR], 1, "error"),
        ([State.RUNNING, State.DEBUGGING], 2, "debugging"),
        ([State.STOPPED], 0, "stopped"),
    ],
)
def test_a_service_is_what_its_best_node_is(nodes: list[State], wanted: int, shown: str) -> None:
    assert word(summarise(nodes, wanted=wanted)) == shown
