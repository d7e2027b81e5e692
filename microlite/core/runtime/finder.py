"""From a request to the services that it means: what lies in repositories is fetched, then everything is read."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from microlite.core.runtime.desired import check_request, find_desired, read_again
from microlite.core.runtime.git.address import address_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.core.runtime.api import Desired, RunRequest
    from microlite.core.runtime.git.checkouts import Checkout, Checkouts


def _untold(*_: str) -> None:
    """Nobody is told how it goes on."""


class Finder:
    """Finds what a user asks for.

    Args:
        checkouts: fetch commits.
    """

    def __init__(self, checkouts: Checkouts) -> None:
        self._checkouts = checkouts

    async def find(
        self,
        request: RunRequest,
        namespace: str,
        *,
        detached: bool,
        owner: str,
        progress: Callable[[str, str], object] = _untold,
    ) -> list[Desired]:
        """The services that a request means.

        Args:
            request: what was asked for.
            namespace: of the services.
            detached: whether they are kept.
            owner: the id of the account that wants them.
            progress: is called with what it is that takes long, and how that goes on.

        Raises:
            Error: there is nothing to run, or something about it is wrong; then nothing of it shall run.
        """
        await asyncio.to_thread(check_request, request)
        fetched: dict[str, Checkout] = {}
        for source in dict.fromkeys(request.sources):
            address = await asyncio.to_thread(address_of, source)
            if address is not None:
                name = request.name or address.name
                fetched[source] = await self._checkouts.get(address, partial(progress, name))
        return await asyncio.to_thread(
            find_desired, request, namespace, detached=detached, owner=owner, fetched=fetched
        )

    async def again(
        self, desired: Desired, *, instances: int = 0, progress: Callable[[str], object] = _untold
    ) -> Desired:
        """A service from its source as that is now; see `read_again`. A branch may have moved, and is fetched anew.

        Raises:
            Error: there is nothing to run any more, or something about it is wrong.
        """
        checkout = None
        if desired.source.origin:
            address = await asyncio.to_thread(address_of, desired.source.origin)
            assert address is not None, "it came from there"
            checkout = await self._checkouts.get(address, progress)
        return await asyncio.to_thread(read_again, desired, instances=instances, checkout=checkout)
