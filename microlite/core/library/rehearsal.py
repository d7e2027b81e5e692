"""What a node does first, done beforehand in the fork server, so that its nodes share the memory it takes.

Importing this runs a node from its start to its end, against a platform that only says yes: whatever a node loads late,
compiles, or settles in the interpreter is there before the first fork: 0.3 MB of each, on Python 3.13.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from microlite.core import errors
from microlite.core.library.context import Context
from microlite.core.library.node import RunningNode
from microlite.core.library.placement import Placement
from microlite.core.library.service import Service
from microlite.core.registry.api import Registration
from microlite.core.rpc.call import UnaryCall
from microlite.core.rpc.sockets import Listener

if TYPE_CHECKING:
    from microlite.core.rpc.call import Inbound
    from microlite.core.rpc.connection import Connection

TIMES: Final = 20
"""Often enough for the interpreter to settle on its fast paths."""


class Greeting(msgspec.Struct):
    """What is said."""

    text: str


class Registered(msgspec.Struct):
    """The request of `registry.register`."""

    registration: Registration


class Platform:
    """The other end of the rehearsed node: takes its registration, calls it, and has it end."""

    def __init__(self) -> None:
        self.connected: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()
        self.registered = asyncio.Event()

    def accept(self, inbound: Inbound) -> None:
        """See `Acceptor`."""
        msgspec.msgpack.decode(inbound.payload, type=Registered)
        inbound.reply(b"\xc0")
        self.registered.set()

    async def conduct(self, listener: Listener) -> None:
        """Call the node as the platform does, then drain it."""
        await self.registered.wait()
        connection = await self.connected
        for number in range(TIMES):
            for encoding, payload in ((0, msgspec.msgpack.encode({"name": "x"})), (1, b'{"name":"x"}')):
                call = UnaryCall("sample", "greet", payload, encoding=encoding, metadata={"number": str(number)})
                await call.run(connection.start)
        await connection.ping()
        await connection.drain(1)
        await listener.close()


def declare() -> Service:
    """A service as users write them."""
    service = Service("sample")

    @service.endpoint
    async def greet(ctx: Context, name: str = "world", times: int = 1) -> Greeting:
        """Greet.

        Args:
            name: who is greeted.
            times: how often.
        """
        return Greeting(f"{ctx.endpoint} {name * times}")

    return service


async def rehearse(folder: Path) -> None:
    """Run a node to its end."""
    for _ in range(TIMES):
        declare().describe()
    placement = Placement.from_environment({"MICROLITE_HOME": str(folder), "MICROLITE_GENERATION": "1"})
    platform = Platform()
    listener = Listener(placement.platform_socket, platform, role="platform", on_hello=platform.connected.set_result)
    await listener.start()
    async with asyncio.TaskGroup() as group:
        group.create_task(platform.conduct(listener))
        group.create_task(RunningNode(declare(), placement).serve())


with (
    contextlib.suppress(OSError, errors.Error),  # no folder for temporary files, perhaps: then nodes are larger
    tempfile.TemporaryDirectory(prefix="microlite-") as _folder,
    contextlib.closing(asyncio.new_event_loop()) as _loop,  # not uvloop's, which leaves descriptors behind
):
    _loop.run_until_complete(rehearse(Path(_folder)))
