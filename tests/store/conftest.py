"""What the tests of the store share: a platform in their own process, and a service that holds records."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest_asyncio

from microlite import Context, Service
from microlite.core.library.state.store import Store
from microlite.testing import RunningPlatform
from microlite.testing.asyncio_plugin import platform

__all__ = ["platform"]

Work = Callable[[Store], Awaitable[Any]]


class Holder:
    """Runs what a test wants to do with a store within a handler of a service."""

    def __init__(self, platform: RunningPlatform, service: str) -> None:
        self.platform = platform
        self.service = service
        self.works: list[Work] = []
        self.results: list[Any] = []

    async def run(self, work: Work) -> Any:
        """The outcome of `work(ctx.store)` in the service."""
        self.works.append(work)
        await self.platform.call(f"{self.service}.run")
        return self.results.pop()


async def holder_of(platform: RunningPlatform, name: str) -> Holder:
    """Serve such a service under a name."""
    holder = Holder(platform, name)
    service = Service(name)

    @service.endpoint
    async def run(ctx: Context) -> None:
        holder.results.append(await holder.works.pop()(ctx.store))

    await platform.serve(service)
    return holder


@pytest_asyncio.fixture
async def holder(platform: RunningPlatform) -> AsyncIterator[Holder]:
    """The service `orders`."""
    yield await holder_of(platform, "orders")
