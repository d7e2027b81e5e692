"""New code comes under constant load: no unary call is lost, none runs twice, streams end as they should."""

from __future__ import annotations

import asyncio
import collections
import itertools
import os
import signal
import textwrap
from collections.abc import Awaitable, Callable

import aiohttp
import pytest

from microlite import errors
from microlite.core.library.caller import Caller
from microlite.core.library.peers import RefuseCalls
from microlite.core.rpc.call import Call
from microlite.core.rpc.connection import Connection
from microlite.core.rpc.paths import platform_socket
from microlite.core.rpc.sockets import dial
from microlite.core.runtime.api import Topic
from microlite.core.runtime.states import State
from tests.runtime_e2e.runtime_bench import Bench, Session

WORKER = """
    # version {number}
    import asyncio
    import os
    from collections.abc import AsyncIterator

    from microlite import Service

    service = Service("worker", version="{number}")
    done = os.open("done", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    @service.endpoint
    async def work(id: int, seconds: float = 0.0) -> int:
        os.write(done, b"%d\\n" % id)
        await asyncio.sleep(seconds)
        return id

    @service.endpoint
    async def ticks(count: int, pause: float) -> AsyncIterator[int]:
        for number in range(count):
            yield number
            await asyncio.sleep(pause)

    if __name__ == "__main__":
        service.run()
"""


class Load:
    """Callers that never pause, and a tally of what became of each call."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._ids = itertools.count(1)
        self.answered: list[int] = []
        self.lost: list[str] = []
        self.whole_streams = 0
        self.cut_streams: list[str] = []
        self.stopping = False

    async def unary(
        self, call: Callable[[int, float], Awaitable[int]], seconds: float = 0.0, pause: float = 0.0
    ) -> None:
        while not self.stopping:
            await self.one(call, seconds)
            await asyncio.sleep(pause)

    async def one(self, call: Callable[[int, float], Awaitable[int]], seconds: float) -> None:
        number = next(self._ids)
        try:
            answer = await call(number, seconds)
        except Exception as error:
            self.lost.append(f"{number}: {error!r}")
        else:
            assert answer == number
            self.answered.append(number)

    async def streams(self, caller: Caller) -> None:
        while not self.stopping:
            expected = 0
            try:
                async for number in caller.stream("worker.ticks", count=40, pause=0.01):
                    assert number == expected
                    expected += 1
            except errors.ServiceUnavailable as error:
                self.cut_streams.append(error.detail)
            else:
                assert expected == 40
                self.whole_streams += 1


async def _under_load(
    bench: Bench, disturb: Callable[[Session], Awaitable[None]], *, very_long: float, instances: int = 1
) -> Load:
    """Keep callers of all kinds busy while something happens to their service."""
    bench.write("worker/main.py", WORKER.format(number=0))
    load = Load(bench)
    connection = await dial(str(platform_socket(bench.home)), RefuseCalls(), role="client")
    through_platform = Caller(_Over(connection))
    url = f"{bench.platform.gateway.url}/worker/work"

    async def direct(number: int, seconds: float) -> int:
        return int(await bench.call("worker.work", id=number, seconds=seconds))

    async def relayed(number: int, seconds: float) -> int:
        return int(await through_platform.call("worker.work", id=number, seconds=seconds))

    async with aiohttp.ClientSession() as http, bench.session("worker", instances=instances) as session:

        async def over_http(number: int, seconds: float) -> int:
            async with http.post(url, json={"id": number, "seconds": seconds}) as response:
                assert response.status == 200, await response.text()
                return int(await response.json())

        await session.running()
        async with asyncio.TaskGroup() as group:
            for call in (direct, relayed, over_http):
                for _ in range(2):
                    group.create_task(load.unary(call, pause=0.001))
                group.create_task(load.unary(call, seconds=0.15, pause=0.01))
                group.create_task(load.one(call, very_long))
            group.create_task(load.streams(bench.caller))
            group.create_task(load.streams(through_platform))
            await disturb(session)
            load.stopping = True
        assert await bench.caller.call("worker.work", id=0) == 0
    connection.close()
    await connection.closed
    return load


async def _reload_under_load(bench: Bench, reloads: int, *, very_long: float) -> Load:
    async def save(session: Session) -> None:
        for number in range(1, reloads + 1):
            bench.write("worker/main.py", WORKER.format(number=number))
            await session.topic(Topic.RELOAD)
        assert [seen.text for seen in session.seen if seen.topic is Topic.FAILED] == []

    return await _under_load(bench, save, very_long=very_long)


class _Over:
    """A transport that sends everything over one connection to the platform."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.loop = asyncio.get_running_loop()

    def send(self, call: Call) -> None:
        self._connection.start(call)


