"""The place of one node in a service: who is in it now, and what became of those before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microlite.core.runtime.api import NodeStatus
from microlite.core.runtime.backoff import Backoff, GiveUp
from microlite.core.runtime.states import Event, State, after

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.core.clock import Clock, Timer
    from microlite.core.runtime.backoff import Policy, Retry
    from microlite.core.runtime.node_run import NodeRun


class Slot:
    """One of a service's `instances`. A node that is restarted or reloaded comes back in the same one, by the same id.

    Args:
        name: the id of its nodes.
        clock: waits between two tries.
        policy: how often, and how long.
        on_due: called when the wait is over; the slot is `pending` then.

    Attributes:
        run: the node that takes calls; None while there is none.
        error: why there is none, or none yet.
        taken: somebody is starting a node for it.
    """

    def __init__(self, name: str, clock: Clock, policy: Policy, on_due: Callable[[], None]) -> None:
        self.name = name
        self.run: NodeRun | None = None
        self.error = ""
        self.taken = False
        self._clock = clock
        self._on_due = on_due
        self._backoff = Backoff(clock, policy)
        self._vacant = State.PENDING
        self._retry: Timer | None = None

    @property
    def state(self) -> State:
        """That of its node; without one, how far the next is."""
        return self.run.state if self.run is not None else self._vacant

    @property
    def due(self) -> bool:
        """Whether a node is to be started and nobody does so."""
        return self.run is None and not self.taken and self._vacant is State.PENDING

    def status(self) -> NodeStatus:
        """The node that is to come, as `status` shows it."""
        return NodeStatus(id=self.name, generation=0, state=self.state)

    def advance(self, event: Event) -> None:
        """While there is no node: the next one is being built or started."""
        self._vacant = after(self._vacant, event)

    def occupy(self, run: NodeRun) -> NodeRun | None:
        """A healthy node takes the slot. Returns the one before."""
        self._cancel_retry()
        before, self.run = self.run, run
        self.error = ""
        self._backoff.healthy()
        return before

    def vacate(self) -> None:
        """The node is gone, or going; the next one may be started at any time."""
        self._cancel_retry()
        self.run = None
        self._vacant = State.PENDING

    def fail(self, reason: str, *, final: bool = False) -> Retry | GiveUp:
        """Its node ended by itself, or did not come up.

        Args:
            reason: in one line.
            final: another try cannot help.
        """
        self.vacate()
        self.error = reason
        verdict = self._backoff.failed(reason)
        if final and not isinstance(verdict, GiveUp):
            verdict = GiveUp(f"{reason}; the next change, or `microlite update`, tries again")
        if isinstance(verdict, GiveUp):
            self.error = verdict.reason
            self.advance(Event.GIVE_UP)
        else:
            self.advance(Event.FAIL)
            self._retry = self._clock.call_later(verdict.delay, self._again)
        return verdict

    def reset(self) -> None:
        """Forget the failures: there is new code, or a user asked for another try."""
        self._backoff.reset()
        if self.run is None:
            self.vacate()

    def close(self) -> None:
        """Try no more."""
        self._cancel_retry()

    def _again(self) -> None:
        self._retry = None
        self.advance(Event.RETRY)
        self._on_due()

    def _cancel_retry(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
