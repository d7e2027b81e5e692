"""A script whose platform is killed, stopped and started again on the same home."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from microlite import connect, errors
from microlite.core.library import line
from microlite.core.library.caller import Caller
from tests.runtime_e2e.test_runtime_survival import Server, start

pytestmark = pytest.mark.slow  # two starts of a platform each

END = (signal.SIGKILL, signal.SIGTERM)


class Home:
    """One home, and the platform on it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._server: Server | None = None

    async def begin(self) -> None:
        self._server = await start(self.path)
        assert self._server.said == "ready"

    async def end(self, how: signal.Signals = signal.SIGKILL) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.process.send_signal(how)
            await server.end()

    async def restart(self, how: signal.Signals = signal.SIGKILL) -> None:
        await self.end(how)
        await self.begin()


@pytest.fixture
async def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Home]:
    monkeypatch.setattr(line, "PATIENCE", 30.0)  # a machine that does much else starts a platform slowly
    made = Home(tmp_path / "home")
    await made.begin()
    try:
        yield made
    finally:
        await made.end()


@pytest.fixture
async def m(home: Home) -> AsyncIterator[Caller]:
    async with connect(home.path) as caller:
        yield caller


class Reader:
    """Reads a stream in the background."""

    def __init__(self, stream: AsyncIterator[Any]) -> None:
        self.read: asyncio.Queue[Any] = asyncio.Queue()
        self.task = asyncio.create_task(self._run(stream))

    async def _run(self, stream: AsyncIterator[Any]) -> None:
        async for item in stream:
            self.read.put_nowait(item)

    async def next(self) -> Any:
        getting = asyncio.ensure_future(self.read.get())
        async with asyncio.timeout(20):
            await asyncio.wait([getting, self.task], return_when=asyncio.FIRST_COMPLETED)
        if not getting.done():
            self.task.result()
            raise AssertionError("the stream has ended")
        return getting.result()

    async def close(self) -> None:
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task


@pytest.mark.parametrize("how", END)
async def test_the_next_call_after_a_restart_is_answered(home: Home, m: Caller, how: signal.Signals) -> None:
    await m.store.write("a", 1)
    await home.restart(how)

    assert await m.store.read("a", int) == 1


async def test_calls_wait_for_a_platform_that_is_on_its_way(home: Home, m: Caller) -> None:
    await m.store.write("a", 1)
    await home.end()
    reading = [asyncio.create_task(m.store.read("a", int)) for _ in range(50)]
    await home.begin()

    assert await asyncio.gather(*reading) == [1] * 50


async def test_blocking_calls_come_back_too(home: Home) -> None:
    def first() -> Any:
        client = connect(home.path)
        caller = client.__enter__()
        caller.store.write("a", 1)
        return client, caller

    client, caller = await asyncio.to_thread(first)
    await home.restart()
    try:
        assert await asyncio.to_thread(caller.store.read, "a", int) == 1
    finally:
        await asyncio.to_thread(client.__exit__, None, None, None)


async def test_what_was_under_way_at_a_kill_is_unknown_and_is_not_repeated(home: Home, m: Caller) -> None:
    pulling = asyncio.create_task(m.events.pull("jobs", "workers", wait=20))
    await m.store.write("a", 1)  # it is behind the pull on the same line
    await home.restart()

    with pytest.raises(errors.OutcomeUnknown):
        await pulling


async def test_what_is_idempotent_is_asked_again(home: Home, m: Caller) -> None:
    await m.store.write("a", 1)
    await home.end()
    # The connection is lost in the turn in which this is sent.
    read = asyncio.create_task(m.store.read("a", int))
    await home.begin()

    assert await read == 1


async def test_without_a_platform_calls_fail_clearly_once_its_time_is_up(
    home: Home, m: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "PATIENCE", 0.1)
    await m.store.write("a", 1)
    await home.end()
    with pytest.raises(errors.ServiceUnavailable, match=r"no platform runs on .*microlite server"):
        await m.store.read("a", int)

    began = time.monotonic()
    with pytest.raises(errors.ServiceUnavailable, match="no platform runs"):
        await m.store.write("a", 2)
    assert time.monotonic() - began < 0.1
    await home.begin()
    assert await m.store.read("a", int) == 1


async def test_a_call_that_waits_keeps_its_deadline_and_can_be_given_up(home: Home, m: Caller) -> None:
    await m.store.write("a", 1)
    await home.end()
    with pytest.raises(errors.Timeout, match="did not come back in time"):
        await m.options(timeout=0.05).call("store.delete", key="a")
    canceled = asyncio.create_task(m.store.delete("a"))
    await asyncio.sleep(0)
    canceled.cancel()
    await home.begin()

    assert await m.store.read("a", int) == 1


