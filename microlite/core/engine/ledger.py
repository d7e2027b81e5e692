"""The connection that writes: groups of batches in, durable transactions out. It belongs to the writer thread."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import apsw
import msgspec

from microlite.core import errors
from microlite.core.engine.api import Put
from microlite.core.engine.connection import open_writer
from microlite.core.engine.failures import CERTAIN, doubtful, translate
from microlite.core.engine.group import Group
from microlite.core.engine.migrations import migrate
from microlite.core.engine.queries import queries, with_rows
from microlite.core.engine.streams import Shelf
from microlite.core.engine.usage import Totals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from microlite.core.clock import Clock
    from microlite.core.engine.group import Found, Job, Place, Writes
    from microlite.core.engine.usage import Growth

MAX_CHANGES: Final = 500_000
"""Most rows in the log of changes: under a heavy load it reaches back less than its hour."""

PUT, DELETE, EXPIRE = 0, 1, 2
"""Kinds of changes, as the log has them."""

_MARK: Final = 3
"""Kind of a row that is no change of a record, but says up to which revision the log goes. It is in no bucket."""

_LARGEST_CHUNK: Final = (
    128  # rows of one statement; smaller ones are powers of two, so that few statements are prepared
)

_logger = logging.getLogger("microlite.engine")


class Ledger:
    """Commits, and knows where the database stands.

    Attributes:
        connection: none before `open`, after `close`, and after a commit of unknown outcome.
        revision: the last one given out.
        first: the position of the oldest change in the log.
        last: the position of the newest, one less than `first` while there is none.
        totals: what each namespace holds.

    Args:
        clock: says what is expired.
        vfs: the SQLite VFS to use; none for the usual one.
        on_pages: told after each commit how many pages the write-ahead log has.
    """

    def __init__(self, path: str, clock: Clock, vfs: str | None, on_pages: Callable[[int], None]) -> None:
        self.path = path
        self.revision = 0
        self.first = 1
        self.last = 0
        self._clock = clock
        self._vfs = vfs
        self._on_pages = on_pages
        self._sql = queries()
        self.connection: apsw.Connection | None = None
        self._marked = False  # whether the newest row of the log is a mark
        self._numbers: dict[tuple[str, str], int] = {}
        self.totals = Totals()
        self._shelf = Shelf()
        self._names: dict[int, tuple[str, str]] = {}

    def open(self) -> apsw.Connection:
        """Connect, bring the database up to date, and read where it stands. When it is open already: the connection.

        Raises:
            errors.Error: why it cannot be.
        """
        if self.connection is not None:
            return self.connection
        try:
            connection = open_writer(self.path, self._vfs)
            try:
                migrate(connection, self.path)
                self.first, _, _ = connection.execute(self._sql["first_change"]).get or (1, 0, 0.0)
                self.last, revision, _ = connection.execute(self._sql["last_change"]).get or (0, 0, 0.0)
                self._marked = False  # or nobody knows: the next mark is a row of its own then
                self.totals.load(connection)
                connection.set_wal_hook(self._count_pages)
            except BaseException:
                connection.close()
                raise
        except apsw.Error as error:
            raise translate(error, self.path) from error
        # After a commit of unknown outcome, the revisions in memory may be ahead; none is given out twice.
        self.revision = max(self.revision, revision)
        self.connection = connection
        return connection

    def close(self) -> None:
        """Disconnect; the next commit would connect again."""
        connection, self.connection = self.connection, None
        self._forget()
        if connection is not None:
            try:
                connection.close()
            except apsw.Error:
                _logger.warning("closing %s failed", self.path, exc_info=True)

    def commit(self, jobs: Sequence[Job]) -> None:
        """Commit jobs in one transaction; each then has its revision or its error. Raises nothing for what SQLite does.

        When SQLite refuses a group before the commit (the disk is full, say), its jobs are tried one by one, so that the
        small ones among them get through.
        """
        try:
            connection = self.open()
        except errors.Error as error:
            for job in jobs:
                job.error = type(error)(error.detail)  # an error of its own for each: it is raised in several tasks
            return
        try:
            self._attempt(connection, jobs)
        except apsw.Error as error:
            self.undo(connection)
            for job in jobs:
                job.reset()
            if len(jobs) == 1:
                jobs[0].error = translate(error, self.path)
            else:
                for job in jobs:
                    self.commit([job])

    def _attempt(self, connection: apsw.Connection, jobs: Sequence[Job]) -> None:
        now = self._clock.now()
        connection.execute("BEGIN IMMEDIATE")
        group = Group.of(jobs, self._number, self._stream, self.totals.quotas)
        heads = self._shelf.heads(connection, group.streams) if group.streams else {}
        found = self._find(connection, group.questions, now)
        writes = group.judge(found, heads, self.totals, self.revision, now)
        if not writes:
            self.undo(connection)
            return
        growth = self._growth(connection, group, found, writes)
        self._write(connection, writes)
        self.totals.write(connection, growth)
        logged = [
            (revision, number, PUT if isinstance(operation, Put) else DELETE, now, key)
            for (number, key), (revision, operation) in writes.last.items()
        ]
        doubt = self.conclude(connection, logged, writes.revision, now)
        if doubt is None:
            self._shelf.remember(heads)
            self.totals.apply(growth)
            return
        for job in jobs:
            job.error = doubtful(doubt, self.path)

    def conclude(
        self,
        connection: apsw.Connection,
        logged: Sequence[tuple[int, int, int, float, str]],
        revision: int,
        now: float,
    ) -> apsw.Error | None:
        """Log the changes of a transaction, each (revision, bucket, kind, at, key), and commit it as a revision.

        Returns:
            What the COMMIT failed with, if nobody knows whether it took place; the connection is closed then.

        Raises:
            apsw.Error: it did not take place; `undo` it.
        """
        first, last, marked = self.first, self.last, self._marked
        rows = [(last + place, *change) for place, change in enumerate(logged, start=1)]
        if revision > (logged[-1][0] if logged else self.revision):
            # What came last changed no record. One mark is enough, so that the log reaches back as far as it can.
            if marked and not logged:
                connection.execute(self._sql["move_mark"], (last, revision, now))
            else:
                rows.append((last + len(rows) + 1, revision, 0, _MARK, now, ""))
            marked = True
        elif logged:
            marked = False
        if rows:
            _insert(connection, "log_changes", rows)
            last += len(rows)
            if last - first >= MAX_CHANGES:
                # Twice as many as came, so that it gets back to its bound; what came stays.
                first = min(first + 2 * len(rows), last - len(rows) + 1)
                connection.execute(self._sql["forget_changes"], (first - 1,))
        try:
            connection.execute("COMMIT")
        except CERTAIN:
            raise
        except apsw.Error as error:
            _logger.error("a commit to %s failed, its outcome is unknown: %s", self.path, error)
            self.revision = revision
            self.undo(connection)
            self.close()
            return error
        self.revision, self.first, self.last, self._marked = revision, first, last, marked
        return None

    def undo(self, connection: apsw.Connection) -> None:
        """Roll back what is open on the connection."""
        self._forget()
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except apsw.Error:
            _logger.warning("rolling back on %s failed", self.path, exc_info=True)
            self.close()

    def name(self, connection: apsw.Connection, number: int) -> tuple[str, str]:
        """The namespace and name of the bucket with a number."""
        known = self._names.get(number)
        if known is None:
            known = self._names[number] = connection.execute(self._sql["bucket_name"], (number,)).get
        return known

    def _number(self, namespace: str, name: str, create: bool) -> int:
        known = self._numbers.get((namespace, name))
        if known is not None:
            return known
        connection = self.open()
        number: int | None = connection.execute(self._sql["bucket_id"], (namespace, name)).get
        if number is None:
            if not create:
                return 0
            number = connection.execute(self._sql["add_bucket"], (namespace, name)).get
            assert number is not None
        self._numbers[namespace, name] = number
        return number

    def _stream(self, namespace: str, name: str, create: bool) -> int:
        return self._shelf.number(self.open(), namespace, name, create=create)

    def _forget(self) -> None:
        self._numbers.clear()
        self._shelf.forget()

    def forget_streams(self) -> None:
        """Read anew where streams stand: upkeep has moved some."""
        self._shelf.forget()

    def _find(self, connection: apsw.Connection, places: Sequence[Place], now: float) -> dict[Place, Found]:
        if not places:
            return {}
        found = connection.execute(self._sql["current_revisions"], (_json(places), now)).get
        rows = msgspec.json.decode(found, type=list[tuple[int, int, int]])
        return {places[index]: (revision, size) for index, revision, size in rows}

    def _growth(
        self, connection: apsw.Connection, group: Group, found: dict[Place, Found], writes: Writes
    ) -> dict[str, Growth]:
        """What each namespace gains; before it is written."""
        growth = {namespace: (0, size) for namespace, size in writes.entry_bytes.items()}
        asked = set(group.questions)
        by_bucket: dict[int, tuple[list[int], list[str]]] = {}
        for place, (_, operation) in writes.last.items():
            number, key = place
            gain, unknown = by_bucket.get(number) or by_bucket.setdefault(number, ([0, 0], []))
            if isinstance(operation, Put):
                gain[0] += 1
                gain[1] += len(operation.value)
            if place not in asked:
                unknown.append(key)
            elif (before := found.get(place)) is not None:
                gain[0] -= 1
                gain[1] -= before[1]
        for number, (gain, unknown) in by_bucket.items():
            records, size = gain
            if unknown:
                there, held = connection.execute(
                    self._sql["measure"], (number, msgspec.json.encode(unknown).decode())
                ).get
                records, size = records - there, size - held
            namespace = self.name(connection, number)[0]
            before_it = growth.get(namespace, (0, 0))
            growth[namespace] = (before_it[0] + records, before_it[1] + size)
        return growth

    def _write(self, connection: apsw.Connection, writes: Writes) -> None:
        rows: list[tuple[int, str, int, float | None, bytes]] = []
        gone: list[Place] = []
        for place, (revision, operation) in writes.last.items():
            if isinstance(operation, Put):
                rows.append((*place, revision, operation.expires_at, operation.value))
            else:
                gone.append(place)
        _insert(connection, "put_records", rows)
        if gone:
            connection.execute(self._sql["delete_records"], (_json(gone),))
        additions = writes.additions
        _insert(connection, "append_entries", additions.rows)
        for stream in additions.moved:
            head = additions.heads[stream]
            connection.execute(self._sql["move_stream"], (stream, head.first, head.dropped))

    def _count_pages(self, connection: apsw.Connection, schema: str, pages: int) -> int:
        self._on_pages(pages)
        return apsw.SQLITE_OK


def _insert(connection: apsw.Connection, name: str, rows: Sequence[Sequence[apsw.SQLiteValue]]) -> None:
    done = 0
    while done < len(rows):
        size = min(_LARGEST_CHUNK, 1 << ((len(rows) - done).bit_length() - 1))
        connection.execute(with_rows(name, size), _flat(rows[done : done + size]))
        done += size


def _flat(rows: Iterable[Sequence[apsw.SQLiteValue]]) -> list[apsw.SQLiteValue]:
    return [value for row in rows for value in row]


def _json(places: Sequence[Place]) -> str:
    return msgspec.json.encode(places).decode()
