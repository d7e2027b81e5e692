"""Publish/subscribe in memory: for an engine in which all subscribers are in one process."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, Self

from microlite.core import errors
from microlite.core.engine import limits
from microlite.core.engine.api import MAX_VALUE_BYTES, Overflow
from microlite.core.engine.matcher import Matcher
from microlite.core.topics import check_pattern, check_topic

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from microlite.core.engine.api import Message

MAX_WAITING: Final = 100_000
"""Most messages that a subscriber may let wait."""

QUEUE_BYTES: Final = 8 << 20
"""Bytes of payloads that wait for one subscriber; a queue that holds them is full, whatever its limit says."""


class PubSub:
    """The verbs of `api.PubSubVerbs`. All of it happens on the event loop; no message is copied."""

    def __init__(self) -> None:
        self._matchers: dict[str, Matcher[QueueSubscription]] = {}
        self._subscriptions: set[QueueSubscription] = set()
        self._turn = 0
        self._closed = False

    def publish(self, namespace: str, message: Message) -> int:
        """See `api.PubSubVerbs`."""
        if self._closed:
            raise errors.ServiceUnavailable("the engine is closed")
        words = check_topic(message.topic)
        if len(message.payload) > MAX_VALUE_BYTES:
            raise errors.PayloadTooLarge(
                f"a message on {message.topic} has {len(message.payload)} bytes: the limit is {MAX_VALUE_BYTES}"
            )
        matcher = self._matchers.get(namespace)
        if matcher is None:
            limits.check_name("namespace", namespace)
            return 0
        reached = 0
        groups: dict[str, list[QueueSubscription]] = {}
        for subscription in matcher.find(words):
            if subscription.queue:
                groups.setdefault(subscription.queue, []).append(subscription)
            else:
                reached += subscription.offer(message)
        for members in groups.values():
            reached += self._choose(members).offer(message)
        return reached

    def subscribe(
        self,
        namespace: str,
        pattern: str,
        *,
        queue: str = "",
        limit: int = 1_000,
        overflow: Overflow = Overflow.DROP_OLDEST,
    ) -> QueueSubscription:
        """See `api.PubSubVerbs`."""
        limits.check_name("namespace", namespace)
        words = check_pattern(pattern)
        if queue:
            limits.check_name("queue group", queue)
        if not 1 <= limit <= MAX_WAITING:
            raise errors.BadRequest(f"between 1 and {MAX_WAITING:,} messages can wait for a subscriber, not {limit}")
        return QueueSubscription(self, namespace, words, queue=queue, limit=limit, overflow=overflow)

    def end(self, namespace: str) -> None:
        """End the subscriptions in a namespace that is gone."""
        for subscription in [one for one in self._subscriptions if one.namespace == namespace]:
            subscription.end(errors.ServiceUnavailable(f'the namespace "{namespace}" was deleted'))

    def close(self) -> None:
        """End all subscriptions: their readers get `errors.ServiceUnavailable`."""
        self._closed = True
        for subscription in list(self._subscriptions):
            subscription.end(errors.ServiceUnavailable("the engine is closing; subscribe again"))

    def add(self, subscription: QueueSubscription) -> None:
        """Hand it what is published from now on."""
        if self._closed:
            raise errors.ServiceUnavailable("the engine is closed")
        self._subscriptions.add(subscription)
        matcher = self._matchers.get(subscription.namespace)
        if matcher is None:
            matcher = self._matchers[subscription.namespace] = Matcher()
        matcher.add(subscription.words, subscription)

    def discard(self, subscription: QueueSubscription) -> None:
        """Hand it nothing more; one that is not there is no error."""
        self._subscriptions.discard(subscription)
        matcher = self._matchers.get(subscription.namespace)
        if matcher is not None:
            matcher.discard(subscription.words, subscription)
            if not matcher:
                del self._matchers[subscription.namespace]

    def pass_on(self, left: QueueSubscription, messages: Iterable[Message]) -> None:
        """A member of a queue group has gone, and these were waiting for it: the others get them."""
        for message in messages:
            matcher = self._matchers.get(left.namespace)
            if matcher is None:
                return
            members = [other for other in matcher.find(check_topic(message.topic)) if other.queue == left.queue]
            if members:
                self._choose(members).offer(message)

    def _choose(self, members: list[QueueSubscription]) -> QueueSubscription:
        """The member for whom the fewest messages wait; of several such, the one whose last turn is longest ago."""
        chosen = members[0] if len(members) == 1 else min(members, key=_load)
        self._turn += 1
        chosen.last_turn = self._turn
        return chosen


def _load(member: QueueSubscription) -> tuple[bool, int, int]:
    return member.is_full, member.waiting, member.last_turn


class QueueSubscription:
    """One subscriber and what waits for it; see `api.Subscription`.

    Attributes:
        words: of its pattern.
        last_turn: the number of the last message of the queue group that it got.
    """

    __slots__ = (
        "_bytes",
        "_error",
        "_hub",
        "_limit",
        "_overflow",
        "_queue",
        "_state",
        "_waiter",
        "dropped",
        "last_turn",
        "namespace",
        "queue",
        "words",
    )

    def __init__(
        self, hub: PubSub, namespace: str, words: list[str], *, queue: str, limit: int, overflow: Overflow
    ) -> None:
        self.namespace = namespace
        self.words = words
        self.queue = queue
        self.last_turn = 0
        self.dropped = 0
        """See `api.Subscription`."""
        self._hub = hub
        self._limit = limit
        self._overflow = overflow
        self._queue: deque[Message] = deque()
        self._bytes = 0
        self._error: errors.Error | None = None
        self._state = _NEW
        self._waiter: asyncio.Future[None] | None = None

    @property
    def waiting(self) -> int:
        """See `api.Subscription`."""
        return len(self._queue)

    @property
    def is_full(self) -> bool:
        """Whether one more would be too many."""
        return len(self._queue) >= self._limit or self._bytes >= QUEUE_BYTES

    def begin(self) -> None:
        """See `api.Subscription`."""
        if self._state is _NEW:
            self._hub.add(self)
            self._state = _OPEN

    def finish(self) -> None:
        """See `api.Subscription`."""
        self.end(None)

    def end(self, error: errors.Error | None) -> None:
        """Take nothing more; when what waits is read, the iteration ends, with the error if there is one."""
        if self._state is not _OVER:
            self._state = _OVER
            self._error = error
            self._hub.discard(self)
            self._wake()

    async def __aenter__(self) -> Self:
        """See `api.Subscription`."""
        self.begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """See `api.Subscription`."""
        self.end(None)
        left, self._queue = self._queue, deque()
        self._bytes = 0
        if left and self.queue:
            self._hub.pass_on(self, left)

    def __aiter__(self) -> Self:
        """See `api.Subscription`."""
        return self

    async def __anext__(self) -> Message:
        """See `api.Subscription`."""
        while not self._queue:
            if self._state is _OVER:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        message = self._queue.popleft()
        self._bytes -= len(message.payload)
        return message

    def offer(self, message: Message) -> bool:
        """Take a message, as far as there is room or the policy makes some. Returns whether it was taken."""
        if self.is_full:
            if self._overflow is Overflow.DROP_NEWEST:
                self.dropped += 1
                return False
            if self._overflow is Overflow.DISCONNECT:
                self.dropped += 1
                self.end(
                    errors.ServiceUnavailable(
                        f"the subscription to {'.'.join(self.words)} was read too slowly, and was ended; subscribe again"
                    )
                )
                return False
            while self._queue and self.is_full:
                self._bytes -= len(self._queue.popleft().payload)
                self.dropped += 1
        self._queue.append(message)
        self._bytes += len(message.payload)
        self._wake()
        return True

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


_NEW: Final = "subscribed to nothing yet"
_OPEN: Final = "takes messages"
_OVER: Final = "takes no more"
