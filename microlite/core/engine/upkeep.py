"""What the writer does when nobody waits: expire records, forget changes, sweep streams, give pages back; in slices."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Final

import apsw
import msgspec

from microlite.core.engine.failures import doubtful, translate
from microlite.core.engine.ledger import EXPIRE
from microlite.core.engine.queries import queries
from microlite.core.engine.slices import MOST_ROWS, fitting_rows
from microlite.core.engine.sweeper import SLICE_BYTES, Sweeper

if TYPE_CHECKING:
    from microlite.core.clock import Clock
    from microlite.core.engine.ledger import Ledger
    from microlite.core.engine.usage import Growth

MEMORY_SECONDS: Final = 3_600.0
"""How long the log remembers a change, a deletion's tombstone among them."""

EARLY_SECONDS: Final = 1e-6
"""A float that counts seconds since 1970 is no more exact; so much earlier an expiry's timer may fire."""

_SPARE_PAGES: Final = 2_048  # free pages that stay in the file for what is written next: 8 MiB
_PAGES_AT_ONCE: Final = 64
_STREAMS_AT_ONCE: Final = 64


class Expired(msgspec.Struct, frozen=True, gc=False):
    """Keys of one bucket that have gone by themselves."""

    namespace: str
    bucket: str
    keys: tuple[str, ...]


class Slice(msgspec.Struct, frozen=True):
    """What one slice did.

    Attributes:
        expired: what went, all at `revision`.
        done: nothing is left to do now. What follows is known only then.
        dropped: a namespace of which nothing is left now; empty for none.
        next_expiry: when the next record expires; none if none will.
        next_oldest: the time of the oldest change that can be forgotten, likewise.
    """

    revision: int
    expired: tuple[Expired, ...] = ()
    done: bool = False
    dropped: str = ""
    next_expiry: float | None = None
    next_oldest: float | None = None


class Upkeep:
    """Finds work and does a slice of it. On the writer thread, between groups."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._sql = queries()
        self._rows = 64
        self._sweeper = Sweeper()
        self._doomed: deque[str] = deque()
        self.due = False
        """Whether there may be something to do. Set when the engine's timer rings, cleared when all is done."""

    def drop(self, namespace: str) -> None:
        """Remove a namespace, in slices."""
        self._doomed.append(namespace)
        self.due = True

    def run_slice(self) -> Slice:
        """Do one slice: about `slices.SLICE_SECONDS`, and one commit.

        Raises:
            errors.Error: the database cannot be opened or written now; nothing is due any more until a timer says so.
        """
        ledger = self._ledger
        self.due = False
        connection = ledger.open()
        try:
            if self._doomed:
                return self._drop(connection, self._doomed[0])
            expired = self._expire(connection)
            if expired is not None:
                self.due = True
                return Slice(ledger.revision, expired)
            now = self._clock.now()
            if (
                self._forget(connection, now - MEMORY_SECONDS)
                or self._sweeper.run_slice(connection, ledger.totals)
                or self._vacuum(connection)
            ):
                self.due = True
                return Slice(ledger.revision)
            oldest = connection.execute(self._sql["first_change"]).get if ledger.last > ledger.first else None
            return Slice(
                ledger.revision,
                done=True,
                next_expiry=connection.execute(self._sql["next_expiry"]).get,
                next_oldest=oldest[2] if oldest is not None else None,
            )
        except apsw.Error as error:
            self.due = False
            ledger.undo(connection)
            # Whether the last COMMIT took place may be unknown: connecting again reads where the database stands.
            ledger.close()
            raise translate(error, ledger.path) from error

    def _expire(self, connection: apsw.Connection) -> tuple[Expired, ...] | None:
        return self._remove(connection, "expired", self._clock.now() + EARLY_SECONDS)

    def _remove(
        self, connection: apsw.Connection, which: str, argument: float | str, most_bytes: int = 1 << 62
    ) -> tuple[Expired, ...] | None:
        """Remove some of the records that a query finds; None when it finds none."""
        # Processor time, since waiting for the disk is not made shorter by fewer rows.
        began = time.thread_time()
        now = self._clock.now() + EARLY_SECONDS
        found = msgspec.json.decode(
            connection.execute(self._sql[which], (argument, self._rows)).get, type=list[tuple[int, int, str, int]]
        )
        if not found:
            return None
        full = len(found) == self._rows
        found = _fitting(found, most_bytes)
        ledger = self._ledger
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(self._sql["delete_expired"], (msgspec.json.encode([row[0] for row in found]).decode(),))
        revision = ledger.revision + 1
        logged = [(revision, number, EXPIRE, now, key) for _, number, key, _ in found]
        names = {number: ledger.name(connection, number) for number in {row[1] for row in found}}
        less: dict[str, Growth] = {}
        for _, number, _, size in found:
            records, size_so_far = less.get(names[number][0], (0, 0))
            less[names[number][0]] = (records - 1, size_so_far - size)
        ledger.totals.write(connection, less)
        doubt = ledger.conclude(connection, logged, revision, now)
        if doubt is not None:
            raise doubtful(doubt, ledger.path)
        ledger.totals.apply(less)
        if full:
            self._adapt(time.thread_time() - began)
        return tuple(
            Expired(*names[number], tuple(key for _, of, key, _ in found if of == number)) for number in sorted(names)
        )

    def _drop(self, connection: apsw.Connection, namespace: str) -> Slice:
        """A slice of removing a namespace: its streams' names, then its records, then what is left of the streams."""
        ledger = self._ledger
        self.due = True
        connection.execute(self._sql["drop_streams"], (namespace, _STREAMS_AT_ONCE))
        if connection.changes():
            ledger.forget_streams()
            return Slice(ledger.revision)
        gone = self._remove(connection, "records_of_namespace", namespace, SLICE_BYTES)
        if gone is not None:
            return Slice(ledger.revision, gone)
        if not connection.execute(self._sql["is_swept"], (namespace,)).get:
            self._sweeper.run_slice(connection, ledger.totals)
            return Slice(ledger.revision)
        ledger.totals.forget(connection, namespace)
        self._doomed.popleft()
        return Slice(ledger.revision, dropped=namespace)

    def _forget(self, connection: apsw.Connection, before: float) -> bool:
        ledger = self._ledger
        # The last one stays: it says where the database stands.
        until = min(ledger.first + MOST_ROWS, ledger.last) - 1
        last: int | None = connection.execute(self._sql["forgettable"], (before, until)).get
        if last is None:
            return False
        connection.execute(self._sql["forget_changes"], (last,))
        ledger.first = last + 1
        return True

    def _vacuum(self, connection: apsw.Connection) -> bool:
        if connection.pragma("freelist_count") <= _SPARE_PAGES:
            return False
        connection.execute(f"PRAGMA incremental_vacuum({_PAGES_AT_ONCE})").fetchall()
        return True

    def _adapt(self, seconds: float) -> None:
        self._rows = fitting_rows(self._rows, seconds)


def _fitting(found: list[tuple[int, int, str, int]], most_bytes: int) -> list[tuple[int, int, str, int]]:
    """The first rows that have so many bytes at most, and one in any case."""
    size = 0
    for count, row in enumerate(found):
        size += row[3]
        if count and size > most_bytes:
            return found[:count]
    return found
