"""What is told of one service: its state now, what has failed and changed, in its log, its status and to its session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from microlite.core.runtime.api import Happening, ServiceStatus, Topic
from microlite.core.runtime.gates import Held
from microlite.core.runtime.restarts import Restart, Story
from microlite.core.runtime.states import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from microlite.core.clock import Clock
    from microlite.core.runtime.api import Desired, NodeStatus
    from microlite.core.runtime.logs import Log
    from microlite.core.runtime.node_failure import NodeFailed
    from microlite.core.runtime.renewal import Renewal


class Chronicle:
    """Kept by the runner, who says what happens.

    Args:
        desired: the service.
        clock: stamps what happens.
        log: that of the service.
        on_happening: is told each thing that a session wants to know.

    Attributes:
        state: of the service as a whole.
        version: what was asked for, else what the code said last.
        restarts: see `ServiceStatus`.
        error: why the newest code does not run beside or instead of what does; empty when it does.
    """

    def __init__(self, desired: Desired, clock: Clock, log: Log, on_happening: Callable[[Happening], object]) -> None:
        self._name = desired.name
        self._http = bool(desired.source.command)
        self._clock = clock
        self._log = log
        self._on_happening = on_happening
        self._story = Story()
        self._held = Held()
        self._updated = clock.now()
        self.state = State.PENDING
        self.version = desired.asked.version or "latest"
        self.restarts = 0
        self.error = ""

    def reached(self, state: State, why: str = "") -> None:
        """The service is in this state now; the same one again is no news."""
        if state is not self.state:
            self.state = state
            self._updated = self._clock.now()
            self._tell(Topic.STATE, state=state, text=why)

    def goes_on(self, text: str) -> None:
        """It takes long, and this is why."""
        self._log.say(text)
        self._tell(Topic.PROGRESS, text=text)

    def waits(self, held: Held) -> None:
        """It is held back until other services are healthy; by none, it is not."""
        if held != self._held:
            self._held = held
            if held.names:
                stuck = ", which does not run" if held.stuck and len(held.names) == 1 else ""
                self.goes_on(f"waits for {' and '.join(held.names)}{stuck}")

    def failed(self, failure: NodeFailed, text: str, node: str = "") -> None:
        """A node, or new code, did not work.

        Args:
            failure: what happened.
            text: the same, and what follows from it.
            node: which one, if it is only one.
        """
        self._story.add(failure.story)
        self._log.say(text, node=node)
        self._tell(Topic.FAILED, node=node, text=text, lines=failure.lines)

    def reloaded(self, renewal: Renewal, generation: int) -> None:
        """New code serves.

        Args:
            renewal: what it was for.
            generation: that of the nodes before; 0 if there were none.
        """
        now = self._clock.now()
        changed = tuple(sorted(renewal.changed))
        self._story.add(Restart(at=now, cause=renewal.cause, generation=generation, changed=changed))
        self.restarts += 1
        self.error = ""
        self._updated = now
        self._tell(Topic.RELOAD, text=renewal.text, seconds=max(0.0, now - renewal.since))

    def status(self, desired: Desired, nodes: Iterable[NodeStatus], error: str) -> ServiceStatus:
        """The service as `status` shows it.

        Args:
            desired: as it is wanted now.
            nodes: its nodes.
            error: why one of them does not run, if the newest code does.
        """
        source = desired.source
        return ServiceStatus(
            name=desired.name,
            version=self.version,
            source=source.origin or source.place,
            commit=source.commit,
            state=self.state,
            nodes=tuple(nodes),
            restarts=self.restarts,
            error=self.error or error,
            waiting_for=self._held.names,
            updated=self._updated,
            metadata=desired.asked.metadata,
            detached=desired.detached,
            watched=desired.asked.watch,
            story=self._story.all(),
        )

    def _tell(self, topic: Topic, **fields: Any) -> None:
        self._on_happening(Happening(at=self._clock.now(), topic=topic, service=self._name, http=self._http, **fields))
