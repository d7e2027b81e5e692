"""The contract of the built-in service `network`."""

from __future__ import annotations

import msgspec

from microlite.core.registry.api import Protocol


class RouteNode(msgspec.Struct, frozen=True, kw_only=True):
    """One way to a service.

    Attributes:
        address: of the node's own socket, or the base URL of an HTTP program.
        load: calls that wait for its answer.
        latency: moving average of a call's time there, in seconds.
        ejected: left out for a while, since calls there failed repeatedly.
        idempotent: its endpoints that may be called again when it is not known whether a first call ran.
    """

    node: str
    generation: int = 0
    version: str = "latest"
    address: str = ""
    protocol: Protocol = Protocol.RPC
    load: int = 0
    latency: float = 0.0
    ejected: bool = False
    idempotent: tuple[str, ...] = ()


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """A service and the nodes that take its calls now; none where it is gone."""

    namespace: str
    service: str
    nodes: tuple[RouteNode, ...] = ()
