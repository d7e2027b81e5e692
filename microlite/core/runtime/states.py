"""The life of one node as a table, and what a service's nodes add up to.

A node goes `pending -> building -> starting -> running -> draining -> stopped`; `backoff` waits before another try,
`error` waits for a person, `debugging` is a node that stands at a breakpoint and is never killed for its silence.
Nothing here starts, stops or waits: the reconcile loop does, and asks this table what follows.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class State(enum.StrEnum):
    """Where one node is in its life."""

    PENDING = "pending"
    """Wanted, and nothing has been done for it yet."""
    BUILDING = "building"
    """Its environment is being installed."""
    STARTING = "starting"
    """Its process was started and has not answered yet."""
    RUNNING = "running"
    """Registered and answering health."""
    DEBUGGING = "debugging"
    """Its process is under a debugger: silence says nothing about it."""
    DRAINING = "draining"
    """It takes no new calls and finishes those it has."""
    BACKOFF = "backoff"
    """It failed and will be tried again after a while."""
    ERROR = "error"
    """It failed too often, or in a way that another try cannot cure; the next change or `update` tries again."""
    STOPPED = "stopped"
    """Its process is gone, as was asked."""


class Event(enum.StrEnum):
    """What happens to a node."""

    BUILD = "build"
    """Its environment has to be made first."""
    START = "start"
    """Its process is being started."""
    HEALTHY = "healthy"
    """It registered and answered health."""
    ATTACH = "attach"
    """A debugger took hold of its process."""
    DETACH = "detach"
    """The debugger let go."""
    STOP = "stop"
    """It is no longer wanted: it was killed, replaced, or there are too many."""
    EXIT = "exit"
    """Its process ended. Asked for or not: the state before tells."""
    FAIL = "fail"
    """Building or starting it did not work, it did not become healthy in time, or it fell silent and was ended."""
    GIVE_UP = "give up"
    """It failed, and the restart policy has no further try for it."""
    RETRY = "retry"
    """It is to be tried anew: the wait is over, the source has changed, or a user asked."""


class IllegalTransition(Exception):
    """The event cannot happen in this state: whoever reported it has a wrong picture of the node.

    Args:
        state: where the node was.
        event: what was reported.
    """

    def __init__(self, state: State, event: Event) -> None:
        super().__init__(f"a node that is {state} cannot have the event {event!r}")
        self.state = state
        self.event = event


TRANSITIONS: Final[Mapping[tuple[State, Event], State]] = {
    (State.PENDING, Event.BUILD): State.BUILDING,
    (State.PENDING, Event.START): State.STARTING,
    (State.PENDING, Event.FAIL): State.BACKOFF,
    (State.PENDING, Event.GIVE_UP): State.ERROR,
    (State.PENDING, Event.STOP): State.STOPPED,
    (State.BUILDING, Event.START): State.STARTING,
    (State.BUILDING, Event.FAIL): State.BACKOFF,
    (State.BUILDING, Event.GIVE_UP): State.ERROR,
    (State.BUILDING, Event.STOP): State.STOPPED,
    (State.STARTING, Event.HEALTHY): State.RUNNING,
    (State.STARTING, Event.ATTACH): State.DEBUGGING,
    (State.STARTING, Event.EXIT): State.BACKOFF,
    (State.STARTING, Event.FAIL): State.BACKOFF,
    (State.STARTING, Event.GIVE_UP): State.ERROR,
    (State.STARTING, Event.STOP): State.DRAINING,
    (State.RUNNING, Event.ATTACH): State.DEBUGGING,
    (State.RUNNING, Event.EXIT): State.BACKOFF,
    (State.RUNNING, Event.FAIL): State.BACKOFF,
    (State.RUNNING, Event.GIVE_UP): State.ERROR,
    (State.RUNNING, Event.STOP): State.DRAINING,
    # A node may register for the first time while its developer steps through it; it stays `debugging` until released.
    (State.DEBUGGING, Event.HEALTHY): State.DEBUGGING,
    (State.DEBUGGING, Event.DETACH): State.RUNNING,
    (State.DEBUGGING, Event.EXIT): State.BACKOFF,
    (State.DEBUGGING, Event.GIVE_UP): State.ERROR,
    (State.DEBUGGING, Event.STOP): State.DRAINING,
    # A second kill while the first one drains is no mistake; how hard it ends is the launcher's business.
    (State.DRAINING, Event.STOP): State.DRAINING,
    (State.DRAINING, Event.EXIT): State.STOPPED,
    (State.BACKOFF, Event.RETRY): State.PENDING,
    (State.BACKOFF, Event.GIVE_UP): State.ERROR,
    (State.BACKOFF, Event.STOP): State.STOPPED,
    (State.ERROR, Event.RETRY): State.PENDING,
    (State.ERROR, Event.STOP): State.STOPPED,
}
"""The whole machine: what is not in here cannot happen. `stopped` is the end; a node that comes back is a new node."""

WITH_PROCESS: Final = frozenset({State.STARTING, State.RUNNING, State.DEBUGGING, State.DRAINING})
"""States in which the node has a process that must be waited for or ended."""

SERVING: Final = frozenset({State.RUNNING, State.DEBUGGING})
"""States in which new calls may be routed to the node, once it has registered."""

_BEST_FIRST: Final = (
    State.DEBUGGING,  # first, since it explains why calls hang
    State.RUNNING,
    State.STARTING,
    State.BUILDING,
    State.PENDING,
    State.BACKOFF,
    State.ERROR,
    State.DRAINING,
    State.STOPPED,
)

_WORDS: Final = {State.DRAINING: "stopping"}


def after(state: State, event: Event) -> State:
    """The state that follows.

    Raises:
        IllegalTransition: the event cannot happen in this state.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalTransition(state, event) from None


def allowed(state: State) -> frozenset[Event]:
    """The events that can happen in this state; none for `stopped`."""
    return frozenset(event for before, event in TRANSITIONS if before is state)


def summarise(states: Iterable[State], *, wanted: int = 1) -> State:
    """The one state that stands for a service: that of its best node, since one that serves makes it serve.

    An old node that serves on while its successor fails therefore leaves the service `running`; the failure is shown
    beside it, as the last error.

    Args:
        states: of all nodes of the service, those that drain included.
        wanted: how many nodes there should be. Without any node a service is `pending` if it wants some, else
            `stopped`; one that wants none and still has nodes with a process is on its way there.
    """
    present = set(states)
    if not wanted and present & WITH_PROCESS:
        return State.DRAINING
    if not present:
        return State.PENDING if wanted else State.STOPPED
    return next(state for state in _BEST_FIRST if state in present)


def word(state: State) -> str:
    """The state as `status` shows it: micro's word where micro has one (`stopping`), else the state's own."""
    return _WORDS.get(state, state.value)
