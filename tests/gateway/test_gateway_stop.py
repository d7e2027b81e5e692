"""Starting and stopping: a taken port says by whom, and a stop loses nothing that is under way."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

from microlite.web.gateway.ports import PortTaken, bind
from tests.gateway.gateway_bench import TOKEN, Bench, Start, Wire

POST = "POST /echo/hold HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


async def test_requests_under_way_finish(bench: Bench, wire: Wire) -> None:
    """Their answers say that the connection ends; idle connections end at once; new ones are refused."""
    idle = await bench.connect()
    await idle.request("POST", "/echo", b"{}")
    wire.send(POST)
    held = await bench.services.held.get()
    stop = asyncio.create_task(bench.gateway.stop(grace=5))
    assert await idle.closed()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", bench.gateway.port)
    assert not stop.done()
    held.inbound.reply(b'{"n":1}')
    answer = await wire.answer()
    assert (answer.json(), answer.headers["connection"]) == ({"n": 1}, "close")
    assert await wire.closed()
    await stop


async def test_pipelined_requests_under_way_finish(bench: Bench, wire: Wire) -> None:
    wire.send(POST + POST.replace("/hold", ""))
    held = await bench.services.held.get()
    stop = asyncio.create_task(bench.gateway.stop(grace=5))
    await asyncio.sleep(0)
    held.inbound.reply(b'{"n":1}')
    assert (await wire.answer()).json() == {"n": 1}
    assert (await wire.answer()).headers["connection"] == "close"
    assert await wire.closed()
    await stop


async def test_what_does_not_finish_is_cut_off(bench: Bench, wire: Wire) -> None:
    wire.send(POST)
    held = await bench.services.held.get()
    await bench.gateway.stop(grace=0.05)
    await held.canceled.wait()
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await wire.answer()


async def test_a_request_whose_body_is_still_coming_finishes(bench: Bench, wire: Wire) -> None:
    wire.send(POST[:-1])
    await bench.busy()
    stop = asyncio.create_task(bench.gateway.stop(grace=5))
    await asyncio.sleep(0)
    wire.send(POST[-1:])
    held = await bench.services.held.get()
    held.inbound.reply(b'{"n":1}')
    assert (await wire.answer()).json() == {"n": 1}
    await stop


async def test_streams_end_with_an_error_that_says_connect_again(bench: Bench, wire: Wire) -> None:
    wire.send("GET /echo/tick HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n")
    held = await bench.services.held.get()
    held.inbound.item(b"1")
    await wire.head()
    assert await wire.chunk() == b"data: 1\n\n"
    await bench.gateway.stop(grace=5)
    event = await wire.chunk()
    assert event.startswith(b'event: error\nretry: 1000\ndata: {"id":"gateway","code":503')
    assert await wire.chunk() == b""
    assert held.canceled.is_set()


async def test_stopping_twice_is_harmless(bench: Bench) -> None:
    await bench.gateway.stop()
    await bench.gateway.stop()


async def test_a_taken_port_is_named_with_its_holder() -> None:
    listener = bind("127.0.0.1", 0)
    port = listener.getsockname()[1]
    try:
        with pytest.raises(PortTaken) as caught:
            bind("127.0.0.1", port)
    finally:
        listener.close()
    assert f"port {port} on 127.0.0.1 is taken" in caught.value.detail
    if sys.platform == "linux":
        assert f"(pid {os.getpid()})" in caught.value.detail


async def test_a_host_that_is_not_ours() -> None:
    with pytest.raises(Exception, match="cannot be bound"):
        bind("192.0.2.1", 0)
    with pytest.raises(Exception, match="cannot be bound"):
        bind("no such host", 0)


async def test_the_port_is_free_again_at_once(start: Start) -> None:
    bench = await start()
    port = bench.gateway.port
    wire = await bench.connect()
    await wire.request("POST", "/echo", b"{}")
    await bench.gateway.stop()
    again = await start()
    await again.gateway.stop()
    bind("127.0.0.1", port, backlog=1).close()


async def test_pages_of_the_platform(start: Start) -> None:
    bench = await start(dashboard_url="http://localhost:8082")
    wire = await bench.connect()
    root = await wire.request("GET", "/")
    assert root.json()["name"] == "microlite"
    browser = await wire.request("GET", "/", headers={"Accept": "text/html,*/*"})
    assert (browser.status, browser.headers["location"]) == (307, "http://localhost:8082")
    assert (await wire.request("GET", "/healthz")).json() == {"status": "ok"}
    assert (await wire.request("GET", "/readyz")).json() == {"status": "ready"}
    assert (await wire.request("POST", "/healthz", b"{}")).status == 405
    assert (await wire.request("GET", "/openapi.json")).json()["openapi"].startswith("3.1")
    assert (await wire.request("GET", "/healthz", headers={"Host": "evil.example"})).status == 421
    bench.gateway.edge.ready = lambda: False
    assert (await wire.request("GET", "/readyz")).status == 503


async def test_an_allowed_host(start: Start) -> None:
    bench = await start(allowed_hosts=("api.example.org", "*.example.com"))
    wire = await bench.connect()
    assert (await wire.request("GET", "/healthz", headers={"Host": "API.example.org:80"})).status == 200
    assert (await wire.request("GET", "/healthz", headers={"Host": "a.b.example.com"})).status == 200
    assert (await wire.request("GET", "/healthz", headers={"Host": "example.com"})).status == 421
    assert (await wire.request("GET", "/healthz", headers={"Host": "evilexample.com"})).status == 421


async def test_another_namespace_is_for_admins(start: Start) -> None:
    bench = await start()
    wire = await bench.connect()
    headers = {"Micro-Namespace": "shop", "Authorization": f"Bearer {TOKEN}"}
    assert (await wire.request("POST", "/echo", b"{}", headers)).status == 404
    assert (await wire.request("POST", "/store/write", b"{}", headers)).status == 200
    assert bench.services.calls[-1].namespace == "shop"


def test_uvicorn_is_whole_for_whoever_asks() -> None:
    """The parts are imported without the package; the package completes itself on demand."""
    program = """
import sys
from microlite.web.gateway.embedded import prepare_uvicorn
prepare_uvicorn()
import microlite.web.gateway.app
import microlite.web.gateway.protocol
assert "websockets" not in sys.modules
assert "uvicorn.main" not in sys.modules and "aiohttp" not in sys.modules and "prometheus_client" not in sys.modules
import uvicorn
assert uvicorn.run and uvicorn.Config and uvicorn.__version__
assert "uvicorn.main" in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)


def test_the_pinned_uvicorn_is_the_one_that_is_subclassed() -> None:
    """What the protocol relies on beyond uvicorn's documentation; a new version has to be looked at first."""
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    from microlite.web.gateway.protocol import GatewayProtocol

    overridden = {
        *("connection_made", "connection_lost", "data_received", "on_message_begin", "on_url", "on_header"),
        *("on_headers_complete", "on_body", "on_message_complete", "_start_asgi_task", "on_response_complete"),
    }
    for name in overridden:
        assert getattr(GatewayProtocol, name) is not getattr(HttpToolsProtocol, name)
    inherited = {"shutdown", "pause_writing", "resume_writing", "eof_received"}
    for name in inherited:
        assert getattr(GatewayProtocol, name) is getattr(HttpToolsProtocol, name)
