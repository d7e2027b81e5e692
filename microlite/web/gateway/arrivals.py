"""Services that were asked for and have not answered yet: what a request for one of them waits for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from microlite.core import errors

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_WAITING: Final = 1_024
"""Requests that wait at a time; further ones are told to come again."""


class Arrivals:
    """Knows which services are on their way for the first time, and which did not arrive, and why.

    A service that takes calls is not in here: its paths are known, and its calls wait where all calls do.
    """

    def __init__(self) -> None:
        self._expected: dict[tuple[str, str], str] = {}
        self._failed: dict[tuple[str, str], str] = {}
        self._waiters: dict[tuple[str, str], set[asyncio.Future[None]]] = {}

    def __len__(self) -> int:
        """How many requests wait."""
        return sum(map(len, self._waiters.values()))

    def expect(self, namespace: str, name: str, reason: str) -> None:
        """A service is on its way; `reason` is what went wrong with it so far, or empty."""
        self._failed.pop((namespace, name), None)
        self._expected[namespace, name] = reason

    def fail(self, namespace: str, name: str, reason: str) -> None:
        """A service was asked for, and will not come by itself."""
        self._expected.pop((namespace, name), None)
        self._failed[namespace, name] = reason
        self._wake(namespace, name)

    def forget(self, namespace: str, name: str) -> None:
        """A service is there, or is not asked for any longer. Harmless if nothing was said of it."""
        self._expected.pop((namespace, name), None)
        self._failed.pop((namespace, name), None)
        self._wake(namespace, name)

    async def wait(self, namespace: str, names: Iterable[str], timeout: float) -> bool:
        """Return when the first of these services that is on its way has arrived, or is not on its way any longer.

        Args:
            namespace: of the caller.
            names: what the path may mean.
            timeout: seconds.

        Returns:
            Whether there was something to wait for, so that looking again may help.

        Raises:
            ServiceUnavailable: it did not come in time, or will not come; the detail says why.
        """
        for name in names:
            if (reason := self._failed.get((namespace, name))) is not None:
                raise errors.ServiceUnavailable(f'Service "{name}" has no running node: {reason}', id="gateway")
            if (namespace, name) in self._expected:
                await self._arrival(namespace, name, timeout)
                return True
        return False

    async def _arrival(self, namespace: str, name: str, timeout: float) -> None:
        if len(self) >= MAX_WAITING:
            raise errors.ServiceUnavailable(f'Service "{name}" is starting; try again', id="gateway")
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault((namespace, name), set()).add(waiter)
        try:
            async with asyncio.timeout(timeout):
                await waiter
        except TimeoutError:
            reason = self._expected.get((namespace, name)) or "it has not come up in time; try again"
            raise errors.ServiceUnavailable(f'Service "{name}" is starting: {reason}', id="gateway") from None
        finally:
            waiters = self._waiters.get((namespace, name), set())
            waiters.discard(waiter)
            if not waiters:
                self._waiters.pop((namespace, name), None)

    def _wake(self, namespace: str, name: str) -> None:
        for waiter in self._waiters.pop((namespace, name), ()):
            if not waiter.done():
                waiter.set_result(None)
