"""The built-in service `registry`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from microlite.core import errors
from microlite.core.description import Role
from microlite.core.library.context import Context
from microlite.core.library.service import Service
from microlite.core.registry.api import Event, Node, Registration, ServiceRecord
from microlite.core.rpc.connection import Connection

if TYPE_CHECKING:
    from microlite.core.registry.registry import Registry

MAX_WAITING = 1_000
"""Events that may wait for a watcher that does not read; beyond, its stream ends and it has to look anew."""


def registry_service(registry: Registry) -> Service:
    """Make the service over the registrations of one platform."""
    service = Service("registry", doc="Which services there are, their endpoints and nodes.", built_in=True)

    @service.endpoint(role=Role.ACCOUNT, reads=True, name="list")
    async def list_(ctx: Context, built_in: bool = False) -> list[ServiceRecord]:
        """List the services of the namespace, one record for each version.

        Args:
            built_in: whether to list those of the platform as well.
        """
        return registry.services(ctx.namespace, built_in=built_in)

    @service.endpoint(role=Role.ACCOUNT, reads=True)
    async def get(ctx: Context, service: str) -> list[ServiceRecord]:
        """Describe a service: its endpoints with their schemas, and its nodes.

        Args:
            service: the name.
        """
        return registry.get(ctx.namespace, service)

    @service.endpoint(role=Role.ACCOUNT, reads=True)
    async def watch(ctx: Context, service: str = "") -> AsyncIterator[Event]:
        """Stream each registration as it comes and goes.

        Args:
            service: only this one; all without it.
        """
        events: asyncio.Queue[Event] = asyncio.Queue(MAX_WAITING)
        overrun = False

        def on_event(namespace: str, event: Event) -> None:
            nonlocal overrun
            if namespace == ctx.namespace and service in ("", event.service.name):
                try:
                    events.put_nowait(event)
                except asyncio.QueueFull:
                    overrun = True

        stop = registry.watch(on_event)
        try:
            while not overrun:
                yield await events.get()
        finally:
            stop()
        raise errors.ServiceUnavailable("this watch was read too slowly and missed events; list again, then watch")

    @service.endpoint(role=Role.SERVICE)
    async def register(ctx: Context, registration: Registration) -> None:
        """Enter the calling node, for as long as its connection holds.

        Args:
            registration: the service and the node.
        """
        if registration.namespace != ctx.namespace:
            raise errors.Forbidden(
                f"a node of the namespace {ctx.namespace!r} cannot register in {registration.namespace!r}"
            )
        registry.register(registration, _connection(ctx))

    @service.endpoint(role=Role.SERVICE)
    async def deregister(ctx: Context, node: str) -> Node:
        """Take the calling node out before its connection ends.

        Args:
            node: its id.
        """
        for lease in registry.leases_of(_connection(ctx)):
            if lease.registration.node.id == node:
                registry.deregister(lease)
                return lease.registration.node
        raise errors.NotFound(f"this connection holds no registration of a node {node!r}")

    return service


def _connection(ctx: Context) -> Connection:
    if not isinstance(ctx.peer, Connection):
        raise errors.BadRequest(
            "only a node can register itself, over the platform's socket: its connection is its lease"
        )
    return ctx.peer
