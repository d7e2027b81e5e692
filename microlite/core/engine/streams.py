"""Streams as the writer sees them: where each stands, and what a group adds to them or trims. Pure, but for `Shelf`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from microlite.core.engine.queries import queries

if TYPE_CHECKING:
    import apsw

POSITION_BITS: Final = 40
"""Of a row number of `entries`; those above them are the stream's number."""

MAX_POSITION: Final = (1 << POSITION_BITS) - 1
"""More than any stream will hold: a million entries a second for twelve days."""

MOST_STREAMS: Final = 1 << (63 - POSITION_BITS)
"""Streams that one database can have."""

_MOST_HEADS: Final = 65_536  # streams of which the writer knows by heart where they stand


def row_of(stream: int, position: int) -> int:
    """The row number of an entry."""
    return stream << POSITION_BITS | position


def position_of(row: int) -> int:
    """The position that a row number holds."""
    return row & MAX_POSITION


class Head(msgspec.Struct, frozen=True, gc=False):
    """Where a stream stands.

    Attributes:
        last: the highest position given out.
        total: bytes of all values that were ever in it.
        at: the time of the last entry.
        first: the entries before this position are trimmed.
        dropped: the stream is not listed until its next entry.
    """

    last: int = 0
    total: int = 0
    at: float = 0.0
    first: int = 1
    dropped: bool = False

    def trimmed(self, through: int, *, drop: bool) -> Head:
        """The head without the entries up to a position."""
        first = max(self.first, min(through, self.last) + 1)
        return msgspec.structs.replace(self, first=first, dropped=(self.dropped or drop) and self.last > 0)


class Trim(msgspec.Struct, frozen=True, gc=False):
    """Remove the entries of a stream up to a position; with `drop`, all of them, and its name."""

    stream: str
    through: int
    drop: bool = False


class Additions:
    """What a group leaves behind in streams.

    Args:
        heads: where the streams of the group stand on disk.
        now: seconds since the Unix epoch.
    """

    def __init__(self, heads: dict[int, Head], now: float) -> None:
        self.heads = heads
        """Where they stand afterwards."""
        self.rows: list[tuple[int, float, int, bytes]] = []
        """New rows of `entries`."""
        self.moved: set[int] = set()
        """Streams whose beginning moved, or that came back after they were dropped."""
        self._now = now

    def append(self, stream: int, value: bytes) -> int:
        """Add an entry; return its position."""
        head = self.heads[stream]
        position, total, at = head.last + 1, head.total + len(value), max(head.at, self._now)
        if head.dropped:
            self.moved.add(stream)
        self.heads[stream] = Head(position, total, at, head.first)
        self.rows.append((row_of(stream, position), at, total, value))
        return position

    def trim(self, stream: int, trim: Trim) -> None:
        """Move the beginning of a stream."""
        head = self.heads[stream]
        after = head.trimmed(head.last if trim.drop else trim.through, drop=trim.drop)
        if after != head:
            self.heads[stream] = after
            self.moved.add(stream)


class Shelf:
    """The numbers of streams and their heads, remembered from commit to commit. It belongs to the writer thread."""

    def __init__(self) -> None:
        self._sql = queries()
        self._numbers: dict[tuple[str, str], int] = {}
        self._heads: dict[int, Head] = {}

    def forget(self) -> None:
        """Read everything anew from here on."""
        self._numbers.clear()
        self._heads.clear()

    def number(self, connection: apsw.Connection, namespace: str, name: str, *, create: bool) -> int:
        """The number of a stream; 0 where there is none, unless it is to be created."""
        known = self._numbers.get((namespace, name))
        if known is not None:
            return known
        number: int | None = connection.execute(self._sql["stream_id"], (namespace, name)).get
        if number is None:
            if not create:
                return 0
            number = connection.execute(self._sql["add_stream"], (namespace, name)).get
            assert number is not None
            assert number < MOST_STREAMS, "row numbers have room for no more streams"
        self._numbers[namespace, name] = number
        return number

    def heads(self, connection: apsw.Connection, streams: set[int]) -> dict[int, Head]:
        """Where some streams stand."""
        return {stream: self._heads.get(stream) or self._read(connection, stream) for stream in streams}

    def remember(self, heads: dict[int, Head]) -> None:
        """Take note of what was committed."""
        if len(self._heads) + len(heads) > _MOST_HEADS:
            self.forget()
        self._heads.update(heads)

    def _read(self, connection: apsw.Connection, stream: int) -> Head:
        first, dropped, row, at, total = connection.execute(self._sql["stream_head"], (stream,)).get
        if row is None:
            return Head(first=first, dropped=bool(dropped))
        return Head(position_of(row), total, at, first, bool(dropped))