def _judge(bench: Bench, load: Load) -> None:
    done = collections.Counter(map(int, (bench.folder / "worker" / "done").read_text().split()))
    assert load.lost == []
    assert all("call again" in said for said in load.cut_streams)
    assert [number for number, times in done.items() if times > 1] == []
    assert sorted(load.answered) == sorted(number for number in done if number)
    print(f"\n{len(load.answered)} calls, {load.whole_streams} streams whole, {len(load.cut_streams)} cut")


async def test_reloads_under_load_lose_no_call(bench: Bench) -> None:
    load = await _reload_under_load(bench, 8, very_long=1.0)
    _judge(bench, load)
    assert len(load.answered) > 100
    assert load.whole_streams + len(load.cut_streams) > 4


@pytest.mark.slow
async def test_a_hundred_reloads_under_load_lose_no_call(bench: Bench) -> None:
    load = await _reload_under_load(bench, 100, very_long=5.0)
    _judge(bench, load)
    assert load.whole_streams + len(load.cut_streams) > 50


@pytest.mark.parametrize("instances", [1, 2])
async def test_nodes_that_are_terminated_from_outside_lose_no_call(bench: Bench, instances: int) -> None:
    """They say which calls they have begun; the others go to the next node, or wait until there is one."""

    async def terminate(session: Session) -> None:
        for _ in range(3):
            serving = [node for node in (await bench.status("worker")).nodes if node.state is State.RUNNING]
            assert serving[0].pid
            os.kill(serving[0].pid, signal.SIGTERM)
            failed = await session.topic(Topic.FAILED)
            assert failed.text.startswith("exited with code 0")
            while sum(node.state is State.RUNNING for node in (await bench.status("worker")).nodes) < instances:
                await asyncio.sleep(0.01)

    load = await _under_load(bench, terminate, very_long=0.2, instances=instances)
    _judge(bench, load)
    assert len(load.answered) > 20


async def test_a_stream_ends_at_once_when_its_service_is_killed(bench: Bench) -> None:
    """There is nobody to go on for it; a unary call has its time."""
    bench.write("worker/main.py", WORKER.format(number=0))
    await bench.run("worker")
    call = asyncio.create_task(bench.call("worker.work", id=1, seconds=0.5))
    stream = bench.caller.stream("worker.ticks", count=1000, pause=0.02)
    assert await anext(stream) == 0
    async with asyncio.timeout(20):
        assert await bench.call("runtime.kill", services=["worker"]) == ["worker"]
    assert await call == 1
    with pytest.raises(errors.ServiceUnavailable, match="call again"):
        async for _ in stream:
            pass
    with pytest.raises(errors.ServiceNotFound):
        await bench.call("worker.work", id=2)


async def test_at_most_two_generations_drain_and_the_third_change_waits(bench: Bench) -> None:
    main = bench.write("worker/main.py", WORKER.format(number=0))
    async with bench.session("worker") as session:
        await session.running()
        calls = []
        for number in range(1, 4):
            calls.append(asyncio.create_task(bench.call("worker.work", id=number, seconds=0.8)))
            await bench.call("worker.work", id=10 + number)  # it was sent after the long one
            main.write_text(textwrap.dedent(WORKER.format(number=number)))
            await session.topic(Topic.RELOAD)
            status = await bench.status("worker")
            assert len({node.generation for node in status.nodes}) <= 3
        assert calls[0].done()
        assert await asyncio.gather(*calls) == [1, 2, 3]
