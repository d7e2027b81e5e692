"""Real processes that are reloaded while messages come: each message is handled once."""

from __future__ import annotations

import asyncio
from collections import Counter

from tests.runtime_e2e.runtime_bench import Bench

SOURCE = """
from pathlib import Path

from microlite import Service

service = Service("listener")


@service.subscribe("numbers", queue="q")
async def on_number(number: int) -> None:
    with Path({path!r}).open("a") as file:
        file.write(f"{{number}} {version}\\n")


if __name__ == "__main__":
    service.run()
"""


async def test_each_message_is_handled_once_while_code_is_saved(bench: Bench) -> None:
    heard = bench.folder / "heard"
    heard.touch()

    def write(version: int) -> None:
        bench.write("listener/main.py", SOURCE.format(path=str(heard), version=version))

    write(0)
    over = asyncio.Event()

    async def publish() -> int:
        number = 0
        while not over.is_set():
            answer = await bench.call("broker.publish", topic="numbers", value=number)
            assert answer["subscribers"] == 1, number
            number += 1
            await asyncio.sleep(0.001)
        return number

    def lines() -> list[list[str]]:
        return [line.split() for line in heard.read_text().splitlines()]

    async with bench.session("listener") as session:
        await session.running("listener")
        while not any(one["active"] for one in await bench.call("broker.subscriptions")):
            await asyncio.sleep(0.01)
        publishing = asyncio.ensure_future(publish())
        for version in range(1, 4):
            write(version)
            while not (lines() and lines()[-1][1] == str(version)):
                assert not publishing.done() or publishing.result()
                await asyncio.sleep(0.01)
        over.set()
        published = await publishing
        while len(lines()) < published:
            await asyncio.sleep(0.01)
        assert Counter(int(number) for number, _ in lines()) == Counter(range(published))