async def test_a_script_that_leaves_while_its_calls_wait_ends_them(home: Home) -> None:
    async with connect(home.path) as m:
        await m.store.write("a", 1)
        await home.end()
        reading = asyncio.create_task(m.store.read("a"))
        await asyncio.sleep(0)
    with pytest.raises(errors.ServiceUnavailable, match="closed"):
        await reading
    with pytest.raises(errors.ServiceUnavailable, match="closed"):
        await m.store.read("a")


async def test_the_first_failure_is_immediate(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(errors.ServiceUnavailable, match="no platform runs on"):
        async with connect(tmp_path):
            pass
    assert time.monotonic() - began < 0.5


@pytest.mark.parametrize("how", END)
async def test_a_transaction_that_was_cut_off_takes_place_once(home: Home, m: Caller, how: signal.Signals) -> None:
    restarting = None
    for number in range(1, 60):

        async def change(tx: Any) -> None:
            count = await tx.store.read("count", int, default=0)
            tx.store.write("count", count + 1)
            tx.events.publish("counted", count + 1)

        if number == 20:
            restarting = asyncio.create_task(home.restart(how))
        for _ in range(5):
            try:
                await m.transact(change)
            except errors.OutcomeUnknown:
                continue  # a read of it; nothing was written yet
            break
        else:
            raise AssertionError("no try came through")
    assert restarting is not None
    await restarting
    assert await m.store.read("count", int) == 59
    assert [event.payload for event in await m.events.read("counted", int)] == list(range(1, 60))


Opens = Callable[[Caller], AsyncIterator[Any]]


def _store(m: Caller) -> AsyncIterator[Any]:
    return m.store.watch("", state=True)


def _blobs(m: Caller) -> AsyncIterator[Any]:
    return m.store.blobs.watch(state=True)


def _follow(m: Caller) -> AsyncIterator[Any]:
    return m.events.follow("news", int, after=0)


def _consume(m: Caller) -> AsyncIterator[Any]:
    return m.events.consume("news", "readers", int, auto_ack=True)


def _config(m: Caller) -> AsyncIterator[Any]:
    return m.config.watch("limit", int, default=0)


def _broker(m: Caller) -> AsyncIterator[Any]:
    return m.broker.subscribe("news", int)


async def _write(m: Caller, number: int) -> None:
    await m.store.write("a", number)


async def _write_blob(m: Caller, number: int) -> None:
    await m.store.blobs.write("a", str(number).encode())


async def _publish(m: Caller, number: int) -> None:
    await m.events.publish("news", number)


async def _set(m: Caller, number: int) -> None:
    await m.config.set("limit", number)


async def _send(m: Caller, number: int) -> None:
    async with asyncio.timeout(20):
        while not await m.broker.publish("news", number):
            await asyncio.sleep(0.01)  # until it is subscribed, which nothing else tells


@pytest.mark.parametrize("how", END)
@pytest.mark.parametrize(
    ("opens", "change", "value"),
    [
        (_store, _write, lambda item: item.value),
        (_blobs, _write_blob, lambda item: item.resume),
        (_follow, _publish, lambda item: item.payload),
        (_consume, _publish, lambda item: item.payload),
        (_config, _set, lambda item: item),
        (_broker, _send, lambda item: item.value),
    ],
    ids=["store", "blobs", "follow", "consume", "config", "broker"],
)
async def test_a_stream_goes_on_behind_the_last_item_after_a_restart(
    home: Home,
    m: Caller,
    how: signal.Signals,
    opens: Opens,
    change: Callable[[Caller, int], Coroutine[Any, Any, None]],
    value: Callable[[Any], Any],
) -> None:
    reader = Reader(opens(m))
    try:
        if opens is _config:
            assert await reader.next() == 0
        if opens in (_store, _blobs):
            while (await reader.next()).kind != "synced":
                pass
        await change(m, 1)
        first = value(await reader.next())
        await home.restart(how)
        await change(m, 2)

        seen = [first]
        while len(set(seen)) < 2:
            seen.append(value(await reader.next()))
        assert seen.count(first) <= (2 if opens is _consume else 1)  # its ack may have been cut off
    finally:
        await reader.close()


async def test_the_configuration_is_fresh_again_after_a_restart(home: Home, m: Caller) -> None:
    await m.config.set("limit", 1)
    await m.config.load()
    assert m.config.get("limit", int) == 1
    await home.restart()
    async with connect(home.path) as other:
        await other.config.set("limit", 2)

    async with asyncio.timeout(20):
        while m.config.get("limit", int) != 2:
            await asyncio.sleep(0.01)


async def test_a_group_of_its_own_ends_with_the_platform(home: Home, m: Caller) -> None:
    await m.events.publish("news", 0)
    reader = Reader(m.events.consume("news"))
    async with asyncio.timeout(20):
        while reader.read.empty():
            await m.events.publish("news", 1)
    await home.end()
    with pytest.raises(errors.ServiceUnavailable):
        async with asyncio.timeout(20):
            await reader.task
