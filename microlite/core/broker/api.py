"""The contract of the built-in service `broker`."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Generic, TypeVar

import msgspec

T = TypeVar("T")


class Overflow(StrEnum):
    """What happens to a message when as many wait for a subscriber as may."""

    DROP_OLDEST = "drop_oldest"
    """It takes the place of the one that waits longest."""
    DROP_NEWEST = "drop_newest"
    """It is dropped."""
    DISCONNECT = "disconnect"
    """The subscription ends with an error, after what waited."""


class Message(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One message, as a subscriber gets it.

    Attributes:
        topic: on which it was published.
        value: what was published.
        headers: the metadata of the call that published it, and what it said besides; lower-case names.
        dropped: how many messages this subscriber lost before this one, and after the one it got last, for being slow.
        json: whether it was published as JSON, in which bytes are base64 and the keys of objects are text.
    """

    topic: str
    value: T
    headers: dict[str, str] = {}
    dropped: int = 0
    json: bool = False


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a message.

    Attributes:
        subscribers: how many took it: each subscriber, and one of each queue group.
    """

    subscribers: int


class Topic(msgspec.Struct, frozen=True, kw_only=True):
    """A topic that was published on since the platform started.

    Attributes:
        name: the topic.
        messages: how many were published.
        subscribers: how many took the last of them.
        last: when that was, in seconds since the Unix epoch.
    """

    name: str
    messages: int
    subscribers: int
    last: float


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who is subscribed.

    Attributes:
        id: for `unsubscribe`.
        topic: the topic or pattern.
        queue: the queue group; empty for none.
        service: whose node it is; empty for anybody else.
        account: who subscribed.
        since: when, in seconds since the Unix epoch.
        active: whether messages arrive; those of a node that does not take calls yet, or no longer, do not.
        delivered: how many messages were sent to it.
        waiting: how many wait, since it reads slowly.
        dropped: how many it has lost for that.
        limit: how many may wait.
        overflow: what happens to more.
    """

    id: str
    topic: str
    queue: str
    service: str
    account: str
    since: float
    active: bool
    delivered: int
    waiting: int
    dropped: int
    limit: int
    overflow: Overflow


AnyMessage = Message[Any]
"""A message with a value of whatever kind."""
