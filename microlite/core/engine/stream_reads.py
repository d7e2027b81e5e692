"""Reads of streams on one connection, each as of one moment. They take a few look-ups, but for `read`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microlite.core.engine.api import Entries, Entry, StreamState
from microlite.core.engine.queries import queries
from microlite.core.engine.streams import MAX_POSITION, position_of, row_of

if TYPE_CHECKING:
    from microlite.core.engine.reader import Reader


def read(
    reader: Reader, namespace: str, stream: str, *, after: int, limit: int, reverse: bool, most_bytes: int
) -> Entries:
    """At most `limit` entries, and at least one if there is one."""
    sql = queries()
    if reverse:
        statement, bound = sql["read_entries_back"], min(after, MAX_POSITION) or MAX_POSITION + 1
    else:
        statement, bound = sql["read_entries"], min(after, MAX_POSITION)
    cursor = reader.open().execute(statement, (reader.stream(namespace, stream), bound, limit))
    entries: list[Entry] = []
    size = 0
    for row, at, value in cursor:
        size += len(value)
        if size > most_bytes and entries:
            cursor.close(force=True)
            return Entries(tuple(entries), more=True)
        entries.append(Entry(position_of(row), at, value))
    return Entries(tuple(entries), more=False)


def state(reader: Reader, namespace: str, stream: str) -> StreamState:
    """Where a stream stands."""
    found = reader.open().execute(queries()["stream_state"], (reader.stream(namespace, stream),)).get
    if found is None or found[1] is None:
        return StreamState(first=1, last=0, count=0, size=0)
    first, row, size = found
    last = position_of(row)
    return StreamState(first, last, last - first + 1, size)


def find_position(reader: Reader, namespace: str, stream: str, at: float) -> int:
    """The last position before a time, or that before the first entry; times never fall, so halving finds it."""
    statement = queries()["entry_time"]
    number = reader.stream(namespace, stream)
    with reader.moment() as connection:
        now = state(reader, namespace, stream)
        low, high = now.first - 1, now.last
        while low < high:
            middle = (low + high + 1) // 2
            at_middle: float = connection.execute(statement, (row_of(number, middle),)).get
            low, high = (middle, high) if at_middle < at else (low, middle - 1)
    return low


def find_size_position(reader: Reader, namespace: str, stream: str, size: int) -> int:
    """The lowest position behind which there are at most `size` bytes; sums never fall, so halving finds it."""
    statement = queries()["entry_total"]
    number = reader.stream(namespace, stream)
    with reader.moment() as connection:
        now = state(reader, namespace, stream)
        if now.size <= size:
            return now.first - 1
        most: int = connection.execute(statement, (row_of(number, now.last),)).get - size
        low, high = now.first, now.last
        while low < high:
            middle = (low + high) // 2
            total: int = connection.execute(statement, (row_of(number, middle),)).get
            low, high = (low, middle) if total >= most else (middle + 1, high)
    return low


def streams(reader: Reader, namespace: str) -> tuple[str, ...]:
    """The names of the streams of a namespace."""
    return tuple(name for (name,) in reader.open().execute(queries()["list_streams"], (namespace,)))
