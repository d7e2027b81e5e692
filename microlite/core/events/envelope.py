"""How an event is written down, as an entry of its topic's stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from microlite.core import errors
from microlite.core.description.codec import encode_json, encode_msgpack
from microlite.core.description.structs import Encoding
from microlite.core.events.api import MAX_DELAY, MAX_METADATA_BYTES, MAX_PAYLOAD_BYTES, MAX_TEXT, Event, check_topic

if TYPE_CHECKING:
    from microlite.core.engine.api import Entry
    from microlite.core.events.api import Publish

_VERSION: Final = 1


class Envelope(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An event as it lies in a stream, in a record of delayed events, or in a dead letter.

    Attributes:
        payload: as its publisher wrote it: MessagePack, or JSON.
        only: the one group that it is meant for; empty for all.
    """

    version: int
    id: str
    timestamp: float
    key: str
    metadata: dict[str, str]
    payload: bytes
    only: str = ""
    json: bool = False


encode_envelope: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Envelope).decode
_decode_any: Final = msgspec.msgpack.Decoder().decode


def decode_envelope(value: bytes) -> Envelope:
    """Read what `encode_envelope` wrote."""
    return _decode(value)


def make_envelope(change: Publish, id: str, now: float, asked: Encoding = Encoding.MSGPACK) -> Envelope:
    """The envelope of a new event.

    Args:
        asked: how its publisher wrote it; so it is kept, since JSON has no bytes and only text for keys, and whoever
            reads it as a type has to know.

    Raises:
        errors.BadRequest: a part of it is malformed.
        errors.PayloadTooLarge: the payload is larger than an entry can be.
    """
    check_topic(change.topic)
    _check_text("key", change.key)
    _check_text("deduplication_id", change.deduplication_id)
    if not 0 <= change.delay <= MAX_DELAY:
        raise errors.BadRequest(f"delay: expected 0 to {MAX_DELAY:.0f} seconds, got {change.delay:g}")
    if sum(len(name.encode()) + len(value.encode()) for name, value in change.metadata.items()) > MAX_METADATA_BYTES:
        raise errors.PayloadTooLarge(f"metadata: more than {MAX_METADATA_BYTES} bytes; it is for short texts")
    return Envelope(
        _VERSION,
        id,
        now if change.timestamp is None else change.timestamp,
        change.key,
        change.metadata,
        encode_payload(change.payload, asked),
        json=asked is Encoding.JSON,
    )


def encode_payload(payload: Any, asked: Encoding) -> bytes:
    """A payload as it is kept.

    Raises:
        errors.PayloadTooLarge: it is larger than an entry can be.
    """
    raw = encode_json(payload) if asked is Encoding.JSON else encode_msgpack(payload)
    if len(raw) > MAX_PAYLOAD_BYTES:
        raise errors.PayloadTooLarge(
            f"payload: {len(raw)} bytes, and an event has at most {MAX_PAYLOAD_BYTES}; "
            "put what is larger into a blob of the store, and its name into the event"
        )
    return raw


def decode_payload(envelope: Envelope) -> Any:
    """The payload as plain Python values."""
    return msgspec.json.decode(envelope.payload) if envelope.json else _decode_any(envelope.payload)


def as_event(topic: str, entry: Entry) -> Event[Any]:
    """An entry, as it is read."""
    envelope = _decode(entry.value)
    return Event(
        id=envelope.id,
        topic=topic,
        position=entry.position,
        payload=decode_payload(envelope),
        key=envelope.key,
        metadata=envelope.metadata,
        timestamp=envelope.timestamp,
        published=entry.at,
    )


def _check_text(what: str, text: str) -> None:
    if len(text.encode("utf-8", "surrogatepass")) > MAX_TEXT:
        raise errors.BadRequest(f"{what}: at most {MAX_TEXT} bytes")
