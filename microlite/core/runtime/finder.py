"""From a request to the services that it means: what lies in repositories is fetched, then everything is read."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from microlite.core import errors
from microlite.core.runtime.desired import check_request, find_desired
from microlite.core.runtime.git.address import address_of
from microlite.core.runtime.importing import PROJECT
from microlite.core.runtime.project import read_project

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.core.runtime.api import Desired, RunRequest
    from microlite.core.runtime.git.address import Address
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
        return await self._find(request, namespace, "", detached=detached, owner=owner, progress=progress)

    async def again(
        self, desired: Desired, *, instances: int = 0, progress: Callable[[str], object] = _untold
    ) -> Desired:
        """A service from its source as that is now. A branch may have moved, and is fetched anew.

        It keeps its name, whatever the code calls itself by now: whoever calls it knows it by this one.

        Args:
            desired: as it was.
            instances: how many nodes it has from now on; 0 for as many as before.
            progress: is called with what takes long.

        Raises:
            Error: there is nothing to run any more, or something about it is wrong.
        """
        asked = msgspec.structs.replace(desired.asked, name="" if desired.project else desired.name)
        if instances:
            asked = msgspec.structs.replace(asked, instances=instances)
            await asyncio.to_thread(check_request, asked)
        found = await self._find(
            asked,
            desired.namespace,
            desired.name,
            detached=desired.detached,
            owner=desired.owner,
            progress=lambda _, text: progress(text),
        )
        if not found:
            raise errors.NotFound(f"{desired.project}: its {PROJECT} no longer names {desired.name}")
        return found[0]

    async def _find(
        self,
        request: RunRequest,
        namespace: str,
        only: str,
        *,
        detached: bool,
        owner: str,
        progress: Callable[[str, str], object],
    ) -> list[Desired]:
        fetched: dict[str, Checkout] = {}
        copies: dict[str, str] = {}
        try:
            for source in dict.fromkeys(request.sources):
                address = await asyncio.to_thread(address_of, source)
                place = Path(source)
                if address is not None:
                    fetched[source] = await self._fetch(address, request.name, progress)
                    copies[fetched[source].folder] = address.repository.rstrip("/")
                    place = Path(fetched[source].folder, address.path)
                project = await asyncio.to_thread(read_project, place) if not request.command else None
                for part in project.parts if project is not None else ():
                    if part.address is not None and only in ("", part.name):
                        checkout = await self._fetch(part.address, part.name, progress)
                        fetched[part.address.text] = checkout
                        copies[checkout.folder] = part.address.repository.rstrip("/")
            return await asyncio.to_thread(
                find_desired, request, namespace, detached=detached, owner=owner, fetched=fetched, only=only
            )
        except errors.Error as error:
            detail = error.detail
            for folder, repository in copies.items():  # a user knows the address, not the copy
                detail = detail.replace(folder, repository)
            raise type(error)(detail) from None

    async def _fetch(self, address: Address, name: str, progress: Callable[[str, str], object]) -> Checkout:
        return await self._checkouts.get(address, partial(progress, name or address.name))
