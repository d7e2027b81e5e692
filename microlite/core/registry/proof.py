"""Whether a node is the one that it says it is: what the platform knows of its connection decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microlite.core import errors
from microlite.core.registry.api import Protocol

if TYPE_CHECKING:
    from microlite.core.registry.api import Registration
    from microlite.core.rpc.connection import Connection


def check_proven(registration: Registration, connection: Connection) -> None:
    """Let a node register as what its connection was proven to be.

    Raises:
        Forbidden: it is another service's, namespace's, node's or generation's connection, or no node's; or a node of
            another machine names an address, at which others of this machine would look for it.
    """
    if not connection.node:
        raise errors.Forbidden("only a node registers itself: one that has said so when it connected")
    node = registration.node
    claims = (
        ("the service", registration.service.name, connection.service),
        ("the namespace", registration.namespace, connection.namespace),
        ("the node", node.id, connection.node),
        ("generation", node.generation, connection.generation),
    )
    for what, said, known in claims:
        if said != known:
            raise errors.Forbidden(f"this connection is that of {what} {known!r}, and cannot register {said!r}")
    if node.protocol is not Protocol.RPC:
        raise errors.Forbidden("a node that registers itself is reached over the wire; programs are for the runtime")
    if node.address and any(mark.startswith("join:") for mark in connection.marks):
        raise errors.Forbidden("a node of another machine is reached through the platform, and names no address")
