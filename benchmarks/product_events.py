"""The product's side of the comparisons of durable events: one service publishes, others handle."""

from __future__ import annotations

import time

import msgspec

from benchmarks.harness import Options, Sample
from benchmarks.peers.streaming import BULK, CONCURRENCY, PAUSE, TIMED
from benchmarks.processes import cpu_seconds
from benchmarks.product import Platform

PUBLISHER = f"""\
import asyncio
import time

import msgspec

from microlite import Context, Service

publisher = Service("publisher")


class Stamped(msgspec.Struct):
    at: float
    padding: str = "x" * 150


@publisher.endpoint
async def measure(ctx: Context, count: int, concurrency: int) -> float:
    async def share(events: int) -> None:
        for _ in range(events):
            await ctx.events.publish("{BULK}", Stamped(time.monotonic()))

    began = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for number in range(concurrency):
            tasks.create_task(share(count // concurrency + (number < count % concurrency)))
    return time.perf_counter() - began


@publisher.endpoint
async def spaced(ctx: Context, count: int) -> int:
    for _ in range(count):
        await ctx.events.publish("{TIMED}", Stamped(time.monotonic()))
        await asyncio.sleep({PAUSE})
    return count


if __name__ == "__main__":
    publisher.run()
"""

HANDLER = f"""\
import time

import msgspec

from microlite import Context, Service

handler = Service("handler")
seen: list[float] = []


class Stamped(msgspec.Struct):
    at: float
    padding: str = ""


@handler.consume("{TIMED}", group="timed")
async def on_timed(ctx: Context, event: Stamped) -> None:
    seen.append((time.monotonic() - event.at) * 1000)


@handler.endpoint
async def arrivals(ctx: Context, count: int) -> list[float]:
    if len(seen) < count:
        return []
    found = seen[-count:]
    seen.clear()
    return found


if __name__ == "__main__":
    handler.run()
"""

DRAINER = f"""\
import time

import msgspec

from microlite import Context, Service

drainer = Service("drainer")
count, first, last = 0, 0.0, 0.0


class Stamped(msgspec.Struct):
    at: float
    padding: str = ""


@drainer.consume("{BULK}", group="drain-{{number}}", concurrency=256, start={{start}})
async def on_bulk(ctx: Context, event: Stamped) -> None:
    global count, first, last
    last = time.perf_counter()
    first = first or last
    count += 1


@drainer.endpoint
async def handled(ctx: Context, least: int) -> float:
    return last - first if count >= least else 0.0


if __name__ == "__main__":
    drainer.run()
"""


class Events:
    """A platform with a node that publishes and one that handles."""

    name = "microlite"

    def __init__(self, options: Options) -> None:
        self.platform = Platform(options)
        self._rate = 0.0
        self._drained = 0

    def start(self) -> None:
        """Start the platform and both nodes."""
        self.platform.start()
        self.platform.deploy("publisher", PUBLISHER)
        self.platform.deploy("handler", HANDLER)
        self.platform.wait("publisher answering", lambda: self._ask(CONCURRENCY) > 0)
        self.platform.wait(
            "handler answering", lambda: bool(self.platform.post("/handler/arrivals", {"count": 1}).once())
        )

    def measure(self, seconds: float) -> Sample:
        """Return events per second as the publishing node counts them; processor time is that of platform and nodes."""
        pids = self.platform.pids()
        before = cpu_seconds(pids)
        count = max(640, int(self._rate * seconds))
        rate = self._ask(count)
        return Sample(rate, (cpu_seconds(pids) - before) / count * 1e6)

    def latencies(self, count: int) -> list[float]:
        """Publish so many events, one at a time; return the ms from each publish to its handler in another process."""
        self.platform.number("/publisher/spaced", {"count": count}, 60)
        found: list[float] = []

        def arrived() -> bool:
            answer = self.platform.post("/handler/arrivals", {"count": count}).once()
            found[:] = msgspec.json.decode(answer, type=list[float])
            return len(found) == count

        self.platform.wait(f"{count} arrivals", arrived)
        return found

    def drain(self, count: int) -> float:
        """Publish so many events, then start a node that handles them in a new group; return how many a second."""
        start = time.time()
        self._ask(count)
        self._drained += 1
        source = DRAINER.replace("{number}", str(self._drained)).replace("{start}", repr(start))
        if self._drained == 1:
            self.platform.deploy("drainer", source)
        else:
            (self.platform.folder / "drainer" / "main.py").write_text(source)
            self.platform.command("run", str(self.platform.folder / "drainer"), "--detach")
        taken = 0.0

        def handled() -> bool:
            nonlocal taken
            taken = self.platform.number("/drainer/handled", {"least": count})
            return taken > 0

        self.platform.wait(f"{count} events handled", handled, 120)
        self.platform.command("kill", "drainer")
        return count / taken

    def stop(self) -> None:
        """End the platform."""
        self.platform.stop()

    def _ask(self, count: int) -> float:
        taken = self.platform.number("/publisher/measure", {"count": count, "concurrency": CONCURRENCY}, 120)
        self._rate = count / taken
        return self._rate
