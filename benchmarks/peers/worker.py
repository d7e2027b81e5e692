"""The loop of a peer's own program: say where one listens, answer questions from stdin, end when it closes."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import msgspec
import uvloop

Call = Callable[[], Awaitable[object]]


class Echo(msgspec.Struct):
    """Request and response of every peer. All of them encode it as MessagePack, so that only the transport differs."""

    message: str


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Echo).decode


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a program on uvloop, which is what microlite's own processes use."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


def say(**words: Any) -> None:
    """Write one JSON line to stdout."""
    print(json.dumps(words), flush=True)


async def standard_input() -> asyncio.StreamReader:
    """Return stdin, which must be a pipe, as a stream that the loop reads."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


async def until_closed() -> None:
    """Wait until the parent closes our standard input."""
    await (await standard_input()).read()


async def answer(call: Call) -> None:
    """Make as many calls, as many at a time, as each line from stdin asks; answer with the seconds that it took."""
    async for line in await standard_input():
        question = json.loads(line)
        seconds = await concurrently(call, question["count"], question["concurrency"])
        say(seconds=seconds)


async def concurrently(call: Call, count: int, concurrency: int) -> float:
    """Make ``count`` calls from ``concurrency`` tasks and return the seconds from the first to the last."""

    async def share(calls: int) -> None:
        for _ in range(calls):
            await call()

    shares = [count // concurrency + (number < count % concurrency) for number in range(concurrency)]
    began = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for number, calls in enumerate(shares):
            tasks.create_task(share(calls), name=f"caller {number}")
    return time.perf_counter() - began
