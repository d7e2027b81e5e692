"""The least that answers HTTP in Python: a raw ASGI app on uvicorn with uvloop and httptools, no hop behind it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec
import uvicorn

from benchmarks.harness import Sample
from benchmarks.load import Post, measure
from benchmarks.peers import worker
from benchmarks.processes import Program

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(worker.Echo).decode

BODY = '{"message":"x"}'


class BareAsgi:
    """One uvicorn process with the bare app."""

    name = "bare ASGI on uvicorn"

    def __init__(self, python: str) -> None:
        self._python = python
        self._program = Program([python, "-m", "benchmarks.peers.bare_asgi"])
        self.port = 0
        self.pid = 0

    def start(self) -> None:
        """Start it on any port of loopback and see that it answers."""
        self._program.start()
        self.port = int(self._program.read()["port"])
        self.pid = self._program.pid
        self.post.once()

    @property
    def post(self) -> Post:
        """The request that every HTTP side answers."""
        return Post(f"http://127.0.0.1:{self.port}/echo/echo", BODY)

    def measure(self, seconds: float) -> Sample:
        """Return requests per second at 32 connections."""
        return measure(self.post, [self.pid], seconds, self._python)

    def stop(self) -> None:
        """End it."""
        self._program.stop()


async def app(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
    """Decode the request's JSON, and answer with the same."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    answer = _encode(worker.Echo(_decode(body).message))
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


async def serve() -> None:
    """Serve the app until stdin closes."""
    config = uvicorn.Config(app, http="httptools", access_log=False, log_level="warning", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen(1024)
        worker.say(port=listener.getsockname()[1])
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.serve(sockets=[listener]), name="uvicorn")
            await worker.until_closed()
            server.should_exit = True


if __name__ == "__main__":
    worker.run(serve())
