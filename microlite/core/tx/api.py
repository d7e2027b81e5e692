"""The contract of the built-in service `tx`."""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec

from microlite.core import errors
from microlite.core.config import api as config
from microlite.core.events import api as events
from microlite.core.schedules import api as schedules
from microlite.core.store import api as store
from microlite.core.store import blob_api as blobs

MAX_OPERATIONS: Final = 1_000
"""Most operations of one transaction."""

MAX_BYTES: Final = 8 << 20
"""Most bytes that the values of one transaction may have together."""

MAX_ID_BYTES: Final = 128
"""Longest id of a transaction, in bytes of UTF-8."""

KEPT: Final = 86_400.0
"""Seconds for which the outcome of a transaction is kept under its id, unless it says otherwise."""

MIN_KEPT: Final = 60.0
MAX_KEPT: Final = 30 * 86_400.0


class StoreWrite(store.Write, frozen=True, kw_only=True, tag_field="op", tag="store.write"):
    """Store a value under a key.

    Attributes:
        key: of the record.
        value: any value.
        table: of the record; empty for the default one.
        database: of the table; empty for that of the calling service, `default` for anybody else.
        ttl: seconds after which the record goes by itself.
        expires_at: the same as a time, in seconds since the Unix epoch.
        expect: what must hold of the record that is there now: its exact revision, `absent` or `present`.
        encoding: how `value` is written: `plain`, or where JSON has no such value, `base64` or `msgpack`.
    """


class StoreDelete(store.Delete, frozen=True, kw_only=True, tag_field="op", tag="store.delete"):
    """Remove a record. One that is not there is no error, unless something is expected.

    Attributes:
        key: of the record.
        table: of the record; empty for the default one.
        database: of the table; empty for that of the calling service, `default` for anybody else.
        expect: what must hold of the record: its exact revision, or `present`.
    """


class StoreExpect(store.Expect, frozen=True, kw_only=True, tag_field="op", tag="store.expect"):
    """Change nothing, but let nothing of the transaction take place unless a record is as it was read.

    Attributes:
        key: of the record.
        expect: its exact revision, `absent` or `present`.
        table: of the record; empty for the default one.
        database: of the table; empty for that of the calling service, `default` for anybody else.
    """


class BlobPublish(blobs.PublishBlob, frozen=True, kw_only=True, tag_field="op", tag="store.blobs.publish"):
    """Make a staged upload the blob of a name, in place of whatever had it.

    Attributes:
        upload: its id, from staging.
        name: of the blob.
        ttl: seconds after which it goes by itself.
        expires_at: the same as a time, in seconds since the Unix epoch.
        metadata: what to say about it.
        expect: what must hold of the blob that has the name now: its exact revision, `absent` or `present`.
        database: whose blob it is; empty for the caller's own.
    """


class BlobDelete(blobs.DeleteBlob, frozen=True, kw_only=True, tag_field="op", tag="store.blobs.delete"):
    """Remove a blob. One that is not there is no error, unless something is expected.

    Attributes:
        name: of the blob.
        expect: what must hold of it: its exact revision, or `present`.
        database: whose blob it is; empty for the caller's own.
    """


class EventsPublish(events.Publish, frozen=True, kw_only=True, tag_field="op", tag="events.publish"):
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


class EventsAck(events.Ack, frozen=True, kw_only=True, tag_field="op", tag="events.ack"):
    """Settle a delivery for good, together with what was done for it: so its effects happen exactly once.

    Attributes:
        delivery: the id of the delivery, as the event carries it.
    """


class ConfigSet(config.Set, frozen=True, kw_only=True, tag_field="op", tag="config.set"):
    """Merge a value into the configuration at a path.

    Attributes:
        path: dotted, as in `limits.max`; empty for the whole configuration.
        value: a table is merged leaf by leaf; anything else, also a list, takes the place of what is there.
        secret: whether to keep its leaves encrypted.
    """


class ConfigUnset(config.Unset, frozen=True, kw_only=True, tag_field="op", tag="config.unset"):
    """Take back what was set at a path, and all below it.

    Attributes:
        path: dotted; empty for the whole configuration.
    """


class SchedulesAdd(schedules.Add, frozen=True, kw_only=True, tag_field="op", tag="schedules.add"):
    """Call an endpoint later, once or again and again. Exactly one of `every`, `cron`, `delay` and `at` says when.

    Attributes:
        target: what is called, `orders.expire`.
        request: the fields of the call.
        id: its name: letters, digits, `_` and `-`; without one it gets a new one.
        every: seconds between two runs.
        cron: five fields.
        zone: the time zone of `cron`.
        delay: seconds from now until the one call.
        at: when the one call is, in seconds since the Unix epoch.
        missed: what becomes of due times that passed while nothing could run them.
        overlap: what happens when the run before has not ended.
        timeout: seconds that a run may take.
        retries: how often a run that failed is tried again.
        backoff: seconds before the first such try; each next one waits twice as long.
        replace: whether a schedule of this name gives way; without it that is a conflict.
    """


class SchedulesCancel(schedules.Cancel, frozen=True, kw_only=True, tag_field="op", tag="schedules.cancel"):
    """Remove a schedule, or a single call that was not made yet.

    Attributes:
        id: its name.
        required: whether it is an error that there is none.
    """


Operation: TypeAlias = (
    StoreWrite
    | StoreDelete
    | StoreExpect
    | BlobPublish
    | BlobDelete
    | EventsPublish
    | EventsAck
    | ConfigSet
    | ConfigUnset
    | SchedulesAdd
    | SchedulesCancel
)
"""One part of a transaction, told apart by `op`: the path of the endpoint that does the same by itself."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """A transaction that took place: all of it is on disk.

    Attributes:
        revision: of its commit, and so of each record that it wrote.
        published: what became of each `events.publish`, in their order.
        id: that of the transaction; empty where it had none.
        repeated: whether it had taken place before: then this is what came of it, and nothing was changed now.
    """

    revision: int
    published: tuple[events.Published, ...] = ()
    id: str = ""
    repeated: bool = False


def check_id(id: str) -> str:
    """The id, if a transaction can have it.

    Raises:
        errors.BadRequest: it cannot.
    """
    if len(id.encode("utf-8", "surrogatepass")) > MAX_ID_BYTES or not id.isprintable():
        raise errors.BadRequest(
            f"id: {id[:60]!r} is no id of a transaction: use at most {MAX_ID_BYTES} bytes of printable text"
        )
    return id
