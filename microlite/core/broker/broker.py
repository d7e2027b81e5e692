"""Who is subscribed to what, since when, and whether it is its turn."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

import msgspec

from microlite.core import errors
from microlite.core.broker.api import Message, Overflow, Published, Subscription, Topic
from microlite.core.engine import api as engine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from microlite.core.clock import Clock
    from microlite.core.context import Origin
    from microlite.core.network.api import Route
    from microlite.core.network.membership import Membership
    from microlite.core.rpc.connection import Connection

MAX_TOPICS: Final = 1_000
"""Topics of a namespace that are remembered, those that were published on last."""

JSON_HEADER: Final = "microlite-json"
"""Of the engine's message only: its payload is JSON, as its publisher wrote it. No publisher can name it."""

_encode = msgspec.msgpack.Encoder().encode
_encode_json = msgspec.json.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode
_decode_json = msgspec.json.Decoder().decode


class _Counts:
    __slots__ = ("last", "messages", "subscribers")

    def __init__(self) -> None:
        self.messages = 0
        self.subscribers = 0
        self.last = 0.0


class Seat:
    """One subscription, from the call that made it to its end. Iterate over it for its messages.

    Attributes:
        id: names it in lists.
        connection: of the node whose turn decides; None for whoever gets messages at once.
    """

    def __init__(
        self,
        subscription: engine.Subscription,
        origin: Origin,
        *,
        seat_id: str,
        topic: str,
        queue: str,
        limit: int,
        overflow: Overflow,
        since: float,
        connection: Connection | None,
    ) -> None:
        self.id = seat_id
        self.origin = origin
        self.connection = connection
        self._subscription = subscription
        self._topic = topic
        self._queue = queue
        self._limit = limit
        self._overflow = overflow
        self._since = since
        self._delivered = 0
        self._active = False
        self._finished = False

    def begin(self) -> None:
        """It is its turn: messages arrive from now on, unless it has finished."""
        if not self._active and not self._finished:
            self._active = True
            self._subscription.begin()

    def finish(self) -> None:
        """It gets no more messages than wait for it."""
        self._active = False
        self._finished = True
        self._subscription.finish()

    @property
    def active(self) -> bool:
        """Whether messages arrive."""
        return self._active

    async def messages(self) -> AsyncIterator[Message[Any]]:
        """What arrives, until it is finished."""
        subscription, told = self._subscription, 0
        try:
            async for message in subscription:
                dropped, told = subscription.dropped - told, subscription.dropped
                self._delivered += 1
                yield _shown(message, dropped)
        finally:
            self._active = False
            await subscription.__aexit__(None, None, None)

    def describe(self) -> Subscription:
        """As those see it who look."""
        return Subscription(
            id=self.id,
            topic=self._topic,
            queue=self._queue,
            service=self.origin.service,
            account=self.origin.node or self.origin.account,
            since=self._since,
            active=self._active,
            delivered=self._delivered,
            waiting=self._subscription.waiting,
            dropped=self._subscription.dropped,
            limit=self._limit,
            overflow=self._overflow,
        )


def _shown(message: engine.Message, dropped: int) -> Message[Any]:
    headers, payload = message.headers, message.payload
    if JSON_HEADER not in headers:
        return Message(topic=message.topic, value=_decode(payload), headers=headers, dropped=dropped)
    headers = {name: value for name, value in headers.items() if name != JSON_HEADER}
    return Message(topic=message.topic, value=_decode_json(payload), headers=headers, dropped=dropped, json=True)


