"""The engine's verbs, and the frozen structs that travel through them.

A *record* is bytes under (namespace, bucket, key). Each commit that changes something gets a *revision*, and the records
that it wrote carry it. Revisions of one namespace grow with time; they are not dense, and those of two namespaces say
nothing about each other. Nothing here hands out SQL, row numbers or file names, so that another store can carry it.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final, Protocol, Self

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

MAX_KEY_BYTES: Final = 512
"""Longest key, in bytes of UTF-8."""

MAX_NAME_BYTES: Final = 128
"""Longest name of a namespace or bucket, in bytes of UTF-8."""

MAX_VALUE_BYTES: Final = 1 << 20
"""Largest value of a record."""

MAX_BATCH_OPERATIONS: Final = 1_000
"""Most operations in one batch."""

MAX_BATCH_BYTES: Final = 8 << 20
"""Most bytes that the values of one batch may have together."""

MAX_SCAN_LIMIT: Final = 1_000
"""Most records on one page of a scan, and most keys in one `get_many`."""

MAX_PAGE_BYTES: Final = 8 << 20
"""Most bytes that the values of one page or one `get_many` may have together."""


class Record(msgspec.Struct, frozen=True, gc=False):
    """What is stored under a key.

    Attributes:
        revision: that of the commit which wrote it; the expectation for a compare-and-set.
        expires_at: seconds since the Unix epoch from which on the record is gone, if it ever goes by itself.
    """

    key: str
    value: bytes
    revision: int
    expires_at: float | None = None


class Page(msgspec.Struct, frozen=True, gc=False):
    """One page of a scan.

    Attributes:
        records: in the order of their keys (by code point), or against it; values are empty in a scan for keys.
        cursor: what to pass as `after` for the next page; none when this was the last. A page may hold fewer records
            than its limit and still have a cursor: only the cursor says whether there is more.
        revision: the page has at least all that was committed up to here. A watch from this revision misses nothing.
    """

    records: tuple[Record, ...]
    cursor: str | None
    revision: int


class Presence(enum.Enum):
    """What a precondition may ask for other than an exact revision."""

    ABSENT = "absent"
    PRESENT = "present"


Expectation = int | Presence | None
"""A precondition on a key: its exact revision, its presence, or none."""


class Put(msgspec.Struct, frozen=True, gc=False):
    """Store a value under a key, whatever was there, unless `expect` says what must have been there.

    Attributes:
        expires_at: seconds since the Unix epoch, by the engine's clock. Reads are exact about it here; an engine may
            round it up to the next whole second. A put without it makes the record stay.
    """

    bucket: str
    key: str
    value: bytes
    expires_at: float | None = None
    expect: Expectation = None


class Delete(msgspec.Struct, frozen=True, gc=False):
    """Remove a key. One that is not there is no error and no change, unless `expect` says otherwise."""

    bucket: str
    key: str
    expect: Expectation = None


class Check(msgspec.Struct, frozen=True, gc=False):
    """Change nothing, but refuse the batch unless the key is as expected: for what a transaction has only read."""

    bucket: str
    key: str
    expect: int | Presence


class Append(msgspec.Struct, frozen=True, gc=False):
    """Add an entry at the end of a stream. The first makes the stream; several in one batch stay in their order."""

    stream: str
    value: bytes


Operation = Put | Delete | Check | Append


class Batch(msgspec.Struct, frozen=True, gc=False):
    """Operations that happen together or not at all, in one namespace; each key stands in it at most once.

    Attributes:
        within_quota: whether it is refused when its namespace holds more than its quota afterwards, and more than before.
            What a user adds is; what the platform notes down about it, an acknowledgement say, is not.
    """

    namespace: str
    operations: tuple[Operation, ...]
    within_quota: bool = False


class Usage(msgspec.Struct, frozen=True, gc=False):
    """What a namespace holds on disk, as of the last commit.

    Attributes:
        records: among them those whose time has come and that were not removed yet.
        bytes: of the values of records, and of the entries of streams that are not swept.
    """

    records: int = 0
    bytes: int = 0


class Quota(msgspec.Struct, frozen=True, gc=False):
    """What a namespace may hold at most; None for any number."""

    records: int | None = None
    bytes: int | None = None


class Committed(msgspec.Struct, frozen=True, gc=False):
    """What became of a batch.

    Attributes:
        revision: its own, or that of the last commit before it when it changed nothing.
        positions: those of the entries that it appended, in their order in the batch.
    """

    revision: int
    positions: tuple[int, ...] = ()


class ChangeKind(enum.Enum):
    """What happened to a key."""

    PUT = "put"
    DELETE = "delete"
    EXPIRE = "expire"


class Change(msgspec.Struct, frozen=True, gc=False):
    """One key changed.

    Attributes:
        value: the new value of a put, else empty.
        expires_at: that of the put record.
    """

    kind: ChangeKind
    key: str
    revision: int
    value: bytes = b""
    expires_at: float | None = None


class Resync(msgspec.Struct, frozen=True, gc=False):
    """The changes since some revision are not to be had, so here is the state itself.

    Small states come in one part (`first` and `last`), large ones in several, one after the other: forget all keys at the
    first, add the records of each. What changed while the parts were read follows as changes after the last, and may
    repeat what a part held already.

    Attributes:
        revision: all parts together, and the changes that follow, are the state from this revision on.
        records: in the order of their keys.
        first: whether what the watcher knew so far is void.
        last: whether the state is complete now.
    """

    revision: int
    records: tuple[Record, ...]
    first: bool = True
    last: bool = True


class Watch(Protocol):
    """Changes of a bucket as they happen: an async context manager, and an async iterator without an end.

    Changes come in the order of their revisions, at most once each. Who reads slowly is not waited for: the queue is
    bounded, and when it is full, what was in it gives way to one `Resync`. One task reads a watch.

    Raises:
        errors.ServiceUnavailable: while iterating, when the engine closes. Watch again from `revision`.
    """

    @property
    def revision(self) -> int:
        """Where to watch from later to go on behind what was handed out: nothing is missed then.

        It is behind the last change's own revision while others of the same commit are still to come.
        """
        ...

    async def __aenter__(self) -> Self:
        """Begin: what is committed from now on is seen."""
        ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End; a second time does nothing."""
        ...

    def __aiter__(self) -> Self:
        """The watch itself."""
        ...

    async def __anext__(self) -> Change | Resync:
        """Wait for the next change, or for the state when the changes are not to be had."""
        ...


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One entry of a stream.

    Attributes:
        position: its place: from 1, growing with the order of the commits, never given out twice, also when all entries
            were trimmed. An engine may leave gaps.
        at: when it was committed, in seconds since the Unix epoch by the engine's clock; never falls within a stream.
    """

    position: int
    at: float
    value: bytes


class Entries(msgspec.Struct, frozen=True, gc=False):
    """One page of a stream.

    Attributes:
        entries: in the order of their positions, or against it. Fewer than the limit, or none, says that there is no more
            for now, unless `more` does not.
        more: whether the page ended for its size before the limit and before the end of the stream.
    """

    entries: tuple[Entry, ...]
    more: bool


class StreamState(msgspec.Struct, frozen=True, gc=False):
    """Where a stream stands.

    Attributes:
        first: the position of the oldest entry that is left; `last + 1` when none is.
        last: the highest position that was ever given out; 0 for a stream that never was.
        count: how many entries are left.
        size: bytes of their values together.
    """

    first: int
    last: int
    count: int
    size: int


class Tail(Protocol):
    """Wakes who waits for entries: an async context manager. It holds no entries, so it needs no bound."""

    async def __aenter__(self) -> Self:
        """Begin: what is committed from now on is noticed."""
        ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End; a second time does nothing."""
        ...

    async def moved(self, after: int) -> int:
        """Return the last position of the stream as soon as it is above `after`; at once when it is already.

        Raises:
            errors.ServiceUnavailable: when the engine closes.
        """
        ...


