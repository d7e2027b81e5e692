"""Where the state of topics and groups lies in the engine, and how it is written down."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from microlite.core import errors
from microlite.core.events.api import Attempt, DeadLetter, Event, GroupSettings
from microlite.core.events.envelope import decode_envelope, decode_payload
from microlite.core.events.group import Failures

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from microlite.core.engine.api import Engine, Record

TOPICS: Final = "events/topics"
"""Settings of topics, by name."""

GROUPS: Final = "events/groups"
"""Settings and epoch of groups, by `topic/group`. A revision of it stands for one reign of a leader."""

CURSORS: Final = "events/cursors"
"""What a group has settled, by `topic/group`."""

FAILED: Final = "events/failed"
"""Failures of what will be delivered again, by `topic/group/position`."""

ACKS: Final = "events/acks"
"""What was acknowledged within transactions, by `topic/group/position`. One that expires is in the cursor already."""

DEAD: Final = "events/dead"
"""Dead letters, by `topic/group/id`; the group is empty for quarantine."""

DELAYED: Final = "events/delayed"
"""Events whose time has not come, by `milliseconds/id`."""

ONCE: Final = "events/once"
"""De-duplication ids, by `topic/id`, each for a day."""

NAMESPACES: Final = "events/namespaces"
"""In the platform's own namespace: where events are used."""

_STREAM: Final = "events/"

_LOGGED: Final = re.compile(r" \(the log has more under [^)]*\)$")
"""Where more about an error is found, as `library.consuming` writes it."""

_GONE_ERROR: Final = re.compile(r"[0-9a-hjkmnp-tv-z]{26}|0x[0-9a-f]+|\d+")
"""What differs from one time to the next in the text of an error: ids, addresses, numbers."""

T = TypeVar("T")


class GroupRecord(msgspec.Struct, frozen=True):
    """A group.

    Attributes:
        epoch: grows each time that a leader takes it over, or that it is reset.
    """

    settings: GroupSettings
    epoch: int
    created: float


class CursorRecord(msgspec.Struct, frozen=True, array_like=True):
    """What a group has settled: all up to `head`, but for what is open."""

    head: int
    open: tuple[int, ...] = ()


class AckRecord(msgspec.Struct, frozen=True, array_like=True):
    """An ack that was part of a transaction."""

    epoch: int
    at: float


class DelayedRecord(msgspec.Struct, frozen=True, array_like=True):
    """An event whose time has not come."""

    topic: str
    envelope: bytes


class OnceRecord(msgspec.Struct, frozen=True, array_like=True):
    """The id of the event that was published under a de-duplication id."""

    id: str


class DeadRecord(msgspec.Struct, frozen=True):
    """A dead letter."""

    envelope: bytes
    position: int
    error: str
    kind: str
    died: float
    published: float = 0.0
    attempts: tuple[Attempt, ...] = ()
    deliveries: int = 0
    edited: bool = False


encode: Final = msgspec.msgpack.Encoder().encode
decode_group: Final = msgspec.msgpack.Decoder(GroupRecord).decode
decode_cursor: Final = msgspec.msgpack.Decoder(CursorRecord).decode
decode_delayed: Final = msgspec.msgpack.Decoder(DelayedRecord).decode
decode_once: Final = msgspec.msgpack.Decoder(OnceRecord).decode
decode_dead: Final = msgspec.msgpack.Decoder(DeadRecord).decode
decode_failures: Final = msgspec.msgpack.Decoder(Failures).decode


def stream_of(topic: str) -> str:
    """The name of a topic's stream."""
    return _STREAM + topic


def topic_of(stream: str) -> str | None:
    """The topic of a stream, or None for one that is no topic's."""
    return stream.removeprefix(_STREAM) if stream.startswith(_STREAM) else None


def group_key(topic: str, group: str) -> str:
    """The key of a group."""
    return f"{topic}/{group}"


def entry_key(topic: str, group: str, position: int) -> str:
    """The key of what concerns one entry in one group; keys sort by position."""
    return f"{topic}/{group}/{position:020d}"


def position_of(key: str) -> int:
    """The position in a key of `entry_key`."""
    return int(key.rpartition("/")[2])


def kind_of(error: str) -> str:
    """The text of an error without what differs from one time to the next: what dead letters are grouped by."""
    first = _LOGGED.sub("", error.strip()).partition("\n")[0][:200]
    return _GONE_ERROR.sub("#", first) or "no error was given"


def dead_letter(key: str, record: Record) -> DeadLetter:
    """What a dead letter's record shows."""
    topic, group, name = key.split("/")
    dead = decode_dead(record.value)
    envelope = decode_envelope(dead.envelope)
    event: Event[Any] = Event(
        id=envelope.id,
        topic=topic,
        position=dead.position,
        payload=decode_payload(envelope),
        key=envelope.key,
        metadata=envelope.metadata,
        timestamp=envelope.timestamp,
        published=dead.published,
    )
    return DeadLetter(
        id=name,
        topic=topic,
        group=group,
        event=event,
        error=dead.error,
        kind=dead.kind,
        died=dead.died,
        attempts=dead.attempts,
        deliveries=dead.deliveries,
        edited=dead.edited,
    )


async def scan_all(
    engine: Engine, namespace: str, bucket: str, prefix: str = "", *, after: str = "", keys_only: bool = False
) -> AsyncIterator[Record]:
    """All records of a bucket whose keys have a prefix, page by page."""
    cursor: str | None = after
    while cursor is not None:
        page = await engine.scan(namespace, bucket, prefix=prefix, after=cursor, limit=100, keys_only=keys_only)
        for record in page.records:
            yield record
        cursor = page.cursor


async def read_as(
    engine: Engine, namespace: str, bucket: str, key: str, decode: Callable[[bytes], T]
) -> tuple[T, int] | None:
    """A decoded record with its revision, or None."""
    record = await engine.get(namespace, bucket, key)
    return None if record is None else (decode(record.value), record.revision)


def no_group(topic: str, group: str) -> errors.NotFound:
    """The error for a group that is not there."""
    return errors.NotFound(f"topic {topic!r} has no group {group!r}")
