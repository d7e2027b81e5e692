"""Row: from the call that sets a value, on disk included, to the function of `on_config` in another process."""

from __future__ import annotations

from pathlib import Path

from benchmarks import product
from benchmarks.harness import Budget, Options, Result, running, spread

_PER_ROUND = 10

FOLLOWER = """\
import time

from microlite import Context, Service

follower = Service("follower")
arrived = [-1, 0.0]


@follower.on_config("bench.number", default=-1)
async def follow(number: int) -> None:
    arrived[:] = number, time.monotonic()


@follower.endpoint
async def last(ctx: Context) -> list[float]:
    return arrived


if __name__ == "__main__":
    follower.run()
"""

SETTER = """\
import asyncio
import time

from microlite import Context, Service

setter = Service("setter")


@setter.endpoint
async def change(ctx: Context, number: int) -> float:
    began = time.monotonic()
    await ctx.config.set("bench.number", number)
    while True:
        seen, at = await ctx.call("follower.last")
        if seen == number:
            return (at - began) * 1000
        await asyncio.sleep(0.001)


if __name__ == "__main__":
    setter.run()
"""


class Followed:
    """A platform, a service that sets, and one that follows."""

    name = "microlite"

    def __init__(self, options: Options) -> None:
        self.platform = product.Platform(options)

    def start(self) -> None:
        """Start all three."""
        self.platform.start()
        self._deploy("follower", FOLLOWER)
        self._deploy("setter", SETTER)
        self.platform.wait("both answering", lambda: self.change(0) > 0)

    def change(self, number: int) -> float:
        """Set a number and return the ms until it was handed over in the other process."""
        return self.platform.number("/setter/change", {"number": number})

    def stop(self) -> None:
        """End them."""
        self.platform.stop()

    def _deploy(self, name: str, source: str) -> Path:
        return self.platform.deploy(name, source)


def run(options: Options) -> list[Result]:
    """Change one number again and again, one change at a time. Clocks of processes on one machine agree here."""
    followed = Followed(options)
    with running(followed):
        times = [followed.change(number) for number in range(1, options.pairs * _PER_ROUND + 1)]
    row = Result("config.set → on_config in another process, p50", unit="ms", budget=Budget(must=20, aim=5))
    return [spread(row, times)]
