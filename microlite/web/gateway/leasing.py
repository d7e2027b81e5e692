"""One request to an HTTP program, wherever that is at the moment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from microlite.core import errors

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from microlite.web.gateway.edge import Edge, Lease
    from microlite.web.gateway.table import Target

TRIES: Final = 4
"""Connections that one request tries to open, each to what is then the program's address."""

PAUSE: Final = 0.05
"""Seconds between two of them."""


async def with_lease(edge: Edge, target: Target, use: Callable[[Lease], Awaitable[bool]]) -> None:
    """Let `use` have a program that is up, until it returns.

    Where it says that the program refused the connection, and so has seen nothing of the request, it gets another try.

    Raises:
        BadGateway: the program refuses all of them.
        Error: what `use` raises; or no program is up.
    """
    for attempt in range(TRIES):
        lease = await edge.programs.acquire(target.namespace, target.service)
        try:
            if await use(lease):
                return
        finally:
            lease.release()
        if attempt + 1 < TRIES:
            await edge.clock.sleep(PAUSE)
    raise errors.BadGateway(f'the program "{target.service}" accepts no connections', id="gateway")
