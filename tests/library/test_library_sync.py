"""The blocking forms: `ctx.sync` in plain handlers, and `connect()` in scripts, both ways."""

from __future__ import annotations

import asyncio
import gc
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

import pytest

import microlite
from microlite import Context, Service, errors
from microlite.core.library.bridge import Bridge
from microlite.core.library.loop_thread import LoopThread
from microlite.core.rpc.sockets import private_folder

if TYPE_CHECKING:
    from pathlib import Path

    from microlite.testing import RunningPlatform


class NumbersAPI(Protocol):
    async def add(self, a: int, b: int = 1) -> int: ...
    def count(self, to: int) -> AsyncIterator[int]: ...
    async def total(self, numbers: AsyncIterator[int]) -> int: ...


@pytest.fixture
def numbers() -> Service:
    service = Service("numbers")

    @service.endpoint
    async def add(a: int, b: int = 1) -> int:
        return a + b

    @service.endpoint
    async def count(to: int) -> AsyncIterator[int]:
        for number in range(to):
            yield number

    @service.endpoint
    async def total(numbers: AsyncIterator[int]) -> int:
        return sum([number async for number in numbers])

    @service.endpoint
    async def fail() -> None:
        raise errors.Conflict("no")

    @service.endpoint
    async def who(ctx: Context) -> str:
        return ctx.metadata.get("who", "nobody")

    return service


def use(sync: Any) -> dict[str, Any]:
    """Each verb once, blocking."""
    answers: dict[str, Any] = {
        "call": sync.call("numbers.add", a=2),
        "stream": list(sync.stream("numbers.count", to=3)),
        "options": sync.options(metadata={"who": "Ann"}).call("numbers.who"),
    }
    with sync.stream("numbers.total") as stream:
        for number in (1, 2, 3):
            stream.send(number)
        answers["upload"] = stream.reply()
    client = sync.client(NumbersAPI)
    answers["client"] = client.add(5, b=6)
    answers["client stream"] = list(client.count(2))
    answers["client upload"] = client.total(number for number in (4, 5))
    try:
        sync.call("numbers.fail")
    except errors.Conflict as error:
        answers["error"] = error.detail
    for number in sync.stream("numbers.count", to=1_000_000):
        if number == 2:
            answers["left at"] = number
            break
    return answers


USED = {
    "call": 3,
    "stream": [0, 1, 2],
    "options": "Ann",
    "upload": 6,
    "client": 11,
    "client stream": [0, 1],
    "client upload": 9,
    "error": "no",
    "left at": 2,
}


async def test_a_plain_handler_has_every_verb(platform: RunningPlatform, numbers: Service) -> None:
    plain = Service("plain")

    @plain.endpoint
    def call(ctx: Context) -> dict[str, Any]:
        return use(ctx.sync)

    await platform.serve(numbers)
    await platform.serve(plain)
    assert await platform.call("plain") == USED


async def test_the_blocking_form_refuses_the_loop_it_would_block(platform: RunningPlatform) -> None:
    service = Service("careless")

    @service.endpoint
    async def call(ctx: Context) -> list[str]:
        refusals = []
        uses: list[Callable[[], object]] = [
            lambda: ctx.sync.call("careless.other"),
            lambda: next(iter(Bridge(ctx.stream("careless.other"), asyncio.get_running_loop()))),
            lambda: ctx.sync.stream("careless.other"),
            lambda: Bridge(ctx.stream("careless.other"), asyncio.get_running_loop()).__enter__(),
        ]
        for use_it in uses:
            with pytest.raises(RuntimeError) as caught:
                use_it()
            refusals.append(str(caught.value))
        return refusals

    await platform.serve(service)
    assert [refusal.partition(":")[0] for refusal in await platform.call("careless")] == [
        "the blocking form was used on the event loop"
    ] * 4


async def test_a_plain_generator_may_stream_what_it_reads(platform: RunningPlatform, numbers: Service) -> None:
    plain = Service("plain")

    @plain.endpoint
    def doubled(ctx: Context, to: int) -> Iterator[int]:
        for number in ctx.sync.stream("numbers.count", to=to):
            yield 2 * number

    await platform.serve(numbers)
    await platform.serve(plain)
    assert [number async for number in platform.stream("plain.doubled", to=40)] == list(range(0, 80, 2))


async def test_a_script_calls_without_a_loop(platform: RunningPlatform, numbers: Service) -> None:
    await platform.serve(numbers)

    def script() -> dict[str, Any]:
        with microlite.connect(platform.home) as m:
            return use(m)

    assert await asyncio.to_thread(script) == USED


async def test_a_script_leaves_no_thread_behind_and_may_come_again(platform: RunningPlatform, numbers: Service) -> None:
    await platform.serve(numbers)
    before = threading.active_count()

    def script() -> list[int]:
        client = microlite.connect(platform.home)
        answers = []
        for number in (1, 2):
            with client as m:
                answers.append(m.call("numbers.add", a=number))
        gc.collect()
        return answers

    assert await asyncio.to_thread(script) == [2, 3]
    assert threading.active_count() <= before + 1  # the one that ran the script


async def test_what_was_closed_says_so(platform: RunningPlatform, numbers: Service) -> None:
    await platform.serve(numbers)

    def script() -> None:
        with microlite.connect(platform.home) as m:
            kept = m
        with pytest.raises(errors.ServiceUnavailable, match="closed"):
            kept.call("numbers.add", a=1)

    await asyncio.to_thread(script)


async def test_a_program_with_a_loop_awaits(
    platform: RunningPlatform, numbers: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    await platform.serve(numbers)
    monkeypatch.setenv("MICROLITE_HOME", str(platform.home))
    async with microlite.connect() as m:
        assert await m.call("numbers.add", a=2) == 3
        assert [n async for n in m.stream("numbers.count", to=2)] == [0, 1]
        assert await m.client(NumbersAPI).add(1) == 2


async def test_without_a_platform_it_says_what_to_do(tmp_path: Path) -> None:
    private_folder(tmp_path / "home")
    with pytest.raises(errors.ServiceUnavailable, match="microlite server"):
        async with microlite.connect(tmp_path / "home"):
            pass
    with pytest.raises(errors.ServiceUnavailable), microlite.connect(tmp_path / "home"):
        pass


def test_a_signal_that_another_thread_gets_ends_the_wait_for_a_coroutine() -> None:
    """The system may hand Ctrl-C to any thread, and only the one that waits can act on it."""

    class Interrupted(Exception):
        pass

    def interrupt(*_: object) -> None:
        raise Interrupted

    async def wait() -> None:
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
        await asyncio.Event().wait()

    before = signal.signal(signal.SIGUSR1, interrupt)
    thread = LoopThread().start()
    try:
        with pytest.raises(Interrupted):
            thread.run(wait())
    finally:
        thread.stop()
        signal.signal(signal.SIGUSR1, before)
