"""A node of a service within the test's process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from microlite.core import errors
from microlite.core.library.node import RunningNode
from microlite.core.library.placement import Placement

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from microlite.core.clock import Clock
    from microlite.core.library.service import Service
    from microlite.core.rpc import frames
    from microlite.core.rpc.call import Acceptor


class InProcess(Placement, frozen=True, kw_only=True):
    """The place of a node beside its platform, which it need not start and must not announce."""

    in_process: bool = True

    async def find_platform(self) -> Path:
        """The socket of the platform."""
        return self.platform_socket

    @staticmethod
    def say_running(service: str, platform: frames.Hello | None) -> None:
        """Say nothing: the test knows."""


class Served:
    """One node. It uses real sockets, as in a process of its own.

    Attributes:
        service: what it serves.
        placement: as what.
    """

    def __init__(
        self, service: Service, placement: InProcess, clock: Clock, front: Callable[[Acceptor], Acceptor]
    ) -> None:
        self.service = service
        self.placement = placement
        self._node = RunningNode(service, placement, clock, front)
        self._task: asyncio.Task[int] | None = None

    @property
    def name(self) -> str:
        """The name of the service."""
        return self._node.name

    @property
    def node(self) -> str:
        """The id of the node."""
        return self._node.node

    @property
    def generation(self) -> int:
        """How often it was restarted."""
        return self.placement.generation

    async def start(self) -> None:
        """Return when it takes calls, and its subscriptions hold.

        Raises:
            Error: it could not start.
        """
        self._task = asyncio.get_running_loop().create_task(self._node.serve(), name=f"microlite: serve {self.node}")
        registered = asyncio.ensure_future(self._node.registered.wait())
        try:
            await asyncio.wait({registered, self._task}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await self.cancel()
            raise
        finally:
            registered.cancel()
        if self._task.done():
            self._task.result()
            raise errors.ServiceUnavailable(f"{self.node} ended before it took calls")
        await self._node.attached()

    async def come_back(self) -> None:
        """Break its connections, and return when it has registered anew."""
        self._node.registered.clear()
        self._node.break_off()
        await self._node.registered.wait()
        await self._node.attached()

    async def stop(self) -> None:
        """Let it finish what was called, then end, as SIGTERM does."""
        self._node.stopping.set()
        await self.ended()

    async def ended(self) -> None:
        """Return when it has ended.

        Raises:
            Exception: what it ended with.
        """
        if self._task is not None:
            await asyncio.wait({self._task})
            if not self._task.cancelled():
                self._task.result()

    async def kill(self) -> None:
        """Break its connections and end it at once. Its stop hooks run all the same, so that nothing is left open."""
        self._node.break_off()
        await self.cancel()

    async def cancel(self) -> None:
        """End it at once, whatever it does."""
        if self._task is not None:
            self._task.cancel()
            await self.ended()
