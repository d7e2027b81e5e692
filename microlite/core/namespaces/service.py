"""The built-in service `namespaces`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from microlite.core.description import Role
from microlite.core.library.context import Context
from microlite.core.library.service import Service
from microlite.core.namespaces.api import Deletion, Limits, Namespace, Usage
from microlite.core.namespaces.quotas import changed

if TYPE_CHECKING:
    from microlite.core.engine.api import Engine
    from microlite.core.namespaces.deletions import Deletions
    from microlite.core.namespaces.namespaces import Namespaces
    from microlite.core.registry.registry import Registry


def namespaces_service(namespaces: Namespaces, deletions: Deletions, engine: Engine, registry: Registry) -> Service:
    """Make the service.

    Args:
        namespaces: which there are.
        deletions: removes them.
        engine: knows what they hold.
        registry: knows how many nodes are in one.
    """
    service = Service(
        "namespaces", doc="Tenants: names, data and services of two namespaces never meet.", built_in=True
    )

    def usage_of(namespace: Namespace) -> Usage:
        held = engine.usage(namespace.name)
        return Usage(
            name=namespace.name,
            limits=namespace.limits,
            records=held.records,
            bytes=held.bytes,
            nodes=registry.count(namespace.name),
            refused=namespaces.refused(namespace.name),
            deleting=namespace.deleting,
        )

    @service.endpoint(role=Role.PLATFORM, reads=True, name="list")
    async def list_(ctx: Context) -> list[Namespace]:  # noqa: ARG001 - as every endpoint
        """List all namespaces."""
        return namespaces.all()

    @service.endpoint(role=Role.PLATFORM, reads=True)
    async def read(ctx: Context, name: str) -> Namespace:  # noqa: ARG001 - as every endpoint
        """Show one namespace.

        Args:
            name: its name.
        """
        return namespaces.get(name)

    @service.endpoint(role=Role.PLATFORM)
    async def create(
        ctx: Context,
        name: str,
        hosts: list[str] = [],  # noqa: B006 - never changed
        max_records: int = 0,
        max_bytes: int = 0,
        max_rate: float = 0.0,
        burst: int = 0,
        max_nodes: int = 0,
    ) -> Namespace:
        """Create a namespace.

        Args:
            name: lower-case letters, digits and hyphens.
            hosts: names of hosts that stand for it at the gateway: `shop.example.org`, `*.shop.example.org`.
            max_records: so many records at most; 0 for any number.
            max_bytes: so many bytes of records, blobs and events at most; 0 for any number.
            max_rate: so many calls in a second at most; 0 for any number.
            burst: calls that may come at once after a pause; 0 for as many as in a second.
            max_nodes: so many nodes at most; 0 for any number.
        """
        limits = changed(
            Limits(),
            max_records=max_records,
            max_bytes=max_bytes,
            max_rate=max_rate,
            burst=burst,
            max_nodes=max_nodes,
        )
        return await namespaces.create(ctx.origin, name, limits, hosts)

    @service.endpoint(role=Role.PLATFORM)
    async def update(
        ctx: Context,
        name: str,
        hosts: list[str] | None = None,
        max_records: int | None = None,
        max_bytes: int | None = None,
        max_rate: float | None = None,
        burst: int | None = None,
        max_nodes: int | None = None,
    ) -> Namespace:
        """Change what a namespace may use, and which hosts stand for it. What is not named stays as it is.

        Args:
            name: its name.
            hosts: all hosts that stand for it from now on; an empty list for none.
            max_records: so many records at most; 0 for any number.
            max_bytes: so many bytes of records, blobs and events at most; 0 for any number.
            max_rate: so many calls in a second at most; 0 for any number.
            burst: calls that may come at once after a pause; 0 for as many as in a second.
            max_nodes: so many nodes at most; 0 for any number.
        """
        limits = changed(
            namespaces.get(name).limits,
            max_records=max_records,
            max_bytes=max_bytes,
            max_rate=max_rate,
            burst=burst,
            max_nodes=max_nodes,
        )
        return await namespaces.update(ctx.origin, name, limits, hosts)

    @service.endpoint(role=Role.PLATFORM)
    async def delete(ctx: Context, name: str, confirm: str) -> AsyncIterator[Deletion]:
        """Delete a namespace and everything in it: services, records, blobs, events, configuration, accounts, logs.

        Streams how far it is, until nothing is left. It goes on when the stream is left, and after a restart.

        Args:
            name: its name.
            confirm: the name once more.
        """
        async for progress in deletions.delete(ctx.origin, name, confirm):
            yield progress

    @service.endpoint(role=Role.PLATFORM, reads=True)
    async def usage(ctx: Context, name: str = "") -> list[Usage]:  # noqa: ARG001 - as every endpoint
        """Show what namespaces use, beside what they may use.

        Args:
            name: only this one; all without it.
        """
        return [usage_of(one) for one in ([namespaces.get(name)] if name else namespaces.all())]

    return service
