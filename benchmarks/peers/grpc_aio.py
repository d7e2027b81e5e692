"""gRPC for Python, its asyncio API: one channel over loopback TCP, unary calls of raw bytes."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from benchmarks.peers import require_module, worker
from benchmarks.peers.caller import CallingPeer

_METHOD = "/echo.Echo/Echo"


class GrpcAio(CallingPeer):
    """A grpc.aio server and a grpc.aio client, a process each."""

    name = "grpc.aio"

    def __init__(self, python: str) -> None:
        super().__init__()
        self._python = python

    def start(self) -> None:
        """Start the server on any port, then the client. Raises `PeerMissingError` without grpcio."""
        require_module("grpc")
        program = [self._python, "-m", "benchmarks.peers.grpc_aio"]
        address = self.launch([*program, "serve"])["address"]
        self.launch([*program, "call", str(address)])
        self.caller = self.programs[-1]


async def serve() -> None:
    """Answer the echo method until stdin closes."""
    grpc: Any = importlib.import_module("grpc")
    aio: Any = importlib.import_module("grpc.aio")

    async def echo(request: worker.Echo, context: object) -> worker.Echo:
        return worker.Echo(request.message)

    method = grpc.unary_unary_rpc_method_handler(echo, worker.decode, worker.encode)
    server = aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("echo.Echo", {"Echo": method}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    worker.say(address=f"127.0.0.1:{port}")
    await worker.until_closed()
    await server.stop(0)


async def call(address: str) -> None:
    """Call the echo method as stdin asks."""
    aio: Any = importlib.import_module("grpc.aio")
    async with aio.insecure_channel(address) as channel:
        echo = channel.unary_unary(_METHOD, request_serializer=worker.encode, response_deserializer=worker.decode)

        async def once() -> object:
            answer: object = await echo(worker.Echo("x"))
            return answer

        await once()
        worker.say(ready=True)
        await worker.answer(once)


if __name__ == "__main__":
    worker.run(serve() if sys.argv[1] == "serve" else call(sys.argv[2]))
