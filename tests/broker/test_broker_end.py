"""A node that is ended at once does not wait for the rest of its messages."""

from __future__ import annotations

import asyncio

from microlite import Service
from microlite.testing import platform


async def test_leaving_a_test_does_not_wait_for_handlers_that_hang() -> None:
    service, begun = Service("shop"), asyncio.Event()

    @service.subscribe("t")
    async def on_message(number: int) -> None:
        begun.set()
        await asyncio.Event().wait()

    async with asyncio.timeout(4):
        async with platform() as p:
            await p.serve(service)
            await p.call("broker.publish", topic="t", value=1)
            await begun.wait()
