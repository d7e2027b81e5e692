"""The contract of the built-in service `registry`."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING
from typing import Protocol as Contract

import msgspec

from microlite.core.context import DEFAULT_NAMESPACE
from microlite.core.description.structs import EndpointDescription, Publishes, ServiceDescription

if TYPE_CHECKING:
    from collections.abc import Callable


class Protocol(StrEnum):
    """How a node is reached."""

    RPC = "rpc"
    """Over the wire: it holds a connection to the platform."""
    HTTP = "http"
    """An unmodified program that speaks HTTP on a port."""


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One running instance of a service.

    Attributes:
        id: stays the same when the node is restarted or reloaded.
        generation: grows with each start of the same node; of two, the higher one is the current.
        address: of its own socket for direct connections, or the base URL of an HTTP program.
        started: seconds since the Unix epoch.
    """

    id: str
    generation: int = 0
    address: str = ""
    protocol: Protocol = Protocol.RPC
    pid: int = 0
    started: float = 0.0
    metadata: dict[str, str] = {}


class Tenants(Contract):
    """Says which namespaces there are, and how many nodes each may have."""

    def check(self, namespace: str) -> None:
        """Refuse a namespace that is not there.

        Raises:
            NotFound: there is none of this name.
        """
        ...

    def check_nodes(self, namespace: str, count: Callable[[], int]) -> None:
        """Refuse what would give a namespace more nodes than it may have.

        Args:
            count: how many it would have; asked where there is a limit.

        Raises:
            NotFound: there is no such namespace.
            TooManyRequests: they are too many.
        """
        ...


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """What a node says of itself when it joins."""

    service: ServiceDescription
    node: Node
    namespace: str = DEFAULT_NAMESPACE


class ServiceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A service with all that is known of it: one for each version."""

    name: str
    version: str
    doc: str = ""
    built_in: bool = False
    metadata: dict[str, str] = {}
    endpoints: tuple[EndpointDescription, ...] = ()
    publishes: tuple[Publishes, ...] = ()
    nodes: tuple[Node, ...] = ()


class Action(StrEnum):
    """What happened to a node, in micro's words."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A change of the registry."""

    action: Action
    service: ServiceRecord
    node: Node
    at: float
