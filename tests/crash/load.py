"""A client process: its lanes work until the platform is gone, and say before and after each operation what they do.

Lines of JSON on standard output, each written at once: `begin` before an operation, `end` after it with its outcome
(`done`, `refused` where the error says that it did not take place, `unknown`), `stopped`. A line on standard input, with the
facts of each lane, lets them begin.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import sys
import time
import traceback
from typing import Any

import msgspec

import microlite
from microlite import errors
from tests.crash.lanes import Lane, Puller, Transfers, lanes
from tests.crash.operations import TOPIC, Operation, perform

AWAY = (errors.ServiceUnavailable, errors.ServiceNotFound)
UNKNOWN = (errors.OutcomeUnknown, errors.Timeout, errors.Canceled, errors.GatewayTimeout)


def tell(**line: Any) -> None:
    """Write a line; the pipe has it when this returns."""
    left = memoryview(msgspec.json.encode(line) + b"\n")
    while left:
        left = left[os.write(1, left) :]


class Stop(Exception):
    """The lane cannot go on before the platform is there again, and it is known what came of its last operation."""


class Worker:
    """Drives one lane."""

    def __init__(self, lane: Lane, m: Any) -> None:
        self.lane = lane
        self.m = m

    async def run(self) -> None:
        with contextlib.suppress(Stop):
            while True:
                await self.step(self.lane.next())
                await asyncio.sleep(self.lane.pause)

    async def step(self, op: Operation) -> None:
        through = self.lane.rng.random() < 0.4 and op["kind"] not in ("pull", "ack", "nack")
        # One that is sent again goes the same way: ids of transactions are those of their caller.
        through = op.setdefault("through", through)
        tell(t="begin", at=time.monotonic(), op=op)
        end = {"t": "end", "lane": self.lane.name, "number": op["number"], "kind": op["kind"]}
        try:
            result = await self.carry_out(op, through)
        except UNKNOWN as error:
            tell(**end, outcome="unknown", at=time.monotonic(), error=repr(error))
            raise Stop from None  # it may still take place, if it was a node that died
        except AWAY as error:
            tell(**end, outcome="refused", at=time.monotonic(), error=repr(error))
            if not through:
                raise Stop from None
            await asyncio.sleep(0.05)  # no node is there
            try:
                await self.m.store.read("platform", default=None)
            except (*UNKNOWN, *AWAY):
                raise Stop from None  # and no platform
        except errors.Conflict as error:
            if not isinstance(self.lane, Puller | Transfers):
                raise
            tell(**end, outcome="refused", at=time.monotonic(), error=repr(error))
        else:
            tell(**end, outcome="done", at=time.monotonic(), result=result)
            self.lane.done(op, result)

    async def carry_out(self, op: Operation, through: bool) -> dict[str, Any]:
        if op["kind"] == "forget":
            return {}
        if through:
            done: dict[str, Any] = await self.m.call("work.do", op=op)
            return done
        return await perform(self.m, op)


async def consume(m: Any, process: int, skip: float) -> None:
    """A group of this process, by a stream; with a chance of `skip` an event gets no ack."""
    group, number = f"stream{process}", 0
    with contextlib.suppress(*AWAY, *UNKNOWN):
        async with contextlib.aclosing(m.events.consume(TOPIC, group, max=8, ack_wait=60)) as deliveries:
            async for one in deliveries:
                at = time.monotonic()
                got = [one.event.position, one.payload["lane"], one.payload["number"]]
                tell(t="got", group=group, at=at, got=[got])
                if random.random() < skip:
                    continue
                number += 1
                op = {"kind": "ack", "lane": group, "number": number, "facts": {}, "positions": [one.event.position]}
                tell(t="begin", at=at, op=op)
                end = {"t": "end", "lane": group, "number": number, "kind": "ack"}
                try:
                    await one.ack()
                except UNKNOWN as error:
                    tell(**end, outcome="unknown", at=time.monotonic(), error=repr(error))
                    return
                except (*AWAY, errors.Conflict) as error:
                    tell(**end, outcome="refused", at=time.monotonic(), error=repr(error))
                    return
                tell(**end, outcome="done", at=time.monotonic(), result={})


async def main(home: str, seed: int, process: int) -> None:
    loop = asyncio.get_running_loop()
    made = lanes(process, seed)
    while line := await loop.run_in_executor(None, sys.stdin.buffer.readline):
        go = msgspec.json.decode(line)
        try:
            async with microlite.connect(home) as caller:
                m = caller.options(timeout=20)
                workers = []
                for lane in made:
                    lane.resume(go["facts"].get(lane.name, {}))
                    if lane.drains or not go["drain"]:
                        workers.append(Worker(lane, m).run())
                await asyncio.gather(*workers, follow(caller, process, 0.0 if go["drain"] else 0.1))
        except errors.ServiceUnavailable:
            pass
        except Exception:
            tell(t="surprise", error=traceback.format_exc())
        tell(t="stopped")


async def follow(m: Any, process: int, skip: float) -> None:
    """Consume until the platform is gone: the stream itself would wait for the next one, on a connection that is over."""
    consuming = asyncio.create_task(consume(m, process, skip))
    with contextlib.suppress(*AWAY, *UNKNOWN):
        async for _ in m.stream("broker.subscribe", topic=f"nothing.{process}"):
            pass
    consuming.cancel()
    await asyncio.gather(consuming, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
