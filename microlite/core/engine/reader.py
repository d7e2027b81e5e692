"""Reads on one connection, each as of one moment."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import apsw
import msgspec

from microlite.core import errors
from microlite.core.engine.api import MAX_PAGE_BYTES, Change, ChangeKind, Page, Record
from microlite.core.engine.connection import MOST_LOG_GROWTH, open_reader, size_of
from microlite.core.engine.integrity import Health, find_problems
from microlite.core.engine.ledger import DELETE, PUT
from microlite.core.engine.queries import queries

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from microlite.core.engine.ranges import KeyRange


_PROGRESS_STEPS = 100_000  # of SQLite's machine, between two looks at the log

_NO_CHANGE = (0, 0, 0.0)
"""Position, revision and time of the last change, while there is none."""


class Point(NamedTuple):
    """A place in the log of changes: behind one of them, or behind all of a revision when `position` is 0."""

    revision: int
    position: int = 0


class History(msgspec.Struct, frozen=True, gc=False):
    """A page of what happened in a bucket.

    Attributes:
        revision: where the database stood.
        lost: the log does not reach back to where the page should begin; there are no changes then.
        changes: in order; of each key at least the latest.
        point: the page ends here.
        complete: there was nothing behind it.
    """

    revision: int
    lost: bool = False
    changes: tuple[Change, ...] = ()
    point: Point = Point(0)
    complete: bool = True


class Numbers:
    """Numbers of buckets and streams by (namespace, name), as far as they are known. None ever changes its number."""

    def __init__(self) -> None:
        self.buckets: dict[tuple[str, str], int] = {}
        self.streams: dict[tuple[str, str], int] = {}


class Reader:
    """Reads, blocking. One thread at a time uses it; opening is put off to the first read.

    Args:
        numbers: shared among readers.
    """

    def __init__(self, path: str, vfs: str | None, numbers: Numbers) -> None:
        self._path = path
        self._vfs = vfs
        self._numbers = numbers
        self._sql = queries()
        self._connection: apsw.Connection | None = None

    def open(self) -> apsw.Connection:
        """Connect, unless it is done. Raises `apsw.Error`."""
        if self._connection is None:
            self._connection = open_reader(self._path, self._vfs)
        return self._connection

    def close(self) -> None:
        """Disconnect; a second time does nothing."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def interrupt(self) -> None:
        """Make the read that is under way end with `apsw.InterruptError`; from any thread."""
        if self._connection is not None:
            self._connection.interrupt()

    def bucket(self, namespace: str, name: str) -> int:
        """The number of a bucket; 0, which no record has, where there is none yet."""
        return self._number(self._numbers.buckets, "bucket_id", namespace, name)

    def stream(self, namespace: str, name: str) -> int:
        """The number of a stream; 0, which no entry has, where there is none yet."""
        return self._number(self._numbers.streams, "stream_id", namespace, name)

    def get(self, namespace: str, bucket: str, key: str, now: float) -> Record | None:
        """One record, if it is alive at `now`."""
        row: Any = self.open().execute(self._sql["get"], (self.bucket(namespace, bucket), key)).get
        if row is None:
            return None
        revision, expires_at, value = row
        if expires_at is not None and expires_at <= now:
            return None
        return Record(key, value, revision, expires_at)

    def get_many(self, namespace: str, bucket: str, keys: Sequence[str], now: float) -> tuple[Record | None, ...]:
        """Records in the order of the keys."""
        wanted = msgspec.json.encode(keys).decode()
        cursor = self.open().execute(self._sql["get_many"], (self.bucket(namespace, bucket), wanted, now))
        found: dict[str, Record] = {}
        size = 0
        for key, revision, expires_at, value in cursor:
            found[key] = Record(key, value, revision, expires_at)
            size += len(value)
            if size > MAX_PAGE_BYTES:
                cursor.close(force=True)
                raise errors.PayloadTooLarge(f"the values are more than {MAX_PAGE_BYTES} bytes: ask for fewer keys")
        return tuple(found.get(key) for key in keys)

    def scan(
        self,
        namespace: str,
        bucket: str,
        within: KeyRange,
        now: float,
        *,
        suffix: str = "",
        limit: int,
        reverse: bool = False,
        keys_only: bool = False,
        most_bytes: int = MAX_PAGE_BYTES,
        revision: int = 0,
    ) -> Page:
        """At most `limit` records, and at least one if there is one; `revision` is that of the page."""
        statement = self._sql["scan_back" if reverse else "scan"]
        cursor = self.open().execute(
            statement, (self.bucket(namespace, bucket), within.lower, within.upper, now, suffix, keys_only)
        )
        records: list[Record] = []
        size = 0
        more = False
        for key, written, expires_at, value in cursor:
            size += len(value)
            if len(records) == limit or (size > most_bytes and records):
                more = True
                cursor.close(force=True)
                break
            records.append(Record(key, value, written, expires_at))
        return Page(tuple(records), records[-1].key if more else None, revision)

    def count(self, namespace: str, bucket: str, within: KeyRange, now: float, *, suffix: str, most: int) -> int:
        """How many records there are, or `most` if there are more."""
        number = self.bucket(namespace, bucket)
        found: int = self.open().execute(self._sql["count"], (number, *within, now, suffix, most)).get
        return found

    def state(self, namespace: str, bucket: str, within: KeyRange, now: float, *, limit: int, most_bytes: int) -> Page:
        """As `scan`, with the revision at which the database stood at the moment of the read."""
        with self.moment() as connection:
            _, revision, _ = connection.execute(self._sql["last_change"]).get or _NO_CHANGE
            return self.scan(namespace, bucket, within, now, limit=limit, most_bytes=most_bytes, revision=revision)

    def history(
        self, namespace: str, bucket: str, within: KeyRange, after: Point, *, limit: int, most_bytes: int
    ) -> History:
        """What happened to some keys of a bucket behind a point of the log."""
        with self.moment() as connection:
            first, oldest, _ = connection.execute(self._sql["first_change"]).get or _NO_CHANGE
            last, revision, _ = connection.execute(self._sql["last_change"]).get or _NO_CHANGE
            # Of the oldest revision, the log may have forgotten a part.
            forgotten = after.position < first - 1 if after.position else first > 1 and after.revision < oldest
            if forgotten or after.revision > revision:
                return History(revision, lost=True)
            position = after.position or self._position(connection, after.revision, first, last)
            number = self.bucket(namespace, bucket)
            cursor = connection.execute(self._sql["changes_after"], (position, number, *within))
            changes: list[Change] = []
            point = Point(revision, last)
            size = 0
            for place, changed, kind, key, written, expires_at, value in cursor:
                if len(changes) == limit or size > most_bytes:
                    cursor.close(force=True)
                    return History(revision, changes=tuple(changes), point=point, complete=False)
                point = Point(changed, place)
                change = _change(kind, key, changed, written, expires_at, value)
                if change is not None:
                    changes.append(change)
                    size += len(change.value)
            return History(revision, changes=tuple(changes), point=Point(revision, last))

    def _position(self, connection: apsw.Connection, revision: int, first: int, last: int) -> int:
        """The last position of the log with at most a revision; both grow together, so halving the log finds it."""
        low, high = first - 1, last
        while low < high:
            middle = (low + high + 1) // 2
            at_middle: int = connection.execute(self._sql["revision_at"], (middle,)).get
            low, high = (middle, high) if at_middle <= revision else (low, middle - 1)
        return low

    @contextlib.contextmanager
    def moment(self) -> Iterator[apsw.Connection]:
        """Let several statements see one moment."""
        connection = self.open()
        connection.execute("BEGIN")
        try:
            yield connection
        finally:
            connection.execute("ROLLBACK")

    def buckets(self, namespace: str, now: float) -> tuple[str, ...]:
        """The names of the buckets that hold a record."""
        return tuple(name for (name,) in self.open().execute(self._sql["list_buckets"], (namespace, now)))

    def health(self, *, full: bool) -> Health:
        """What a look through the whole file finds; see `find_problems`.

        Raises:
            errors.ServiceUnavailable: so much was written meanwhile that the write-ahead log grew beyond its bound.
        """
        log = Path(f"{self._path}-wal")
        grown_from = size_of(log)
        with self.moment() as connection:
            connection.set_progress_handler(lambda: size_of(log) - grown_from > MOST_LOG_GROWTH, _PROGRESS_STEPS)
            try:
                return self._health(connection, full=full)
            except apsw.InterruptError as error:
                if size_of(log) - grown_from > MOST_LOG_GROWTH:
                    raise errors.ServiceUnavailable(
                        "the look through the database was given up: too much was written meanwhile; "
                        "try again when less is written"
                    ) from error
                raise
            finally:
                connection.set_progress_handler(None)

    def _health(self, connection: apsw.Connection, *, full: bool) -> Health:
        _, revision, _ = connection.execute(self._sql["last_change"]).get or _NO_CHANGE
        page = int(connection.pragma("page_size"))
        try:
            problems = find_problems(connection, full=full)
        except apsw.CorruptError as error:
            problems = [str(error)]
        return Health(
            problems=tuple(problems),
            size=int(connection.pragma("page_count")) * page,
            free=int(connection.pragma("freelist_count")) * page,
            version=int(connection.pragma("user_version")),
            revision=revision,
        )

    def _number(self, known: dict[tuple[str, str], int], query: str, namespace: str, name: str) -> int:
        number = known.get((namespace, name))
        if number is None:
            number = self.open().execute(self._sql[query], (namespace, name)).get
            if number is None:
                return 0
            known[namespace, name] = number
        return number


def _change(
    kind: int, key: str, revision: int, written: int | None, expires_at: float | None, value: bytes | None
) -> Change | None:
    """A row of the log as a change; none for one that a later row of the same key replaces."""
    if kind != PUT:
        return (
            Change(ChangeKind.DELETE if kind == DELETE else ChangeKind.EXPIRE, key, revision) if not written else None
        )
    if written != revision or value is None:
        return None
    return Change(ChangeKind.PUT, key, revision, value, expires_at)
