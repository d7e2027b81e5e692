"""Saves while events are being handled by real processes: none is lost, none is handled twice."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from microlite.core.runtime.api import Topic
from tests.runtime_e2e.runtime_bench import bench_on

CONSUMER = """
    import asyncio

    from microlite import Context, Service

    service = Service("worker", version="VERSION")

    @service.consume("jobs", group="g", concurrency=8)
    async def work(ctx: Context, number: int) -> None:
        await asyncio.sleep(0.02)
        with open("done", "a") as done:
            done.write(f"{number} {service.version} {ctx.metadata['event-attempt']}\\n")

    if __name__ == "__main__":
        service.run()
"""


@pytest.mark.parametrize("reload", ["overlap", "exclusive"])
async def test_a_reload_loses_no_event_and_repeats_none(tmp_path: Path, reload: str) -> None:
    async with bench_on(tmp_path / "home", tmp_path / "services") as bench:
        bench.write("worker/pyproject.toml", f'[tool.microlite]\nreload = "{reload}"\n')
        bench.write("worker/main.py", CONSUMER.replace("VERSION", "0"))
        done = bench.folder / "worker" / "done"
        async with bench.session("worker") as session:
            await session.running()
            number = 0
            for version in range(1, 4):
                reloading = asyncio.create_task(session.topic(Topic.RELOAD))
                bench.write("worker/main.py", CONSUMER.replace("VERSION", str(version)))
                while not reloading.done():
                    await bench.caller.events.publish("jobs", number)
                    number += 1
            await bench.caller.events.publish("jobs", number)
            async with asyncio.timeout(20):
                while (await bench.caller.events.groups("jobs"))[0].lag:
                    await asyncio.sleep(0.01)
        lines = [line.split() for line in done.read_text().splitlines()]
        assert sorted(int(one) for one, _, _ in lines) == list(range(number + 1))
        assert {attempt for _, _, attempt in lines} == {"1"}
        assert len({version for _, version, _ in lines}) >= 2
