"""A program that speaks HTTP by itself: the port it gets, whether it answers there, and what the platform says for it."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from typing import TYPE_CHECKING, Final

from microlite.core.description.structs import ServiceDescription
from microlite.core.registry.api import Node, Protocol, Registration

if TYPE_CHECKING:
    from microlite.core.runtime.api import Desired

HOST: Final = "127.0.0.1"
"""Where programs listen: the gateway alone faces the network."""

PROBE: Final = 0.02
"""Seconds between two tries to connect to a program that has not opened its port yet."""

_ANSWER: Final = 5.0
"""Seconds that its health path may take."""

_WELL: Final = re.compile(rb"HTTP/1\.[01] [23]\d\d ")


def free_port() -> int:
    """A port that nobody listens on now. Somebody else may take it before the program does; then that fails, once."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


async def is_well(port: int, health: str) -> bool:
    """Whether something accepts connections on the port and, if there is a path to ask, answers it with 2xx or 3xx."""
    try:
        reader, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    try:
        if not health:
            return True
        writer.write(f"GET {health} HTTP/1.1\r\nHost: {HOST}:{port}\r\nConnection: close\r\n\r\n".encode())
        async with asyncio.timeout(_ANSWER):
            return _WELL.match(await reader.readline()) is not None
    except (OSError, TimeoutError):
        return False
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def until_well(port: int, health: str) -> None:
    """Return when it answers. The caller sets the time limit."""
    while not await is_well(port, health):  # noqa: ASYNC110 - another program's port tells nobody
        await asyncio.sleep(PROBE)


def registration(desired: Desired, node: str, generation: int, port: int, pid: int, started: float) -> Registration:
    """What the platform says of such a node, since it does not register itself."""
    return Registration(
        namespace=desired.namespace,
        service=ServiceDescription(
            name=desired.name,
            version=desired.asked.version or "latest",
            doc=f"The program {desired.source.command[0]}.",
            metadata={**desired.asked.metadata, "protocol": "http"},
        ),
        node=Node(
            id=node,
            generation=generation,
            address=f"http://{HOST}:{port}",
            protocol=Protocol.HTTP,
            pid=pid,
            started=started,
        ),
    )


def holder_of(port: int) -> str:
    """The program that listens on a port, as `name (pid 123)`; empty where there is none or the system does not tell."""
    import psutil  # needed on this one unhappy path

    try:
        for connection in psutil.net_connections("tcp"):
            local = connection.laddr
            if connection.status == psutil.CONN_LISTEN and local and local.port == port and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except (psutil.Error, OSError):
        pass  # macOS tells it to root only
    return ""
