"""What the tests of the network share: a platform in their own process, and nodes to route to."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from microlite.core.clock import ManualClock
from microlite.core.network.router import Router
from microlite.testing.asyncio_plugin import platform
from tests.network.network_parts import Node

__all__ = ["platform"]


@pytest.fixture
async def router() -> Router:
    return Router(ManualClock())


@pytest.fixture
async def make_node() -> AsyncIterator[Callable[..., Node]]:
    """Makes nodes, and closes them."""
    folder = Path(tempfile.mkdtemp(prefix="ml-"))
    made: list[Node] = []

    def make(name: str = "node", *, generation: int = 0) -> Node:
        made.append(Node(folder, name, generation=generation))
        return made[-1]

    yield make
    for node in made:
        await node.listener.close()
        connection = getattr(node, "connection", None)
        if connection is not None:
            connection.close()
            await connection.closed
    shutil.rmtree(folder)
