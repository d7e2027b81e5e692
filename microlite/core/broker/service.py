"""The built-in service `broker`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from microlite.core.broker.api import Message, Overflow, Published, Subscription, Topic
from microlite.core.broker.headers import headers_of
from microlite.core.description import Encoding, Role
from microlite.core.library.context import Context
from microlite.core.library.service import Service
from microlite.core.policy.rules import ResourceType
from microlite.core.rpc.connection import Connection

if TYPE_CHECKING:
    from microlite.core.audit.audit import Audit
    from microlite.core.broker.broker import Broker
    from microlite.core.policy.permits import Permits


def broker_service(broker: Broker, permits: Permits, audit: Audit) -> Service:
    """Make the service over the messages of one platform."""
    service = Service("broker", doc="Ephemeral messages by topic, to whoever is subscribed.", built_in=True)

    @service.endpoint(role=Role.ACCOUNT)
    async def publish(ctx: Context, topic: str, value: Any = None, headers: dict[str, str] = {}) -> Published:  # noqa: B006 - copied for each call
        """Publish a message. It succeeds also where nobody is subscribed, and then the message is gone.

        Args:
            topic: words between dots, as in prices.eur.
            value: the message.
            headers: said along with it, beside the metadata of this call.
        """
        permits.check(ctx, ResourceType.TOPIC, topic, "publish")
        said = headers_of(ctx.metadata, headers)
        return broker.publish(ctx.namespace, topic, value, said, json=ctx.asked is Encoding.JSON)

    @service.endpoint(role=Role.ACCOUNT, reads=True)
    async def subscribe(
        ctx: Context,
        topic: str,
        queue: str = "",
        limit: int = 1_000,
        overflow: Overflow = Overflow.DROP_OLDEST,
        while_serving: bool = False,
    ) -> AsyncIterator[Message[Any]]:
        """Stream the messages that are published from now on.

        Args:
            topic: which; `*` stands for one word, `>` at the end for one or more, as in prices.>
            queue: a queue group: of all who name it, one gets each message.
            limit: how many messages may wait while this is read too slowly.
            overflow: what happens to more.
            while_serving: for nodes: messages come only while the node takes calls, so that at a reload each goes to the
                old node or to the new one.
        """
        permits.check(ctx, ResourceType.TOPIC, topic, "subscribe")
        node = ctx.peer if while_serving and ctx.calling_service and isinstance(ctx.peer, Connection) else None
        with broker.subscribe(ctx.origin, topic, queue=queue, limit=limit, overflow=overflow, node=node) as seat:
            async for message in seat.messages():
                if permits.allows(ctx, ResourceType.TOPIC, message.topic, "subscribe"):
                    yield message

    @service.endpoint(role=Role.ACCOUNT, reads=True)
    async def topics(ctx: Context) -> list[Topic]:
        """List what was published on since the platform started: the last thousand topics, by name."""
        return broker.topics(ctx.namespace)

    @service.endpoint(role=Role.ADMIN, reads=True)
    async def subscriptions(ctx: Context) -> list[Subscription]:
        """List who is subscribed, how many messages wait for them, and how many they have lost."""
        return broker.subscriptions(ctx.namespace)

    @service.endpoint(role=Role.ADMIN)
    async def unsubscribe(ctx: Context, id: str) -> None:
        """End a subscription, as of somebody who reads too slowly. What waits for it is still delivered.

        Args:
            id: as `subscriptions` lists it.
        """
        broker.check_subscribed(ctx.namespace, id)
        await audit.note(ctx.origin, "broker.unsubscribe", f"subscription:{id}")
        broker.unsubscribe(ctx.namespace, id)

    return service
