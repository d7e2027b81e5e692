"""NATS JetStream: nats-server with a file store on loopback, and nats-py at both ends."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from benchmarks.peers import PIP, require_module, require_program, streaming, worker
from benchmarks.peers.nats_rpc import server_url
from benchmarks.peers.streaming import StreamingPeer

_PREFIX = "bench."


class JetStream(StreamingPeer):
    """A NATS server, a publisher and a handler, a process each.

    Args:
        python: the interpreter of both programs.
        sync: whether the server has each event on disk before it acknowledges it; its default is a sync in two minutes.
    """

    def __init__(self, python: str, *, sync: bool) -> None:
        super().__init__()
        self.name = "JetStream, sync always" if sync else "JetStream, its default"
        self._python = python
        self._sync = sync

    def start(self) -> None:
        """Start server, publisher and handler. Raises `PeerMissingError` without nats-py or nats-server."""
        require_module("nats")
        binary = require_program("nats-server", PIP)
        folder = self.make_folder()
        sync = "sync_interval: always" if self._sync else ""
        config = folder / "nats.conf"
        config.write_text(f'jetstream {{ store_dir: "{folder / "store"}"\n {sync} }}\n')
        self.serve([binary, "-c", str(config), "-a", "127.0.0.1", "-p", "-1", "--ports_file_dir", str(folder)])
        url = server_url(folder)
        program = [self._python, "-m", "benchmarks.peers.jetstream"]
        self.launch([*program, "publish", url])
        self.caller = self.programs[-1]
        self.launch([*program, "handle", url])
        self.handler = self.programs[-1]


async def publish(url: str) -> None:
    """Publish to a stream on disk."""
    nats: Any = importlib.import_module("nats")
    connection = await nats.connect(url)
    jetstream = connection.jetstream()
    await jetstream.add_stream(name="bench", subjects=[_PREFIX + "*"])
    await streaming.publish_as_asked(lambda topic, payload: jetstream.publish(_PREFIX + topic, payload))
    await connection.close()


async def handle(url: str) -> None:
    """Handle what is pushed, with an acknowledgement each; what is drained is fetched by a hundred."""
    nats: Any = importlib.import_module("nats")
    connection = await nats.connect(url)
    jetstream = connection.jetstream()
    policy = importlib.import_module("nats.js.api").DeliverPolicy.NEW
    arrivals = streaming.Arrivals()

    async def on_message(message: Any) -> None:
        arrivals.note(message.data)
        await message.ack()

    await jetstream.subscribe(
        _PREFIX + streaming.TIMED, durable="push", cb=on_message, manual_ack=True, deliver_policy=policy
    )
    pull = await jetstream.pull_subscribe(_PREFIX + streaming.BULK, durable="pull")

    async def drain(count: int) -> None:
        while count > 0:
            for message in await pull.fetch(100, timeout=10):
                streaming.decode(message.data)
                await message.ack()
                count -= 1
        await connection.flush()

    await streaming.handle_as_asked(arrivals, drain)
    await connection.close()


if __name__ == "__main__":
    worker.run(publish(sys.argv[2]) if sys.argv[1] == "publish" else handle(sys.argv[2]))
