"""Faults that a test puts between a service and its callers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Self

from microlite.core import errors
from microlite.core.description.naming import parse_target
from microlite.testing.holding import Holding

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from microlite.core.clock import Clock
    from microlite.core.rpc.call import Acceptor, Inbound


class Fault:
    """One fault that is in force. Leave its `with` block, or call `remove`, to end it.

    Attributes:
        hits: how many calls it has met.
    """

    def __init__(
        self, faults: Faults, target: str, node: str, times: float, effect: Callable[[Inbound, Acceptor], None]
    ) -> None:
        self._faults = faults
        self._service, endpoint = parse_target(target)
        self._endpoint = endpoint if "." in target or "/" in target else ""
        self._node = node
        self._times = times
        self._effect = effect
        self.hits = 0

    def meets(self, inbound: Inbound, node: str) -> bool:
        """Whether it concerns this call, on this node."""
        return (
            self.hits < self._times
            and inbound.service == self._service
            and self._endpoint in ("", inbound.endpoint)
            and self._node in ("", node)
        )

    def strike(self, inbound: Inbound, target: Acceptor) -> None:
        """Do to a call what this fault is for."""
        self.hits += 1
        self._effect(inbound, target)

    def remove(self) -> None:
        """End the fault. Calls that it delays go on being delayed. May be called twice."""
        self._faults.remove(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.remove()


class Faults:
    """What goes wrong on purpose. Of several faults that meet a call, the newest counts.

    A target is a service (`greeter`) or one of its endpoints (`greeter.hello`). Each method takes `times`, the number of
    calls after which the fault is over, and `node`, the id of the one node that it concerns.
    """

    BRIDGED = True

    def __init__(self, clock: Clock, breaks: Callable[[str], Awaitable[None]]) -> None:
        self._clock = clock
        self._breaks = breaks
        self._active: list[Fault] = []

    def fail(self, target: str, error: errors.Error | None = None, *, times: float = math.inf, node: str = "") -> Fault:
        """Let calls fail without reaching the service.

        Args:
            target: whose calls.
            error: what their callers get; an `InternalServerError` without it.
            times: how many calls.
            node: on which node only.
        """
        reason = error or errors.InternalServerError(f"{target} fails, since the test wants it to")
        return self._add(target, node, times, lambda inbound, _: inbound.fail(reason))

    def refuse(self, target: str, *, times: float = math.inf, node: str = "") -> Fault:
        """Let nodes refuse calls unstarted, as one does that has too many: they go to another node, if there is one."""
        return self._add(target, node, times, lambda inbound, _: inbound.refuse("the test wants it so"))

    def delay(self, target: str, seconds: float, *, times: float = math.inf, node: str = "") -> Fault:
        """Let calls reach the service later, by the platform's clock; with infinity never.

        The deadlines of calls run by real time all the same.
        """

        def effect(inbound: Inbound, target: Acceptor) -> None:
            holding = Holding(inbound, target)
            if seconds != math.inf:
                self._clock.call_later(seconds, holding.release)

        return self._add(target, node, times, effect)

    async def break_connection(self, service: str) -> None:
        """Break all connections of a service's nodes, and return when they have come back.

        What they were doing is canceled there; its callers get `OutcomeUnknown`.
        """
        await self._breaks(service)

    def clear(self) -> None:
        """End all faults."""
        self._active.clear()

    def remove(self, fault: Fault) -> None:
        """End one fault."""
        if fault in self._active:
            self._active.remove(fault)

    def front(self, target: Acceptor, node: str = "") -> Acceptor:
        """What takes calls in place of `target`, and lets through those that no fault meets."""
        return _Front(self, target, node)

    def find(self, inbound: Inbound, node: str) -> Fault | None:
        """The fault that meets a call."""
        for fault in reversed(self._active):
            if fault.meets(inbound, node):
                return fault
        return None

    def _add(self, target: str, node: str, times: float, effect: Callable[[Inbound, Acceptor], None]) -> Fault:
        fault = Fault(self, target, node, times, effect)
        self._active.append(fault)
        return fault


class _Front:
    def __init__(self, faults: Faults, target: Acceptor, node: str) -> None:
        self._faults = faults
        self._target = target
        self._node = node

    def accept(self, inbound: Inbound) -> None:
        """See `Acceptor`."""
        fault = self._faults.find(inbound, self._node)
        if fault is None:
            self._target.accept(inbound)
        else:
            fault.strike(inbound, self._target)
