"""NATS request/reply: nats-server with its defaults on loopback, and nats-py at both ends."""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.peers import PIP, require_module, require_program, worker
from benchmarks.peers.caller import ServedPeer
from benchmarks.processes import ProgramFailedError

_SUBJECT = "echo.echo"


class NatsRequestReply(ServedPeer):
    """A NATS server, a responder and a caller, a process each."""

    name = "NATS request/reply"

    def __init__(self, python: str) -> None:
        super().__init__()
        self._python = python

    def start(self) -> None:
        """Start server, responder and caller. Raises `PeerMissingError` without nats-py or nats-server."""
        require_module("nats")
        binary = require_program("nats-server", PIP)
        folder = self.make_folder()
        self.serve([binary, "-a", "127.0.0.1", "-p", "-1", "--ports_file_dir", str(folder)])
        url = server_url(folder)
        program = [self._python, "-m", "benchmarks.peers.nats_rpc"]
        self.launch([*program, "serve", url])
        self.launch([*program, "call", url])
        self.caller = self.programs[-1]


def server_url(folder: Path) -> str:
    """Wait for the file in which a NATS server writes the port that it took.

    Raises:
        ProgramFailedError: it writes none.
    """
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for path in folder.glob("*.ports"):
            try:
                urls: list[str] = json.loads(path.read_text())["nats"]
            except ValueError:
                continue  # half written
            return urls[0]
        time.sleep(0.01)
    raise ProgramFailedError("nats-server wrote no ports file within 10 s")


async def serve(url: str) -> None:
    """Answer the echo subject until stdin closes."""
    nats: Any = importlib.import_module("nats")
    connection = await nats.connect(url)

    async def echo(message: Any) -> None:
        await message.respond(worker.encode(worker.Echo(worker.decode(message.data).message)))

    await connection.subscribe(_SUBJECT, cb=echo)
    await connection.flush()
    worker.say(ready=True)
    await worker.until_closed()
    await connection.close()


async def call(url: str) -> None:
    """Make requests as stdin asks."""
    nats: Any = importlib.import_module("nats")
    connection = await nats.connect(url)

    async def once() -> object:
        answer = await connection.request(_SUBJECT, worker.encode(worker.Echo("x")), timeout=10)
        return worker.decode(answer.data)

    await once()
    worker.say(ready=True)
    await worker.answer(once)
    await connection.close()


if __name__ == "__main__":
    worker.run(serve(sys.argv[2]) if sys.argv[1] == "serve" else call(sys.argv[2]))
