"""Redis streams: redis-server with its log synced before each answer, on a Unix socket, and redis-py at both ends."""

from __future__ import annotations

import importlib
import sys
import time
from typing import Any

from benchmarks.peers import require_module, require_program, streaming, worker
from benchmarks.peers.streaming import BULK, TIMED, StreamingPeer
from benchmarks.processes import ProgramFailedError


class RedisStream(StreamingPeer):
    """A Redis server, a publisher and a handler, a process each."""

    name = "Redis stream, appendfsync always"

    def __init__(self, python: str) -> None:
        super().__init__()
        self._python = python

    def start(self) -> None:
        """Start server, publisher and handler. Raises `PeerMissingError` without redis-py or redis-server."""
        require_module("redis")
        binary = require_program("redis-server", "apt-get install redis-server")
        folder = self.make_folder()
        path = folder / "redis.sock"
        self.serve(
            [
                binary,
                *("--port", "0", "--unixsocket", str(path), "--dir", str(folder)),
                *("--save", "", "--appendonly", "yes", "--appendfsync", "always"),
            ]
        )
        deadline = time.monotonic() + 10
        while not path.exists():
            if time.monotonic() > deadline:
                raise ProgramFailedError("redis-server made no socket within 10 s")
            time.sleep(0.01)
        program = [self._python, "-m", "benchmarks.peers.redis_stream"]
        self.launch([*program, "publish", str(path)])
        self.caller = self.programs[-1]
        self.launch([*program, "handle", str(path)])
        self.handler = self.programs[-1]


def _client(path: str) -> Any:
    return importlib.import_module("redis.asyncio").Redis(unix_socket_path=path)


async def publish(path: str) -> None:
    """Publish to a stream; each of the publishers has a connection of its own, as the library has it."""
    client = _client(path)
    await streaming.publish_as_asked(lambda topic, payload: client.xadd(topic, {"data": payload}))
    await client.aclose()


async def handle(path: str) -> None:
    """Handle what comes, with an acknowledgement each; what is drained is read and acknowledged by a hundred."""
    import asyncio

    client = _client(path)
    arrivals = streaming.Arrivals()
    await client.xgroup_create(TIMED, "push", id="$", mkstream=True)
    await client.xgroup_create(BULK, "pull", id="0", mkstream=True)

    async def follow() -> None:
        while True:
            for _, entries in await client.xreadgroup("push", "one", {TIMED: ">"}, count=1, block=1000):
                for number, fields in entries:
                    arrivals.note(fields[b"data"])
                    await client.xack(TIMED, "push", number)

    async def drain(count: int) -> None:
        while count > 0:
            for _, entries in await client.xreadgroup("pull", "one", {BULK: ">"}, count=100, block=1000):
                for _, fields in entries:
                    streaming.decode(fields[b"data"])
                await client.xack(BULK, "pull", *(number for number, _ in entries))
                count -= len(entries)

    following = asyncio.create_task(follow(), name="follow")
    await streaming.handle_as_asked(arrivals, drain)
    following.cancel()
    await client.aclose()


if __name__ == "__main__":
    worker.run(publish(sys.argv[2]) if sys.argv[1] == "publish" else handle(sys.argv[2]))
