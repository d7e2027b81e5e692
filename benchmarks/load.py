"""Load over HTTP with keep-alive connections: by `wrk` where it is installed, else by a small client of our own.

The same generator serves both sides of a comparison. Our own client is a program (``python -m benchmarks.load``), so
its work never shares an interpreter with the harness; it also keeps a constant load going while something else is
measured, which `wrk` cannot.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import shutil
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import cast

import msgspec
import uvloop

from benchmarks.harness import Sample
from benchmarks.peers.worker import standard_input
from benchmarks.processes import Program, ProgramFailedError, cpu_seconds

CONNECTIONS = 32

_WRK_SCRIPT = """\
wrk.method = "POST"
wrk.body = [==[{body}]==]
{headers}
done = function(summary, latency, requests)
  local e = summary.errors
  io.stderr:write(string.format('{{"requests":%d,"seconds":%f,"errors":%d}}',
    summary.requests, summary.duration / 1e6, e.connect + e.read + e.write + e.status + e.timeout))
end
"""


class Post(msgspec.Struct, frozen=True):
    """A POST with a JSON body, repeated as it is.

    Attributes:
        url: Whole address.
        body: The document as sent.
        headers: In addition to ``Content-Type``.
    """

    url: str
    body: str
    headers: Mapping[str, str] = {}

    def once(self, seconds: float = 10.0) -> bytes:
        """Send it once and return the body of the answer.

        Raises:
            OSError: When there is no answer, or one that is not 2xx.
        """
        headers = {"Content-Type": "application/json", **self.headers}
        request = urllib.request.Request(self.url, self.body.encode(), headers, method="POST")
        with urllib.request.urlopen(request, timeout=seconds) as answer:
            body: bytes = answer.read()
        return body


class Load(msgspec.Struct, frozen=True):
    """What a generator did: requests answered, how long it took, and how many of them failed or were lost."""

    requests: int
    seconds: float
    errors: int


def measure(post: Post, pids: Sequence[int], seconds: float, python: str) -> Sample:
    """Keep 32 connections busy and return requests per second, with the processor time that ``pids`` used for each.

    Raises:
        ProgramFailedError: When any request failed: a rate with errors in it means nothing.
    """
    before = cpu_seconds(pids)
    load = generate(post, seconds, python)
    used = cpu_seconds(pids) - before
    if load.errors or not load.requests:
        raise ProgramFailedError(f"{load.errors} errors in {load.requests} requests to {post.url}")
    return Sample(load.requests / load.seconds, used / load.requests * 1e6)


def generate(post: Post, seconds: float, python: str) -> Load:
    """Put load on a URL for ``seconds``; `wrk` knows whole seconds only, so there it is rounded up."""
    wrk = shutil.which("wrk")
    if wrk is None:
        program = client(post, python, seconds=seconds)
        program.start()
        try:
            return msgspec.convert(program.read(seconds + 20), Load)
        finally:
            program.stop()
    headers = {"Content-Type": "application/json", **post.headers}
    lines = "\n".join(f"wrk.headers[{json.dumps(name)}] = [==[{value}]==]" for name, value in headers.items())
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "post.lua")
        script.write_text(_WRK_SCRIPT.format(body=post.body, headers=lines))
        command = [wrk, "-t1", f"-c{CONNECTIONS}", f"-d{math.ceil(seconds)}s", "-s", str(script), post.url]
        answer = subprocess.run(command, capture_output=True, check=False, timeout=seconds + 30)
    try:
        return msgspec.json.decode(answer.stderr, type=Load)
    except msgspec.DecodeError:
        raise ProgramFailedError(f"wrk: {(answer.stderr or answer.stdout).decode(errors='replace')}") from None


def client(post: Post, python: str, *, seconds: float, connections: int = CONNECTIONS, pause_ms: float = 0) -> Program:
    """Return our own client as a program, not started; it prints a `Load` after ``seconds`` or when stdin closes.

    Args:
        post: What to send.
        python: The interpreter to run it with.
        seconds: The longest that it runs.
        connections: How many, each with one request under way.
        pause_ms: Wait on each connection between an answer and the next request; 0 is as fast as can be.
    """
    arguments = {"seconds": seconds, "connections": connections, "pause_ms": pause_ms}
    return Program([python, "-m", "benchmarks.load", json.dumps({**msgspec.to_builtins(post), **arguments})])


class _Totals:
    def __init__(self) -> None:
        self.requests = 0
        self.errors = 0
        self.over = False


class _Connection(asyncio.Protocol):
    """One request under way at a time; answers must carry Content-Length."""

    def __init__(self, request: bytes, pause: float, totals: _Totals, reconnect: Callable[[], None]) -> None:
        self._request = request
        self._pause = pause
        self._totals = totals
        self._reconnect = reconnect
        self._buffer = b""
        self._waiting = False
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's is one without saying so
        self._send()

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        head = self._buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        lower = self._buffer[:head].lower()
        at = lower.find(b"\r\ncontent-length:")
        stop = lower.find(b"\r\n", at + 17)
        length = int(lower[at + 17 : stop if stop > 0 else head]) if at >= 0 else 0
        if len(self._buffer) < head + 4 + length:
            return
        good = self._buffer.startswith(b"HTTP/1.1 2")
        self._buffer = self._buffer[head + 4 + length :]
        self._waiting = False
        if self._totals.over:
            self._transport.close()
            return
        self._totals.requests += 1
        self._totals.errors += not good
        if self._pause:
            self._loop.call_later(self._pause, self._send)
        else:
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._totals.over:
            return
        self._totals.errors += self._waiting
        self._waiting = False
        self._reconnect()

    def _send(self) -> None:
        if not self._transport.is_closing():
            self._waiting = True
            self._transport.write(self._request)


async def _generate(post: Post, seconds: float, connections: int, pause_ms: float) -> Load:
    address = urllib.parse.urlsplit(post.url)
    host, port = address.hostname or "127.0.0.1", address.port or 80
    headers = {"Host": address.netloc, "Content-Type": "application/json", **post.headers}
    headers["Content-Length"] = str(len(post.body.encode()))
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    request = f"POST {address.path} HTTP/1.1\r\n{head}\r\n{post.body}".encode()
    totals = _Totals()
    loop = asyncio.get_running_loop()
    opening: set[asyncio.Task[None]] = set()

    def reconnect() -> None:
        task = loop.create_task(connect(), name="open a connection")
        opening.add(task)
        task.add_done_callback(opening.discard)

    async def connect() -> None:
        def make() -> _Connection:
            return _Connection(request, pause_ms / 1000, totals, reconnect)

        try:
            await loop.create_connection(make, host, port)
        except OSError:
            totals.errors += 1
            if not totals.over:
                loop.call_later(0.01, reconnect)

    began = time.perf_counter()
    for _ in range(connections):
        reconnect()
    questions = await standard_input()
    try:
        await asyncio.wait_for(questions.read(), seconds)
    except TimeoutError:
        pass  # the time is up before anybody closed our standard input
    totals.over = True
    took = time.perf_counter() - began
    for task in list(opening):
        task.cancel()
    return Load(totals.requests, took, totals.errors)


class _Work(msgspec.Struct, frozen=True):
    url: str
    body: str
    headers: dict[str, str]
    seconds: float
    connections: int
    pause_ms: float


def main() -> None:
    """Run our own client; its one argument is the work as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load")
    parser.add_argument("work", help="url, body, headers, seconds, connections and pause_ms as one JSON document")
    work = msgspec.json.decode(parser.parse_args().work, type=_Work)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        post = Post(work.url, work.body, work.headers)
        load = runner.run(_generate(post, work.seconds, work.connections, work.pause_ms))
    print(msgspec.json.encode(load).decode(), flush=True)


if __name__ == "__main__":
    main()