class Broker:
    """The logic of the service, over the engine's publish/subscribe.

    Args:
        engine: carries the messages.
        membership: says whose turn it is.
    """

    def __init__(self, engine: engine.PubSubVerbs, membership: Membership, clock: Clock) -> None:
        self._engine = engine
        self._membership = membership
        self._clock = clock
        self._seats: dict[str, Seat] = {}
        self._topics: dict[str, OrderedDict[str, _Counts]] = {}
        membership.watch(self._on_route)

    def publish(
        self, namespace: str, topic: str, value: object, headers: dict[str, str], *, json: bool = False
    ) -> Published:
        """Hand a value to whoever is subscribed. It succeeds when that is nobody.

        Args:
            namespace: whose subscribers.
            topic: on what.
            value: as it was decoded.
            headers: of the message.
            json: whether its publisher wrote JSON: whoever reads it as a type has to know.

        Raises:
            BadRequest: the topic is none.
            PayloadTooLarge: the value is too large.
        """
        headers.pop(JSON_HEADER, None)
        if json:
            headers[JSON_HEADER] = "1"
        payload = _encode_json(value) if json else _encode(value)
        reached = self._engine.publish(namespace, engine.Message(topic, payload, headers))
        topics = self._topics.get(namespace)
        if topics is None:
            topics = self._topics[namespace] = OrderedDict()
        counts = topics.get(topic)
        if counts is None:
            counts = topics[topic] = _Counts()
            if len(topics) > MAX_TOPICS:
                topics.popitem(last=False)
        else:
            topics.move_to_end(topic)
        counts.messages += 1
        counts.subscribers = reached
        counts.last = self._clock.now()
        return Published(subscribers=reached)

    @contextlib.contextmanager
    def subscribe(
        self,
        origin: Origin,
        topic: str,
        *,
        queue: str = "",
        limit: int = 1_000,
        overflow: Overflow = Overflow.DROP_OLDEST,
        node: Connection | None = None,
    ) -> Iterator[Seat]:
        """Subscribe for as long as the context lasts.

        Args:
            origin: whose namespace, and who subscribes.
            topic: the topic or pattern.
            queue: the queue group.
            limit: how many messages may wait.
            overflow: what happens to more.
            node: the connection of a node that gets messages only while it takes calls. At a reload the old node finishes
                in the same turn in which the new one begins.

        Raises:
            BadRequest: pattern, queue or limit cannot be.
        """
        subscription = self._engine.subscribe(
            origin.namespace, topic, queue=queue, limit=limit, overflow=engine.Overflow(overflow.value)
        )
        seat = Seat(
            subscription,
            origin,
            seat_id=self._clock.new_id(),
            topic=topic,
            queue=queue,
            limit=limit,
            overflow=overflow,
            since=self._clock.now(),
            connection=node,
        )
        self._seats[seat.id] = seat
        try:
            if node is None or self._membership.serves(node):
                seat.begin()
            if node is not None:
                node.add_parting_callback(self._on_parting)
            yield seat
        finally:
            del self._seats[seat.id]

    def unsubscribe(self, namespace: str, seat_id: str) -> None:
        """End a subscription. What waits for it is still delivered.

        Raises:
            NotFound: nobody is subscribed under that id.
        """
        self.check_subscribed(namespace, seat_id).finish()

    def check_subscribed(self, namespace: str, seat_id: str) -> Seat:
        """The subscription with an id.

        Raises:
            NotFound: nobody is subscribed under that id.
        """
        seat = self._seats.get(seat_id)
        if seat is None or seat.origin.namespace != namespace:
            raise errors.NotFound(f"nobody is subscribed under the id {seat_id!r}; `broker.subscriptions` lists them")
        return seat

    def topics(self, namespace: str) -> list[Topic]:
        """What was published on, by name."""
        return [
            Topic(name=name, messages=counts.messages, subscribers=counts.subscribers, last=counts.last)
            for name, counts in sorted(self._topics.get(namespace, {}).items())
        ]

    def subscriptions(self, namespace: str) -> list[Subscription]:
        """Who is subscribed, by topic and the time of subscribing."""
        found = [seat.describe() for seat in self._seats.values() if seat.origin.namespace == namespace]
        return sorted(found, key=lambda subscription: (subscription.topic, subscription.since, subscription.id))

    def _on_route(self, route: Route) -> None:
        """Nodes of a service came or went: those that no longer take calls finish before the others begin."""
        seats = [
            (seat, self._membership.serves(seat.connection))
            for seat in self._seats.values()
            if seat.connection is not None
            and (seat.origin.namespace, seat.origin.service) == (route.namespace, route.service)
        ]
        for seat, serves in seats:
            if not serves and seat.active:
                seat.finish()
        for seat, serves in seats:
            if serves:
                seat.begin()

    def _on_parting(self, connection: Connection) -> None:
        for seat in list(self._seats.values()):
            if seat.connection is connection:
                seat.finish()