class StreamVerbs(Protocol):
    """Append-only streams. Entries come in by `Append` in a batch, so that they join records in one commit."""

    async def read(
        self, namespace: str, stream: str, *, after: int = 0, limit: int = 100, reverse: bool = False
    ) -> Entries:
        """Entries behind a position, or, when `reverse`, before it (0: from the end).

        Args:
            limit: 1 to `MAX_SCAN_LIMIT`.
        """
        ...

    async def find_position(self, namespace: str, stream: str, at: float) -> int:
        """The position behind which all entries are as old as `at` or younger: what to pass as `after`.

        Costs a search in the stream, not a scan.
        """
        ...

    async def find_size_position(self, namespace: str, stream: str, size: int) -> int:
        """The lowest position behind which the values have at most `size` bytes together: up to where to trim.

        Costs a search in the stream, not a scan. Where nothing is too much it is the position before the first entry.

        Args:
            size: 0 or more.
        """
        ...

    async def stream_state(self, namespace: str, stream: str) -> StreamState:
        """Where a stream stands. Costs the same for a long one as for a short one."""
        ...

    async def backlog(self, namespace: str, stream: str, after: int) -> int:
        """How many entries there are behind a position."""
        ...

    async def streams(self, namespace: str) -> tuple[str, ...]:
        """The names of the streams that were ever written to, in order, unless they were dropped."""
        ...

    async def trim(self, namespace: str, stream: str, through: int) -> None:
        """Remove all entries up to a position, and that one too.

        They are gone for reads when this returns; the disk follows in slices while nobody writes.
        """
        ...

    async def drop_stream(self, namespace: str, stream: str) -> None:
        """Remove a stream with all its entries. One of that name that comes later goes on behind its last position."""
        ...

    def tail(
        self, namespace: str, stream: str, on_entries: Callable[[int, Sequence[Entry]], None] | None = None
    ) -> Tail:
        """Wait for entries; see `Tail`.

        Args:
            on_entries: called on the event loop, inside the tail's context, with the entries of each commit as soon as it
                is on disk, and before whoever made it goes on. First comes the last position before them: who has read
                as far as there need not read them again. It must be quick.
        """
        ...


