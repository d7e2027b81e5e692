"""The contract of the built-in service `events`."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any, Final, Generic, TypeVar

import msgspec

from microlite.core import errors
from microlite.core.context import Failure
from microlite.core.description.structs import Schema

T = TypeVar("T")

MAX_PAYLOAD_BYTES: Final = (1 << 20) - (32 << 10)
"""Largest payload of an event, as MessagePack: an entry of the engine less what is said about the event."""

MAX_METADATA_BYTES: Final = 16 << 10
"""Most bytes of all names and values of an event's metadata together."""

MAX_TEXT: Final = 256
"""Most bytes of UTF-8 in the key and in the de-duplication id of an event."""

MAX_NAME: Final = 100
"""Most characters in the name of a topic or group."""

MAX_EVENTS: Final = 500
"""Most events that are published, read, pulled or acknowledged by one call."""

MAX_WAIT: Final = 300.0
"""Longest long poll, in seconds."""

MAX_DELAY: Final = 366 * 86_400.0
"""Longest delay of an event, in seconds."""

DEDUPLICATION: Final = 86_400.0
"""Seconds for which a de-duplication id is remembered."""

DAY: Final = 86_400.0

_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")


class Misfits(StrEnum):
    """What happens to an event that does not fit the schema of its topic."""

    REFUSE = "refuse"
    """Its publisher gets an error."""
    QUARANTINE = "quarantine"
    """It is kept apart, as a dead letter without a group, until it is corrected and published, or deleted."""


class Publish(msgspec.Struct, frozen=True, kw_only=True, tag="publish", forbid_unknown_fields=True):
    """Put an event at the end of a topic. The first event makes the topic.

    Attributes:
        topic: letters, digits and `._-`, as in `orders.created`.
        payload: any value that fits the topic's schema, if it has one.
        key: events with the same key are handled one after the other within a group; empty for no order.
        metadata: short texts by name, for the consumers.
        timestamp: when it happened, in seconds since the Unix epoch; without it, now.
        delay: seconds after which it takes its place in the topic.
        deduplication_id: of two events of a topic with the same one, within a day, only the first counts.
    """

    topic: str
    payload: Any = None
    key: str = ""
    metadata: dict[str, str] = {}
    timestamp: float | None = None
    delay: float = 0.0
    deduplication_id: str = ""


class Ack(msgspec.Struct, frozen=True, kw_only=True, tag="ack", forbid_unknown_fields=True):
    """Settle a delivery for good. Together with the handler's writes in one transaction, its effects happen exactly once.

    Attributes:
        delivery: the id of the delivery, as the event carries it.
    """

    delivery: str


Change = Publish | Ack
"""What a transaction can do here."""


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """An event that is on disk.

    Attributes:
        id: of the event; of the first one, for a duplicate.
        position: its place in the topic; 0 for one that is delayed, quarantined, or a duplicate.
        duplicate: whether its de-duplication id was there already, so that nothing was published.
        quarantined: whether it does not fit the topic's schema and was put aside.
    """

    id: str
    topic: str
    position: int = 0
    duplicate: bool = False
    quarantined: bool = False


class PublishOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one of several events that were published each for itself.

    Attributes:
        published: the event, if it is on disk.
        error: why it is not.
    """

    published: Published | None = None
    error: Failure | None = None

    def failure(self) -> errors.Error:
        """The error as what the publisher of this event alone would have got."""
        if self.error is None:
            return errors.InternalServerError("the platform said nothing about the event")
        return self.error.restore()


class Event(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One event, as it is read or delivered.

    Attributes:
        id: unique; sorts by the time of publishing.
        position: its place in the topic: from 1, growing.
        timestamp: when it happened, by its publisher, in seconds since the Unix epoch.
        published: when it took its place in the topic, likewise.
        group: for which it is delivered; empty where it is only read.
        attempt: which delivery this is, from 1; 0 where it is only read.
        delivery: the id of the delivery: what `ack` and `nack` ask for.
    """

    id: str
    topic: str
    position: int
    payload: T
    key: str = ""
    metadata: dict[str, str] = {}
    timestamp: float = 0.0
    published: float = 0.0
    group: str = ""
    attempt: int = 0
    delivery: str = ""


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """How long events stay in a topic, whether they were handled or not; the first limit that is met counts.

    Attributes:
        age: seconds; 0 for no limit.
        count: events; 0 for no limit.
        size: bytes of all events together; 0 for no limit.
    """

    age: float = 7 * DAY
    count: int = 0
    size: int = 0


class TopicSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What is set for a topic.

    Attributes:
        retention: how long events stay.
        schema: the JSON Schema of the payload; empty for any payload.
        misfits: what happens to an event that does not fit it.
    """

    retention: Retention = Retention()
    schema: Schema = {}
    misfits: Misfits = Misfits.REFUSE


class GroupSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a group handles its events.

    Attributes:
        retries: how often an event that failed is delivered again, before it becomes a dead letter; -1 for no limit.
        ack_wait: seconds that one delivery may take, until it counts as failed.
        backoff: seconds before the first further delivery; each next one waits twice as long.
        max_backoff: the longest such wait.
        concurrency: most events that are being handled at the same time.
    """

    retries: int = 5
    ack_wait: float = 30.0
    backoff: float = 1.0
    max_backoff: float = 300.0
    concurrency: int = 32


class GroupStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Where a group stands.

    Attributes:
        lag: events that it has not settled yet.
        position: all events up to here are settled.
        under_way: deliveries that wait for their ack.
        retrying: events that failed and will be delivered again.
        dead: its dead letters.
        consumers: the endpoints to which the platform delivers, as `service.endpoint`.
        active: whether it is being consumed now.
    """

    topic: str
    name: str
    settings: GroupSettings
    lag: int
    position: int
    under_way: int = 0
    retrying: int = 0
    dead: int = 0
    consumers: tuple[str, ...] = ()
    active: bool = False


class TopicStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A topic, and where it stands.

    Attributes:
        first: position of the oldest event that is left.
        last: the highest position that was ever given out.
        count: events that are left.
        size: bytes of them together.
        quarantined: events that did not fit the schema and wait for somebody.
        groups: its groups, where they were asked for.
    """

    name: str
    settings: TopicSettings
    first: int = 0
    last: int = 0
    count: int = 0
    size: int = 0
    quarantined: int = 0
    groups: tuple[GroupStatus, ...] = ()


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One delivery that failed.

    Attributes:
        at: when it had failed, in seconds since the Unix epoch.
        error: why.
        node: which node, or which caller, had it; empty where that is not known.
    """

    at: float
    error: str
    node: str = ""


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """An event that a group has given up, or that did not fit its topic's schema.

    Attributes:
        id: names it within topic and group.
        group: empty for an event in quarantine.
        error: of the last attempt.
        kind: the error without what differs from one time to the next: what dead letters are grouped by.
        attempts: the last deliveries, the latest last; at most 20.
        deliveries: how many there were.
        edited: whether its payload was changed.
    """

    id: str
    topic: str
    group: str
    event: Event[Any]
    error: str
    kind: str
    died: float
    attempts: tuple[Attempt, ...] = ()
    deliveries: int = 0
    edited: bool = False


class DeadLetters(msgspec.Struct, frozen=True, kw_only=True):
    """One page of dead letters, the oldest first.

    Attributes:
        cursor: pass it as `after` for the next page; empty on the last.
    """

    letters: tuple[DeadLetter, ...]
    cursor: str = ""


class DeadKind(msgspec.Struct, frozen=True, kw_only=True):
    """The dead letters of one group that died of the same error.

    Attributes:
        kind: the error, without what differs from one time to the next.
        example: the error of the latest one, in full.
        first: when the earliest died.
        last: when the latest died.
    """

    topic: str
    group: str
    kind: str
    count: int
    example: str
    first: float
    last: float


class RetryLater(errors.ServiceUnavailable):
    """Raised by what consumes: this event cannot be handled now. It is delivered again, which counts as a retry.

    Args:
        detail: why.
        after: seconds until then, in place of the group's backoff.
    """

    def __init__(self, detail: str = "it asked to be called later", *, after: float | None = None) -> None:
        super().__init__(detail)
        self.after = after


class Reject(errors.Unprocessable):
    """Raised by what consumes: this event can never be handled. It becomes a dead letter at once.

    Args:
        detail: why.
    """


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a consuming endpoint says to the platform in place of success.

    Attributes:
        error: why.
        retry_after: seconds after which to deliver again; none for the group's backoff.
        dead: whether not to deliver again at all.
    """

    error: str
    retry_after: float | None = None
    dead: bool = False


def check_topic(topic: str) -> str:
    """The topic, if it can be the name of one.

    Raises:
        errors.BadRequest: it cannot.
    """
    return _check_name("topic", topic, "orders.created")


def check_group(group: str) -> str:
    """The group, if it can be the name of one.

    Raises:
        errors.BadRequest: it cannot.
    """
    return _check_name("group", group, "mailer")


def _check_name(what: str, name: str, example: str) -> str:
    if not name:
        raise errors.BadRequest(f"{what}: a name is needed, as in '{example}'")
    if len(name) > MAX_NAME or not _NAME.fullmatch(name):
        raise errors.BadRequest(
            f"{what}: '{name[:MAX_NAME]}' is no name; use letters, digits and '._-', a letter or digit at both ends, "
            f"at most {MAX_NAME} characters"
        )
    return name
