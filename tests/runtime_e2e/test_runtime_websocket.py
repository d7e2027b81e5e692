"""WebSockets through a real platform: to services in processes of their own, and to a program on uvicorn."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from microlite.core.library.node import STREAM_GRACE
from microlite.core.runtime.api import Topic
from microlite.core.runtime.node_run import STOP_GRACE
from tests.runtime_e2e.runtime_bench import Bench, bench_on

NUMBERS = """
    from collections.abc import AsyncIterator
    from microlite import Service, errors

    numbers = Service("numbers")

    @numbers.endpoint
    async def double(number: int) -> int:
        return 2 * number

    @numbers.endpoint
    async def add(items: AsyncIterator[int]) -> int:
        return sum([item async for item in items])

    @numbers.endpoint
    async def running_total(items: AsyncIterator[int], start: int = 0) -> AsyncIterator[int]:
        total = start
        async for item in items:
            if item < 0:
                raise errors.BadRequest("too small")
            total += item
            yield total

    if __name__ == "__main__":
        numbers.run()
"""

EVENTS = """
    NUMBER = {number}

    async def app(scope, receive, send):
        headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
        await send({{"type": "http.response.start", "status": 200, "headers": headers}})
        await send({{"type": "http.response.body", "body": b"data: %d\\n\\n" % NUMBER, "more_body": True}})
        while (await receive())["type"] != "http.disconnect":
            pass
"""
"""A stream of events that lasts until one side ends it."""

PROGRAM = """
    NUMBER = {number}

    async def app(scope, receive, send):
        if scope["type"] != "websocket":
            await send({{"type": "http.response.start", "status": 200, "headers": []}})
            await send({{"type": "http.response.body", "body": b"%d" % NUMBER}})
            return
        await receive()
        await send({{"type": "websocket.accept"}})
        while (message := await receive())["type"] == "websocket.receive":
            await send({{"type": "websocket.send", "text": f"{{NUMBER}}:{{message['text']}}"}})
"""

COMMAND = f"{sys.executable} -m uvicorn --log-level warning --port $PORT program:app"


def opening(bench: Bench, path: str, host: str = "localhost") -> connect:
    port = bench.platform.gateway.port
    return connect(f"ws://{host}:{port}{path}", host="127.0.0.1", port=port, proxy=None)


async def test_a_service_is_called_over_websocket(bench: Bench) -> None:
    """Unary, streams in each direction, errors: what its functions say arrives as messages."""
    bench.write("numbers/main.py", NUMBERS)
    await bench.run("numbers")
    async with opening(bench, "/numbers/double?number=4") as socket:
        await socket.send("{}")
        assert [message async for message in socket] == ["8"]
    async with opening(bench, "/numbers/add") as socket:
        for message in ("{}", "1", "2", "3", ""):
            await socket.send(message)
        assert [message async for message in socket] == ["6"]
    async with opening(bench, "/numbers/running-total") as socket:
        await socket.send('{"start": 10}')
        for item, total in (("1", "11"), ("2", "13")):
            await socket.send(item)
            assert await socket.recv() == total
        await socket.send("-1")
        assert '"detail":"too small"' in str(await socket.recv())
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        assert (socket.close_code, socket.close_reason) == (4400, "too small")
    async with opening(bench, "/numbers/double") as socket:
        await socket.send('{"number": "four"}')
        assert "number: expected int, got str" in str(await socket.recv())


async def test_a_stream_ends_when_its_service_is_replaced(bench: Bench) -> None:
    """With the code that says to connect again; a new one is served by the new code."""
    main = bench.write("numbers/main.py", NUMBERS)
    async with bench.session("numbers") as session:
        await session.running()
        async with opening(bench, "/numbers/running-total") as socket:
            await socket.send("{}")
            await socket.send("1")
            assert await socket.recv() == "1"
            main.write_text(main.read_text().replace("2 * number", "3 * number"))
            await session.topic(Topic.RELOAD)
            with contextlib.suppress(ConnectionClosed):
                async for message in socket:
                    assert '"code":503' in str(message)
            assert socket.close_code == 1012
        async with opening(bench, "/numbers/double?number=4") as socket:
            await socket.send("")
            assert await socket.recv() == "12"


@pytest.mark.parametrize(("host", "path"), [("site.localhost", "/ws"), ("localhost", "/site/ws")])
async def test_a_programs_websocket_outlives_its_reload(host: str, path: str, bench: Bench) -> None:
    """It goes on with the code that it began with, while new ones go to the new code."""
    program = bench.write("site/program.py", PROGRAM.format(number=1))
    async with bench.session("site", command=COMMAND) as session:
        await session.running()
        async with opening(bench, path, host) as old:
            await old.send("a")
            assert await old.recv() == "1:a"
            # Of another length, or Python takes the bytecode of the old code where both are of one second.
            program.write_text(program.read_text().replace("NUMBER = 1", "NUMBER = 1 + 1"))
            await session.topic(Topic.RELOAD)
            async with opening(bench, path, host) as new:
                await new.send("b")
                assert await new.recv() == "2:b"
            await old.send("c")
            assert await old.recv() == "1:c"


async def test_a_stopping_platform_lets_programs_say_good_bye(tmp_path: Path) -> None:
    """Through WebSockets that are open, which do not hold the end up as requests do."""
    loop = asyncio.get_running_loop()
    async with bench_on(tmp_path / "home", tmp_path / "services") as bench:
        bench.write("site/program.py", PROGRAM.format(number=1))
        await bench.run("site", command=COMMAND)
        socket = await opening(bench, "/ws", "site.localhost")
        await socket.send("a")
        assert await socket.recv() == "1:a"
        begun = loop.time()
    assert loop.time() - begun < STOP_GRACE
    with pytest.raises(ConnectionClosed):
        await socket.recv()
    assert socket.close_code == 1012


async def test_an_endless_answer_of_a_program_holds_its_end_up_no_longer_than_a_stream(bench: Bench) -> None:
    """A third change waits for the oldest code: its streams end then, and requests would be waited for."""
    bench.write("site/program.py", EVENTS.format(number=1))
    async with bench.session("site", command=COMMAND) as session, AsyncExitStack() as stack:
        await session.running()
        for number in range(1, 5):
            writer = await events(bench, number)
            stack.callback(writer.close)
            bench.write("site/program.py", EVENTS.format(number=number + 1) + "\n" * number)
            began = asyncio.get_running_loop().time()
            await session.topic(Topic.RELOAD)
            assert asyncio.get_running_loop().time() - began < STREAM_GRACE


async def events(bench: Bench, number: int) -> asyncio.StreamWriter:
    """Begin to read the stream, up to its first event."""
    reader, writer = await asyncio.open_connection("127.0.0.1", bench.platform.gateway.port)
    writer.write(b"GET /site/events HTTP/1.1\r\nhost: localhost\r\n\r\n")
    await reader.readuntil(b"data: %d\n\n" % number)
    return writer
