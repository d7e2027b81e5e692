"""What the sides of the comparisons of durable events share: one program publishes, another handles.

The publisher answers ``{"count", "concurrency"}`` with the seconds that so many acknowledged publishes took, and
``{"spaced": n}`` when it has published n events, one after the other with a pause. The handler answers ``{"arrivals": n}``
with how long each of the last n events was under way, in ms, and ``{"drain": n}`` with the seconds in which it has handled
and acknowledged n events that were there before it began.
"""

from __future__ import annotations

import asyncio
import json
import time
from abc import abstractmethod
from collections.abc import Awaitable, Callable

import msgspec

from benchmarks.peers import worker
from benchmarks.peers.caller import ServedPeer
from benchmarks.processes import Program

CONCURRENCY = 64
"""Publishers at the same time, as the budget has it."""

PAUSE = 0.002
"""Seconds between two events whose way is timed."""

PADDING = "x" * 150


class Stamped(msgspec.Struct):
    """The event of every side: when it was sent, on the machine's monotonic clock, and some weight."""

    at: float
    padding: str = PADDING


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Stamped).decode


class StreamingPeer(ServedPeer):
    """A server, a publisher and a handler."""

    concurrency = CONCURRENCY
    handler: Program | None = None

    def latencies(self, count: int) -> list[float]:
        """Publish so many events, one at a time; return the ms from each publish to its handler in another process."""
        assert self.caller is not None
        assert self.handler is not None
        self.caller.ask({"spaced": count})
        return [float(value) for value in self.handler.ask({"arrivals": count})["ms"]]

    def drain(self, count: int) -> float:
        """Publish so many events, then handle and acknowledge them; return how many of them a second."""
        assert self.handler is not None
        self._ask(count)
        return count / float(self.handler.ask({"drain": count}, 120)["seconds"])

    @abstractmethod
    def start(self) -> None:
        """See `Startable`."""


BULK, TIMED = "bulk", "timed"
"""The two topics of every side, so that what is timed does not wait behind what is counted."""


async def publish_as_asked(publish: Callable[[str, bytes], Awaitable[object]]) -> None:
    """Be the publisher: ``publish``, with a topic, returns when the event is acknowledged."""

    async def once() -> object:
        return await publish(BULK, encode(Stamped(time.monotonic())))

    await once()
    worker.say(ready=True)
    async for line in await worker.standard_input():
        question = json.loads(line)
        if "spaced" in question:
            for _ in range(question["spaced"]):
                await publish(TIMED, encode(Stamped(time.monotonic())))
                await asyncio.sleep(PAUSE)
            worker.say(done=True)
        else:
            seconds = await worker.concurrently(once, question["count"], question["concurrency"])
            worker.say(seconds=seconds)


class Arrivals:
    """What the handler has seen."""

    def __init__(self) -> None:
        self.ms: list[float] = []
        self._changed = asyncio.Event()

    def note(self, payload: bytes) -> None:
        """Take the time of an event that has arrived."""
        self.ms.append((time.monotonic() - decode(payload).at) * 1000)
        self._changed.set()

    async def last(self, count: int) -> list[float]:
        """Wait until there are so many; return the last of them and forget all."""
        while len(self.ms) < count:
            self._changed.clear()
            await asyncio.wait_for(self._changed.wait(), 20)
        found, self.ms = self.ms[-count:], []
        return found


async def handle_as_asked(arrivals: Arrivals, drain: Callable[[int], Awaitable[None]]) -> None:
    """Be the handler: ``drain`` returns when so many events that were there are handled and acknowledged."""
    worker.say(ready=True)
    async for line in await worker.standard_input():
        question = json.loads(line)
        if "arrivals" in question:
            worker.say(ms=await arrivals.last(question["arrivals"]))
        else:
            began = time.perf_counter()
            await drain(question["drain"])
            worker.say(seconds=time.perf_counter() - began)
