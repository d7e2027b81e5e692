"""`microlite run --debug`: an editor attaches, stops in a handler, and nobody ends the node for its silence."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from microlite.core.runtime.api import Topic
from microlite.core.runtime.states import State
from tests.debugging.dap import Editor
from tests.runtime_e2e.runtime_bench import QUICK, Bench, bench_on

SHOP = """
from microlite import Service

shop = Service("shop")

@shop.endpoint
async def price(article: str) -> str:
    return article + " costs {price}"

shop.run()
"""
LINE = 8


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench_on(tmp_path / "home", tmp_path / "services", QUICK) as bench:
        yield bench


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def write(bench: Bench, price: int) -> str:
    return str(bench.write("shop/main.py", SHOP.format(price=price)))


async def test_a_call_waits_at_a_breakpoint_for_as_long_as_it_takes(bench: Bench, port: int) -> None:
    """Longer than a node may be silent; then new code takes the same port, and is attached to anew."""
    file = write(bench, 3)
    async with bench.session("shop", debug=True, debug_port=port) as session:
        said = await session.line("debugger: attach to ")
        assert said.line is not None
        address = said.line.text.rpartition(" ")[2]
        await session.state(State.DEBUGGING)
        status = await bench.status("shop")
        assert [node.debugger for node in status.nodes] == [address]
        editor = await Editor.attach(address, file, LINE)
        call = asyncio.create_task(bench.caller.options(timeout=50).call("shop.price", article="tea"))
        thread = (await editor.event("stopped"))["threadId"]
        frame = (await editor.ask("stackTrace", threadId=thread))["stackFrames"][0]
        assert (frame["line"], frame["source"]["path"]) == (LINE, file)
        looked = await editor.ask("evaluate", expression="article", frameId=frame["id"], context="watch")
        assert looked["result"] == "'tea'"
        await asyncio.sleep(3 * (QUICK.silence + QUICK.check))  # what is waited for is that nothing happens
        assert not call.done()
        status = await bench.status("shop")
        assert (status.state, status.restarts, status.story) == (State.DEBUGGING, 0, ())

        write(bench, 4)
        await session.until(lambda seen: "calls wait" in seen.text)
        await editor.ask("continue", threadId=thread)
        assert await call == "tea costs 3"
        await editor.close()
        await session.topic(Topic.RELOAD)
        again = await Editor.attach(address, file, LINE)
        call = asyncio.create_task(bench.caller.options(timeout=50).call("shop.price", article="milk"))
        thread = (await again.event("stopped"))["threadId"]
        await again.ask("continue", threadId=thread)
        assert await call == "milk costs 4"
        await again.close()


async def test_with_debug_wait_nothing_runs_before_the_editor_is_there(bench: Bench, port: int) -> None:
    """Also longer than a node may take to come up."""
    file = write(bench, 3)
    async with bench.session("shop", debug=True, debug_wait=True, debug_port=port) as session:
        said = await session.line("nothing runs before that")
        assert said.line is not None
        address = said.line.text.split()[3]
        await asyncio.sleep(1.5 * QUICK.start)  # what is waited for is that nothing happens
        assert (await bench.status("shop")).state is State.STARTING
        editor = await Editor.attach(address, file, 4)
        thread = (await editor.event("stopped"))["threadId"]
        await editor.ask("continue", threadId=thread)
        await session.state(State.DEBUGGING)
        assert await bench.call("shop.price", article="tea") == "tea costs 3"
        await editor.close()


async def test_each_node_has_a_port_of_its_own(bench: Bench, port: int) -> None:
    write(bench, 3)
    async with bench.session("shop", debug=True, debug_port=port, instances=2) as session:
        await session.state(State.DEBUGGING)
        status = await bench.status("shop")
        assert len({node.debugger for node in status.nodes} - {""}) == 2
