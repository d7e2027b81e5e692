"""Holds a service back until those that it depends on are healthy."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from microlite.core.network.membership import Membership
    from microlite.core.registry.registry import Registry
    from microlite.core.runtime.api import Desired


class Held(NamedTuple):
    """Why a service does not start yet."""

    names: tuple[str, ...] = ()
    """The services that it waits for; empty if for none."""
    stuck: bool = False
    """Whether one of them has failed, or is not there at all: this can take until somebody does something."""


class Gated(Protocol):
    """A service that may depend on others, as its `Runner` has it."""

    @property
    def desired(self) -> Desired:
        """What is wanted of it."""
        ...

    @property
    def serves(self) -> bool:
        """Whether one of its nodes takes calls."""
        ...

    @property
    def is_settled(self) -> bool:
        """Whether all that was requested was carried out, for better or worse."""
        ...

    @property
    def stopping(self) -> bool:
        """Whether it is being ended."""
        ...

    def look_again(self) -> None:
        """What it waits for may have changed."""
        ...


class Gates:
    """Knows which services of one platform are healthy, and wakes those that wait for one.

    Args:
        runners: gives those of a namespace and name.
        registry: knows the services that were started by hand, and the built-in ones.
        membership: tells when a service has another set of nodes.
    """

    def __init__(
        self, runners: Callable[[str, str], Sequence[Gated]], registry: Registry, membership: Membership
    ) -> None:
        self._runners = runners
        self._registry = registry
        self._waiting: set[Gated] = set()
        self._due = False
        membership.watch(lambda _: self.changed())

    def look(self, runner: Gated) -> Held:
        """What a service that has not started yet waits for; if for something, it is woken when that may have changed."""
        desired = runner.desired
        names = tuple(name for name in desired.source.depends_on if not self._is_healthy(desired.namespace, name))
        if not names:
            self.leave(runner)
            return Held()
        self._waiting.add(runner)
        return Held(names, stuck=any(self._is_stuck(desired, name) for name in names))

    def leave(self, runner: Gated) -> None:
        """It waits no more. Harmless if it did not."""
        self._waiting.discard(runner)

    def changed(self) -> None:
        """Something may have become healthy, or failed: who waits looks again, in another turn of the loop."""
        if self._waiting and not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self._wake)

    def _wake(self) -> None:
        self._due = False
        for runner in list(self._waiting):
            runner.look_again()

    def _is_healthy(self, namespace: str, name: str) -> bool:
        runners = self._managed(namespace, name)
        if runners:
            return any(runner.serves for runner in runners)
        return any(record.name == name for record in self._registry.services(namespace, built_in=True))

    def _is_stuck(self, desired: Desired, name: str) -> bool:
        return all(runner.is_settled for runner in self._managed(desired.namespace, name))

    def _managed(self, namespace: str, name: str) -> list[Gated]:
        return [runner for runner in self._runners(namespace, name) if not runner.stopping]