class Message(msgspec.Struct, frozen=True, gc=False):
    """One ephemeral message. Nothing of it is on disk."""

    topic: str
    payload: bytes
    headers: dict[str, str] = {}


class Overflow(enum.Enum):
    """What happens when a subscriber does not keep up and its queue is full."""

    DROP_OLDEST = "drop_oldest"
    DROP_NEWEST = "drop_newest"
    DISCONNECT = "disconnect"


class Subscription(Protocol):
    """Messages as they come: an async context manager and iterator without an end, over a bounded queue.

    A member of a queue group that leaves while messages wait for it leaves them to the other members.

    Attributes:
        dropped: how many messages it lost so far for being slow.

    Raises:
        errors.ServiceUnavailable: while iterating, after what waited was handed out: the engine closes, or it was too
            slow under `DISCONNECT`.
    """

    dropped: int

    @property
    def waiting(self) -> int:
        """How many messages wait to be read."""
        ...

    def begin(self) -> None:
        """What is published from now on arrives. Entering does it too; who reads before waits."""
        ...

    def finish(self) -> None:
        """Take nothing more. What waits is still handed out; then the iteration ends."""
        ...

    async def __aenter__(self) -> Self:
        """Begin: what is published from now on arrives."""
        ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End; a second time does nothing."""
        ...

    def __aiter__(self) -> Self:
        """The subscription itself."""
        ...

    async def __anext__(self) -> Message:
        """Wait for the next message."""
        ...


class PubSubVerbs(Protocol):
    """Ephemeral publish/subscribe: who is not there when a message comes never sees it."""

    def publish(self, namespace: str, message: Message) -> int:
        """Hand a message to everybody who is subscribed, and to one of each queue group; return how many took it.

        A queue group is all subscribers that name it, whatever their patterns; the message goes to a member with the
        fewest messages waiting, those in turn.

        Raises:
            errors.BadRequest: the topic is none.
            errors.PayloadTooLarge: the payload has more than `MAX_VALUE_BYTES`.
            errors.ServiceUnavailable: the engine is closed.
        """
        ...

    def subscribe(
        self,
        namespace: str,
        pattern: str,
        *,
        queue: str = "",
        limit: int = 1_000,
        overflow: Overflow = Overflow.DROP_OLDEST,
    ) -> Subscription:
        """Receive messages.

        Args:
            pattern: a topic, words between dots; `*` stands for one word, `>` at the end for one or more.
            queue: the queue group: of all its members one gets each message. Empty for everybody.
            limit: most messages that wait for this subscriber. An engine may have a bound of bytes besides.
            overflow: what happens to more.

        Raises:
            errors.BadRequest: pattern, queue or limit cannot be.
        """
        ...


class Engine(StreamVerbs, PubSubVerbs, Protocol):
    """The verbs over records, and those over streams.

    All raise `errors.BadRequest` for malformed names and keys, and `errors.ServiceUnavailable` when closed.
    A record whose time has come is gone for every verb at once, also before it is removed from the disk.
    """

    async def get(self, namespace: str, bucket: str, key: str) -> Record | None:
        """The record under a key, if there is one."""
        ...

    async def get_many(self, namespace: str, bucket: str, keys: Sequence[str]) -> tuple[Record | None, ...]:
        """The records under several keys, as of one moment, in the order of the keys.

        Raises:
            errors.BadRequest: for more than `MAX_SCAN_LIMIT` keys.
            errors.PayloadTooLarge: when the values are more than `MAX_PAGE_BYTES` together.
        """
        ...

    async def scan(
        self,
        namespace: str,
        bucket: str,
        *,
        prefix: str = "",
        suffix: str = "",
        after: str = "",
        limit: int = 100,
        reverse: bool = False,
        keys_only: bool = False,
    ) -> Page:
        """Records in the order of their keys.

        A prefix is found by the index; a suffix reads every key of the bucket that has the prefix, so alone it costs
        O(bucket), away from the event loop.

        Args:
            after: begin behind this key (before it, when `reverse`), which need not exist; empty for the beginning.
            limit: 1 to `MAX_SCAN_LIMIT`.
            reverse: against the order of the keys.
            keys_only: leave the values away.
        """
        ...

    async def count(self, namespace: str, bucket: str, *, prefix: str = "", suffix: str = "") -> int:
        """How many records there are; costs O(records counted), and O(bucket) with a suffix."""
        ...

    async def buckets(self, namespace: str) -> tuple[str, ...]:
        """The names of the buckets that hold a record, in order."""
        ...

    async def commit(self, batch: Batch) -> Committed:
        """Carry out a batch, wholly or not at all, and return when it is on disk.

        A caller that is cancelled while it waits does not take the batch back.

        Raises:
            errors.BadRequest: a malformed operation, or a key twice.
            errors.PayloadTooLarge: too many operations, too large a value, or too many bytes.
            errors.Conflict: a precondition does not hold; the detail names the key.
            errors.InsufficientStorage: the disk is full, or the quota of the namespace; nothing was changed.
            errors.NotFound: the namespace is being dropped.
            errors.OutcomeUnknown: the disk failed at the last moment; the batch may be there or not.
            errors.ServiceUnavailable: it was not started, and can safely be sent again.
        """
        ...

    def usage(self, namespace: str) -> Usage:
        """What a namespace holds; from memory. It is exact, also after a crash."""
        ...

    def used_namespaces(self) -> tuple[str, ...]:
        """The namespaces that hold anything, in order; from memory."""
        ...

    def set_quota(self, namespace: str, quota: Quota) -> None:
        """Hold the batches that ask for it to a quota, from now on and until the engine closes: it is not kept."""
        ...

    async def drop_namespace(self, namespace: str) -> None:
        """Remove all records and streams of a namespace, and return when they are off the disk.

        It happens in slices between the writes of others; meanwhile commits to the namespace are refused, and `usage` tells
        what is left. Watches see each key expire, then they end, as tails and subscriptions in it do, with
        `errors.ServiceUnavailable`. Streams that come later go on behind the positions of those that were.
        Where the engine closes before it is done, call it again.
        """
        ...

    def watch(self, namespace: str, bucket: str, *, prefix: str = "", from_revision: int | None = None) -> Watch:
        """Changes of the keys with a prefix.

        Args:
            from_revision: none begins with what is committed after entering. A revision begins with all changes after it:
                of each key at least the latest, in order; or with a `Resync` when they are no longer known (deletions are
                remembered for an hour). 0 always begins with a `Resync`: the way to mirror a bucket.
        """
        ...
