"""Scripts whose platform is restarted."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import microlite
from microlite import errors
from microlite.core.app import Platform
from microlite.core.library.caller import Caller
from microlite.core.settings import ServerOptions


@pytest.fixture
async def home() -> AsyncIterator[Path]:
    """Short, since paths of sockets are limited."""
    folder = Path(tempfile.mkdtemp(prefix="ml-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def up(home: Path) -> Platform:
    return Platform(ServerOptions(home=home, port=0, dashboard=False))


async def publish(m: Caller, payload: object) -> None:
    """Publish as soon as the platform is there."""
    async with asyncio.timeout(20):
        while True:
            try:
                await m.events.publish("t", payload)
                return
            except errors.ServiceUnavailable:
                await asyncio.sleep(0.01)


async def payload(events: AsyncIterator[Any]) -> Any:
    return (await anext(events)).payload


async def test_a_script_finds_a_restarted_platform_again(home: Path) -> None:
    """A consumer and a follower wait for it and miss nothing, and other calls work again."""
    async with contextlib.AsyncExitStack() as stack:
        async with up(home):
            m = await stack.enter_async_context(microlite.connect(home))
            await m.events.publish("t", 1)
            consumed = m.events.consume("t", "g")
            followed = m.events.follow("t", after=0)
            delivery = await anext(consumed)
            await delivery.ack()
            assert [delivery.payload, await payload(followed)] == [1, 1]
            waiting = asyncio.gather(payload(consumed), payload(followed))
        with pytest.raises(errors.ServiceUnavailable):
            await m.events.publish("t", 0)
        async with up(home):
            await publish(m, 2)
            async with asyncio.timeout(20):
                assert list(await waiting) == [2, 2]
            await stack.aclose()


async def test_a_consumer_that_handles_an_event_through_a_restart_gets_it_again(home: Path) -> None:
    """Its ack comes too late, which does not end it."""
    async with contextlib.AsyncExitStack() as stack:
        async with up(home):
            m = await stack.enter_async_context(microlite.connect(home))
            await m.events.publish("t", 1)
            consumed = m.events.consume("t", "g", auto_ack=True)
            assert await payload(consumed) == 1
        async with up(home):
            await publish(m, 2)
            async with asyncio.timeout(20):
                assert [await payload(consumed), await payload(consumed)] == [1, 2]
            await stack.aclose()
