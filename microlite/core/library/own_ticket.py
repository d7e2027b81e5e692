"""The ticket of this very node: what it proves itself by, always a fresh one."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import msgspec

from microlite.core import errors
from microlite.core.rpc.call import UnaryCall

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from microlite.core.clock import Clock, Timer
    from microlite.core.rpc.connection import Connection

AGAIN: Final = 5.0
"""Seconds after which a renewal that failed is tried again."""

MARGIN: Final = 5.0
"""Seconds before its end from which on a ticket is not shown any more."""

PATIENCE: Final = 10.0
"""Seconds that the platform has to give one."""

_NAMES: Final = "microlite: renew the ticket"


class _Given(msgspec.Struct):
    """What `auth.tickets.create` answers; see `core/auth/api.py`, which a node does not load."""

    shown: str
    expires: float
    token: str = ""


_decode = msgspec.msgpack.Decoder(_Given).decode


class OwnTicket:
    """Keeps the ticket of a node fresh, over its connection to the platform.

    Args:
        clock: says when to renew it.
        token: the first one, from the environment; empty where the platform is asked for it.
        on_new: called with what to show to callers, each time that there is a new one.

    Attributes:
        token: what to show to the platform; empty before there is one.
        expires: until when it holds, in seconds since the Unix epoch; 0 where that is not known.
    """

    def __init__(self, clock: Clock, token: str, on_new: Callable[[str], None]) -> None:
        self._clock = clock
        self._on_new = on_new
        self._connection: Connection | None = None
        self._timer: Timer | None = None
        self._renewing: asyncio.Task[None] | None = None
        self.token = str(token)  # the wire takes none but plain text, and not what hides it
        self.expires = 0.0

    @property
    def holds(self) -> bool:
        """Whether it can still be shown."""
        return bool(self.token) and (not self.expires or self._clock.now() < self.expires - MARGIN)

    async def follow(self, connection: Connection) -> None:
        """Renew it over this connection from now on, and return when there is one that holds.

        Raises:
            Error: the platform gives none.
        """
        self._connection = connection
        await self.renew()

    async def renew(self) -> None:
        """Ask for a new one.

        Raises:
            Error: the platform gives none.
        """
        given = await self._ask(b"\x80")
        self.token, self.expires = given.token, given.expires
        self._on_new(given.shown)
        self._renew_in((self.expires - self._clock.now()) / 2)

    async def shown_to(self, node: str) -> str:
        """What to show to one other node, which is the only one that takes it.

        Raises:
            Error: the platform gives none.
        """
        return (await self._ask(msgspec.msgpack.encode({"to": node}))).shown

    async def _ask(self, request: bytes) -> _Given:
        assert self._connection is not None
        call = UnaryCall("auth", "tickets.create", request, timeout=PATIENCE)
        return _decode(await call.run(self._connection.start))

    def forget(self) -> None:
        """Show the one that there is no more."""
        self.token, self.expires = "", 0.0

    def close(self) -> None:
        """Renew it no more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._renewing is not None:
            self._renewing.cancel()

    def _renew_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._clock.call_later(max(1.0, seconds), self._begin)

    def _begin(self) -> None:
        assert self._connection is not None
        if not self._connection.usable:
            return  # whoever finds the platform again follows the new connection
        self._renewing = self._connection.loop.create_task(self._try(), name=_NAMES)

    async def _try(self) -> None:
        try:
            await self.renew()
        except errors.Error as error:
            logging.getLogger("microlite").warning("the node's ticket was not renewed: %s", error.detail)
            self._renew_in(AGAIN)
