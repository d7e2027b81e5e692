"""HTTP programs as the gateway finds them: an address that holds until the request is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from microlite.core.network.router import Router
    from microlite.core.network.table import Link


class ProgramLease:
    """A program that stays up, at its address, until the lease is released."""

    __slots__ = ("_is_stream", "_link", "base_url")

    def __init__(self, link: Link) -> None:
        self._link = link
        self._is_stream = False
        self.base_url = link.address

    def begin_stream(self) -> None:
        """The request has become a WebSocket or an endless answer: a program that is to end gives it the time of streams."""
        self._is_stream = True
        self._link.begin_stream()

    def release(self) -> None:
        """The request or stream is over. To be called once."""
        if self._is_stream:
            self._link.end_stream()
        else:
            self._link.release()


class Programs:
    """Finds the programs that take requests now."""

    def __init__(self, router: Router) -> None:
        self._router = router

    async def acquire(self, namespace: str, name: str) -> ProgramLease:
        """A program of this name; waits while one is on its way.

        Raises:
            ServiceUnavailable: none is up, and none will be soon.
        """
        return ProgramLease(await self._router.acquire(namespace, name))
