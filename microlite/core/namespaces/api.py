"""The contract of the built-in service `namespaces`."""

from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a namespace may use at most; 0 sets no limit.

    Attributes:
        records: how many records it may hold, of all kinds: those of the store, of its configuration, and so on.
        bytes: of the values of its records, its blobs and its events together.
        rate: calls in a second, at least 1; a further one is answered with 429.
        burst: calls that may come at once after a pause; 0 for as many as in a second.
        nodes: how many nodes may run in it at a time.
    """

    records: int = 0
    bytes: int = 0
    rate: float = 0.0
    burst: int = 0
    nodes: int = 0


class Namespace(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant.

    Attributes:
        created: when, in seconds since the Unix epoch.
        created_by: the id of the account that made it; empty for the platform itself.
        hosts: the names of hosts that stand for it at the gateway: `shop.example.org`, `*.shop.example.org`.
        deleting: whether it is being deleted, with everything in it; it takes no calls then.
    """

    name: str
    created: float = 0.0
    created_by: str = ""
    hosts: tuple[str, ...] = ()
    limits: Limits = Limits()
    deleting: bool = False


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What a namespace uses, beside what it may use.

    Attributes:
        records: that it holds, of all kinds.
        bytes: of the values of its records, its blobs and its events.
        nodes: that are registered in it.
        refused: calls that were refused for their rate, since the platform started.
    """

    name: str
    limits: Limits = Limits()
    records: int = 0
    bytes: int = 0
    nodes: int = 0
    refused: int = 0
    deleting: bool = False


class Deletion(msgspec.Struct, frozen=True, kw_only=True):
    """How far the deletion of a namespace is.

    Attributes:
        doing: what is being removed, in words.
        records: that are left.
        bytes: of values that are left.
        done: whether nothing is left, and the name is free again.
    """

    name: str
    doing: str = ""
    records: int = 0
    bytes: int = 0
    done: bool = False
