"""`tx.store`: records in a transaction. It sees its own changes, and remembers what it has read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

import msgspec

from microlite.core import errors
from microlite.core.description.codec import encode_msgpack
from microlite.core.library.state import values
from microlite.core.library.state.lives import life
from microlite.core.library.state.transaction_parts import NOTED
from microlite.core.store import api as store
from microlite.core.tx import api

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from microlite.core.library.caller import Caller
    from microlite.core.library.state.lives import Expiry, Ttl
    from microlite.core.library.state.transaction import Transaction
    from microlite.core.library.state.transaction_parts import Noted
    from microlite.core.store.blob_api import StagedBlob

T = TypeVar("T")
D = TypeVar("D")

_RAISE: Final[Any] = object()
_NUMBER: Final = (int, float)

_read_record: Final = msgspec.msgpack.Decoder(store.Record).decode
_read_records: Final = msgspec.msgpack.Decoder(list[store.Record | None]).decode
_read_any: Final = msgspec.msgpack.Decoder().decode

_Place = tuple[str, str, str]
"""Database, table and key."""


class _Touched:
    """What a transaction knows of a record, and does with it.

    Attributes:
        seen: whether it was read.
        record: what was read; None where nothing was.
        change: the latest one.
        expect: what the code itself expects.
    """

    __slots__ = ("change", "expect", "record", "seen")

    def __init__(self) -> None:
        self.seen = False
        self.record: store.Record | None = None
        self.change: api.StoreWrite | api.StoreDelete | None = None
        self.expect: store.Expectation = None


class Known:
    """All records that a transaction has touched."""

    def __init__(self) -> None:
        self._touched: dict[_Place, _Touched] = {}

    def touch(self, place: _Place) -> _Touched:
        """What is known of a record."""
        touched = self._touched.get(place)
        if touched is None:
            touched = self._touched[place] = _Touched()
        return touched

    @property
    def alone(self) -> int:
        """How many operations need no commit: 1 if all that was done is to read one record, else 0."""
        return int(len(self._touched) == 1 and all(one.change is None for one in self._touched.values()))

    def operations(self) -> list[msgspec.Struct]:
        """One for each record: its last change, or that it has to be as it was read."""
        made: list[msgspec.Struct] = []
        for (database, table, key), one in self._touched.items():
            expect = one.expect
            if one.seen:
                expect = store.Presence.ABSENT if one.record is None else one.record.revision
            if one.change is not None:
                made.append(msgspec.structs.replace(one.change, expect=expect))
            elif expect is not None:
                made.append(api.StoreExpect(key=key, table=table, database=database, expect=expect))
        return made


class TransactionTable:
    """One table in a transaction; see `Table` for what reading and writing mean.

    What is read is fetched once; its revision, or that it is not there, has to be the same at the commit.
    """

    BRIDGED = True

    def __init__(
        self, transaction: Transaction, caller: Caller, known: Known, table: str = "", database: str = ""
    ) -> None:
        self._transaction = transaction
        self._caller = caller
        self._known = known
        self._table = table
        self._database = database

    @overload
    async def read(self, key: str) -> Any: ...
    @overload
    async def read(self, key: str, of: type[T]) -> T: ...
    @overload
    async def read(self, key: str, of: type[T], *, default: D) -> T | D: ...
    @overload
    async def read(self, key: str, of: Any = ..., *, default: Any = ...) -> Any: ...

    async def read(self, key: str, of: Any = Any, *, default: Any = _RAISE) -> Any:
        """The value under a key, as the transaction has left it.

        Args:
            key: of the record.
            of: the type of the value.
            default: what to return where there is no record; without it that is an error.

        Raises:
            NotFound: there is no record.
            Unprocessable: the value is not of that type.
        """
        kept = await self._value(key)
        if kept is not None:
            return values.decode(kept, of, f"the value of {key!r}")
        if default is _RAISE:
            raise errors.NotFound(f"there is no record {key!r}{self._where()}")
        return default

    async def read_many(self, keys: Iterable[str], of: Any = Any) -> dict[str, Any]:
        """The values of up to 1,000 keys, as the transaction has left them; those that are not there are left out."""
        keys = list(dict.fromkeys(keys))
        unknown = [key for key in keys if not self._has(key)]
        if unknown:
            fields = {"keys": unknown, "table": self._table, "database": self._database}
            payload = await self._caller.call_raw("store", "read-many", encode_msgpack(fields), idempotent=True)
            for key, record in zip(unknown, _read_records(payload), strict=True):
                self._see(key, record)
        found: dict[str, Any] = {}
        for key in keys:
            kept = await self._value(key)
            if kept is not None:
                found[key] = values.decode(kept, of, f"the value of {key!r}")
        return found

    def write(
        self, key: str, value: object, *, ttl: Ttl = None, expires_at: Expiry = None, expect: int | str | None = None
    ) -> Noted:
        """Store a value under a key, with the commit.

        Args:
            key: of the record.
            value: takes the place of what was there. It is taken as it is now.
            ttl: how long the record lives.
            expires_at: until when it lives.
            expect: write only over this revision; `"absent"` only where nothing is, `"present"` only where something is.
                What was read through the transaction is expected anyhow.

        Raises:
            Conflict: what is expected is not what was read.
        """
        fields: dict[str, Any] = life(ttl, expires_at)
        raw = msgspec.Raw(encode_msgpack(value))
        change = api.StoreWrite(key=key, value=raw, table=self._table, database=self._database, **fields)
        return self._change(key, change, expect)

    def delete(self, key: str, *, expect: int | str | None = None) -> Noted:
        """Remove a record, with the commit. One that is not there is no error, unless something is expected."""
        return self._change(key, api.StoreDelete(key=key, table=self._table, database=self._database), expect)

    async def increment(self, key: str, by: float = 1, *, ttl: Ttl = None, expires_at: Expiry = None) -> int | float:
        """Add to the number under a key, with the commit, and return the sum. It is read and written, so it can conflict.

        Args:
            key: of the record; one that is not there counts as 0.
            by: what to add; less than 0 to subtract.
            ttl: how long a record lives that begins with this; one that is there keeps its time.
            expires_at: until when, likewise.

        Raises:
            BadRequest: what is there is no number.
        """
        kept = await self._value(key)
        touched = self._touch(key)
        present = 0 if kept is None else _read_any(kept)
        if type(present) not in _NUMBER:
            raise errors.BadRequest(f"what is stored under {key!r} is no number, so it cannot be increased")
        total: int | float = present + by
        if kept is not None and touched.change is None and touched.record is not None:
            ttl, expires_at = None, touched.record.expires_at
        elif kept is not None and isinstance(touched.change, api.StoreWrite):
            ttl, expires_at = touched.change.ttl, touched.change.expires_at
        self.write(key, total, ttl=ttl, expires_at=expires_at)
        return total

    # -- what is known --------------------------------------------------------------------------------------------------

    def _touch(self, key: str) -> _Touched:
        return self._known.touch((self._database, self._table, key))

    def _has(self, key: str) -> bool:
        touched = self._touch(key)
        return touched.seen or touched.change is not None

    def _see(self, key: str, record: store.Record | None) -> None:
        touched = self._touch(key)
        touched.seen, touched.record = True, record
        _agree(key, touched)

    async def _value(self, key: str) -> msgspec.Raw | None:
        self._transaction.check_open()
        touched = self._touch(key)
        if touched.change is not None:
            return touched.change.value if isinstance(touched.change, api.StoreWrite) else None
        if not touched.seen:
            self._see(key, await self._fetch(key))
        return None if touched.record is None else touched.record.value

    async def _fetch(self, key: str) -> store.Record | None:
        fields = {"key": key, "table": self._table, "database": self._database}
        try:
            return _read_record(await self._caller.call_raw("store", "read", encode_msgpack(fields), idempotent=True))
        except errors.NotFound as error:
            if isinstance(error, errors.ServiceNotFound | errors.EndpointNotFound):
                raise
            return None

    def _change(self, key: str, change: api.StoreWrite | api.StoreDelete, expect: int | str | None) -> Noted:
        self._transaction.check_open()
        touched = self._touch(key)
        if expect is not None and touched.change is None:
            touched.expect = _expectation(expect)
            _agree(key, touched)
        touched.change = change
        return NOTED

    def _where(self) -> str:
        names = {"table": self._table, "database": self._database}
        return "".join(f" in {kind} {name!r}" for kind, name in names.items() if name)


class TransactionStore(TransactionTable):
    """`tx.store`: the default table of the service, and the way to further ones."""

    def table(self, name: str) -> TransactionTable:
        """A table of the same database."""
        return TransactionTable(self._transaction, self._caller, self._known, name, self._database)

    def database(self, name: str) -> TransactionStore:
        """Another database, of another service or of all who name it."""
        return TransactionStore(self._transaction, self._caller, self._known, "", name)

    @property
    def blobs(self) -> TransactionBlobs:
        """Blobs of the same database."""
        return TransactionBlobs(self._transaction, self._database)


class TransactionBlobs:
    """`tx.store.blobs`: what becomes of blobs that were staged before, or are there."""

    BRIDGED = True

    def __init__(self, transaction: Transaction, database: str) -> None:
        self._transaction = transaction
        self._database = database

    def publish(
        self,
        staged: StagedBlob | str,
        name: str,
        *,
        ttl: Ttl = None,
        expires_at: Expiry = None,
        metadata: Mapping[str, str] | None = None,
        expect: int | str | None = None,
    ) -> Noted:
        """Make a staged upload the blob of a name, with the commit.

        Args:
            staged: from `ctx.store.blobs.stage`, or its id.
            name: of the blob.
            ttl: how long it stays.
            expires_at: until when it stays.
            metadata: what to say about it.
            expect: what must hold of the blob that has the name now: its revision, `"absent"` or `"present"`.
        """
        fields: dict[str, Any] = life(ttl, expires_at)
        change = api.BlobPublish(
            upload=staged if isinstance(staged, str) else staged.upload,
            name=name,
            metadata=dict(metadata or {}),
            expect=_expectation(expect),
            database=self._database,
            **fields,
        )
        return self._transaction.note(change)

    def delete(self, name: str, *, expect: int | str | None = None) -> Noted:
        """Remove a blob, with the commit."""
        return self._transaction.note(api.BlobDelete(name=name, expect=_expectation(expect), database=self._database))


def _expectation(expect: int | str | None) -> store.Expectation:
    if expect is None or isinstance(expect, int):
        return expect
    try:
        return store.Presence(expect)
    except ValueError:
        raise errors.BadRequest(f"expect: a revision, 'absent' or 'present', not {expect!r}") from None


def _agree(key: str, touched: _Touched) -> None:
    """Raise `Conflict` at once where what is expected cannot be, after what was read."""
    if not touched.seen or touched.expect is None:
        return
    revision = None if touched.record is None else touched.record.revision
    match touched.expect:
        case store.Presence.ABSENT:
            holds = revision is None
        case store.Presence.PRESENT:
            holds = revision is not None
        case _:
            holds = revision == touched.expect
    if not holds:
        is_there = "is not there" if revision is None else f"is at revision {revision}"
        raise errors.Conflict(f"the record {key!r} {is_there}, and {touched.expect} is expected")
