"""Platform and consumers are killed at once, again and again: nothing published is lost, nothing acknowledged comes back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from pathlib import Path

import pytest

from microlite import connect, errors
from tests.runtime_e2e.test_runtime_survival import remote, server

CONSUMER = """
    import os

    from microlite import Context, Service

    service = Service("worker")

    @service.consume("jobs", group="push", retries=-1, backoff=0.05, max_backoff=0.1)
    async def work(ctx: Context, number: int) -> None:
        with open("done", "a") as done:
            done.write(f"{ctx.metadata['event-key']} {ctx.metadata['event-position']} {number}\\n")

    @service.endpoint
    async def pid() -> int:
        return os.getpid()

    if __name__ == "__main__":
        service.run()
"""

LOST = (errors.ServiceUnavailable, errors.Conflict, errors.Timeout, errors.Canceled)
"""What a call may end with whose platform was killed."""


class Load:
    """Publishes, pulls and acknowledges until it is stopped, whatever happens to the platform."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.published: set[int] = set()
        self.delivered: set[int] = set()
        self.acked: set[int] = set()
        self.again: list[int] = []
        self.stopping = False
        self._numbers = iter(range(1_000_000))

    async def run(self) -> None:
        await asyncio.gather(*(self._keep(work) for work in (self._publish, self._publish, self._pull)))

    async def _keep(self, work: object) -> None:
        while not self.stopping:
            with contextlib.suppress(*LOST):
                async with connect(self.home) as caller:
                    while not self.stopping:
                        await work(caller)  # type: ignore[operator]
            await asyncio.sleep(0.01)  # the platform is away, and tells nobody when it is back

    async def _publish(self, caller: object) -> None:
        number = next(self._numbers)
        await caller.events.publish("jobs", number, key=f"k{number % 7}")  # type: ignore[attr-defined]
        self.published.add(number)

    async def _pull(self, caller: object) -> None:
        for delivery in await caller.events.pull("jobs", "pull", int, max=20, wait=0.2):  # type: ignore[attr-defined]
            if delivery.payload in self.acked:
                self.again.append(delivery.payload)
            self.delivered.add(delivery.payload)
            if random.random() < 0.9:
                await delivery.ack()
                self.acked.add(delivery.payload)
            else:
                await delivery.nack("not now", delay=0.0)


def lines(done: Path) -> list[list[str]]:
    """What the consumer wrote: key, position and number of each event that it handled."""
    return [line.split() for line in done.read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_nothing_is_lost_and_nothing_acknowledged_comes_back_over_kills(tmp_path: Path) -> None:
    home = tmp_path / "home"
    load = Load(home)
    loading: asyncio.Task[None] | None = None
    for round_ in range(5):
        async with server(home) as platform:
            async with remote(tmp_path) as bench:
                if round_ == 0:
                    await bench.caller.events.set_group("jobs", "pull", retries=-1, ack_wait=2.0, backoff=0.0)
                    bench.write("worker/main.py", CONSUMER)
                    await bench.run("worker")
                    loading = asyncio.create_task(load.run())
                published = len(load.published)
                async with asyncio.timeout(20):
                    while len(load.published) < published + 100:
                        await asyncio.sleep(0.005)
                    with contextlib.suppress(*LOST):
                        os.kill(await bench.call("worker.pid"), signal.SIGKILL)
                    while len(load.published) < published + 200:
                        await asyncio.sleep(0.005)
            if round_ < 4:
                os.kill(platform.process.pid, signal.SIGKILL)
                await platform.process.wait()
                continue
            load.stopping = True
            assert loading is not None
            await loading
            load.stopping = False
            async with connect(home) as caller, asyncio.timeout(30):
                done = bench.folder / "worker" / "done"
                while not load.published <= {int(number) for _, _, number in lines(done)}:
                    await asyncio.sleep(0.05)
                while any(status.lag for status in await caller.events.groups("jobs")):
                    await load._pull(caller)
                assert load.published <= load.delivered
    order: dict[str, list[int]] = {}
    for key, position, _ in lines(done):
        order.setdefault(key, []).append(int(position))
    assert all(positions == sorted(positions) for positions in order.values()), "a key's order was broken"
    assert len(load.published) >= 900
    assert not load.again, "acknowledged, and delivered again"
