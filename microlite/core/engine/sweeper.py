"""Takes trimmed entries off the disk, a slice at a time. On the writer thread, between groups."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import msgspec

from microlite.core.engine.queries import queries
from microlite.core.engine.slices import fitting_rows
from microlite.core.engine.streams import position_of, row_of

if TYPE_CHECKING:
    import apsw

    from microlite.core.engine.usage import Totals

SLICE_BYTES: Final = 2 << 20
"""Bytes of values after which a slice takes no further entry."""

_FIRST_ROWS: Final = 256


class Sweeper:
    """Finds a stream with trimmed entries on the disk, and removes a slice of them."""

    def __init__(self) -> None:
        self._sql = queries()
        self._rows = _FIRST_ROWS

    def run_slice(self, connection: apsw.Connection, totals: Totals) -> bool:
        """Remove what fits into one slice; say whether there was anything. Raises `apsw.Error`."""
        found = connection.execute(self._sql["stream_to_sweep"]).get
        if found is None:
            return False
        stream, swept, first, namespace = found
        # Processor time, since waiting for the disk is not made shorter by fewer rows.
        began = time.thread_time()
        connection.execute("BEGIN IMMEDIATE")
        done, size = self._remove(connection, stream, swept, first)
        connection.execute(self._sql["swept"], (stream, done))
        less = {namespace: (0, -size)}
        totals.write(connection, less)
        connection.execute("COMMIT")
        totals.apply(less)
        if done - swept >= self._rows - 1:
            self._rows = fitting_rows(self._rows, time.thread_time() - began)
        return True

    def _remove(self, connection: apsw.Connection, stream: int, swept: int, first: int) -> tuple[int, int]:
        """Remove entries from `swept` on, before `first`; return up to where it came, and the bytes of their values."""
        # The one before `swept` may have been left for being the last, and no longer is.
        begin = swept - 1
        listed = connection.execute(
            self._sql["entries_to_sweep"], (row_of(stream, begin), row_of(stream, first), self._rows)
        ).get
        last = connection.execute(self._sql["stream_head"], (stream,)).get[2]
        through, size = begin, 0
        for row, length in msgspec.json.decode(listed, type=list[tuple[int, int]]):
            if size and size + length > SLICE_BYTES:
                break
            size += length
            through = position_of(row)
        if row_of(stream, through) == last:
            connection.execute(self._sql["empty_entry"], (last,))
            through -= 1
            connection.execute(self._sql["sweep_entries"], (row_of(stream, begin), row_of(stream, through)))
            return through + 2, size
        connection.execute(self._sql["sweep_entries"], (row_of(stream, begin), row_of(stream, through)))
        return through + 1, size
