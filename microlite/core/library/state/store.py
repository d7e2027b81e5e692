"""`ctx.store`: the records of a service."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar, overload

import msgspec

from microlite.core import errors
from microlite.core.description.codec import encode_msgpack
from microlite.core.library.state import values
from microlite.core.library.state.following import follow
from microlite.core.library.state.joining import MOST_BYTES, join
from microlite.core.library.state.lives import Expiry, Ttl, life
from microlite.core.store import api
from microlite.core.store.api import ChangeKind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence

    from microlite.core.library.caller import Caller
    from microlite.core.library.state.blobs import Blobs

T = TypeVar("T")
D = TypeVar("D")

Keys: TypeAlias = list[str]
"""Keys, or names, in order. (Within a class that has a method `list` the plain type cannot be written.)"""

UPDATES: Final = 100
"""How often `update` tries anew while others write the same record."""

_KEY_BYTES: Final = 64
"""What a key weighs in a call that asks for many, about."""

_RAISE: Final[Any] = object()

_read_record: Final = msgspec.msgpack.Decoder(api.Record).decode
_read_records: Final = msgspec.msgpack.Decoder(list[api.Record | None]).decode
_read_page: Final = msgspec.msgpack.Decoder(api.Page).decode
_read_keys: Final = msgspec.msgpack.Decoder(api.Keys).decode
_read_written: Final = msgspec.msgpack.Decoder(api.Written).decode
_read_outcomes: Final = msgspec.msgpack.Decoder(list[api.WriteOutcome]).decode
_read_count: Final = msgspec.msgpack.Decoder(api.Count).decode
_read_change: Final = msgspec.msgpack.Decoder(api.Change).decode
_read_names: Final = msgspec.msgpack.Decoder(list[str]).decode
_read_number: Final = msgspec.msgpack.Decoder(int).decode


class Record(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """A record with its value.

    Attributes:
        revision: what to pass as `expect` to write only over this.
        expires_at: seconds since the Unix epoch, if it goes by itself.
    """

    key: str
    value: T
    revision: int
    expires_at: float | None = None


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """Some records.

    Attributes:
        cursor: what to pass for the next page; None when this was the last.
        revision: the page has at least all that was written up to here; a watch since then misses nothing.
    """

    records: list[Record[T]]
    cursor: str | None
    revision: int


class Change(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """What a watch tells: a record was written or deleted, or its time has come.

    Attributes:
        kind: `write`, `delete` or `expire`; see `Table.watch` for `reset` and `synced`.
        value: of a write; else None.
        resume: what to pass as `since` later, to go on behind this.
    """

    kind: ChangeKind
    key: str
    value: T
    revision: int
    expires_at: float | None = None
    resume: int = 0


class Table:
    """The records of one table. Keys have at most 512 bytes, values 1 MiB.

    Values are whatever an endpoint can return: builtins, dataclasses, `msgspec.Struct`, `datetime`, `Decimal`, `bytes`,
    pydantic models. Reading names the type to get it back as one; without it, plain Python values come back.

    Args:
        caller: makes the calls.
        table: its name; empty for the default one.
        database: its database; empty for that of the service itself.
    """

    BRIDGED = True

    __slots__ = ("_caller", "_place")

    def __init__(self, caller: Caller, table: str = "", database: str = "") -> None:
        self._caller = caller
        self._place: dict[str, str] = {}
        if table:
            self._place["table"] = table
        if database:
            self._place["database"] = database

    # -- one record -----------------------------------------------------------------------------------------------------

    @overload
    async def read(self, key: str) -> Any: ...
    @overload
    async def read(self, key: str, of: type[T]) -> T: ...
    @overload
    async def read(self, key: str, of: type[T], *, default: D) -> T | D: ...
    @overload
    async def read(self, key: str, of: Any = ..., *, default: Any = ...) -> Any: ...

    async def read(self, key: str, of: Any = Any, *, default: Any = _RAISE) -> Any:
        """The value under a key.

        Args:
            key: of the record.
            of: the type of the value.
            default: what to return where there is no record; without it that is an error.

        Raises:
            NotFound: there is no record.
            Unprocessable: the value is not of that type.
        """
        record = await self.get(key, of)
        if record is not None:
            return record.value
        if default is _RAISE:
            raise errors.NotFound(f"there is no record {key!r}{self._where()}")
        return default

    @overload
    async def get(self, key: str) -> Record[Any] | None: ...
    @overload
    async def get(self, key: str, of: type[T]) -> Record[T] | None: ...
    @overload
    async def get(self, key: str, of: Any) -> Record[Any] | None: ...

    async def get(self, key: str, of: Any = Any) -> Record[Any] | None:
        """The record under a key, with its revision; None where there is none.

        Raises:
            Unprocessable: the value is not of that type.
        """
        place = ("store.read", *self._place.items())
        record = await join(self._caller, place, key, _KEY_BYTES, self._get_alone, self._get_together)
        return None if record is None else _typed(record, of)

    async def _get_alone(self, key: str) -> api.Record | None:
        try:
            return _read_record(await self._read("read", key=key))
        except errors.NotFound as error:
            if isinstance(error, errors.ServiceNotFound | errors.EndpointNotFound):
                raise
            return None

    async def _get_together(self, keys: list[str]) -> list[api.Record | errors.Error | None]:
        return [*_read_records(await self._read("read-many", keys=keys))]

    async def write(
        self, key: str, value: object, *, ttl: Ttl = None, expires_at: Expiry = None, expect: int | str | None = None
    ) -> int:
        """Store a value under a key. Returns its revision when it is on disk.

        Args:
            key: of the record.
            value: takes the place of what was there.
            ttl: how long the record lives.
            expires_at: until when it lives.
            expect: write only over this revision; `"absent"` only where nothing is, `"present"` only where something is.

        Raises:
            Conflict: what was expected does not hold.
            PayloadTooLarge: the value is larger than 1 MiB.
        """
        encoded = encode_msgpack(value)
        fields: dict[str, object] = {"key": key, "value": msgspec.Raw(encoded)}
        if ttl is not None or expires_at is not None:
            fields.update(life(ttl, expires_at))
        if expect is not None:
            fields["expect"] = expect
        fields.update(self._place)
        if expect is not None or len(encoded) > MOST_BYTES:
            return await self._write_alone(fields)
        mark = (key, *self._place.values())
        return await join(
            self._caller, "store.write", fields, len(encoded), self._write_alone, self._write_together, mark
        )

    async def _write_alone(self, fields: dict[str, object]) -> int:
        return _read_written(await self._caller.call_raw("store", "write", encode_msgpack(fields))).revision

    async def _write_together(self, writes: list[dict[str, object]]) -> list[int | errors.Error]:
        changes = [{"type": "write", **fields} for fields in writes]
        payload = await self._caller.call_raw("store", "write-each", encode_msgpack({"changes": changes}))
        return [
            outcome.written.revision if outcome.written is not None else outcome.failure()
            for outcome in _read_outcomes(payload)
        ]

    async def write_if_absent(self, key: str, value: object, *, ttl: Ttl = None, expires_at: Expiry = None) -> bool:
        """Store a value where nothing is; returns whether it was so. Of several who try at once, one succeeds."""
        try:
            await self.write(key, value, ttl=ttl, expires_at=expires_at, expect="absent")
        except errors.Conflict:
            return False
        return True

    async def delete(self, key: str, *, expect: int | str | None = None) -> None:
        """Remove a record. One that is not there is no error, unless something is expected.

        Args:
            key: of the record.
            expect: remove only this revision; `"present"` if there must be one.

        Raises:
            Conflict: what was expected does not hold.
        """
        fields: dict[str, object] = {"key": key}
        if expect is not None:
            fields["expect"] = expect
        await self._change("delete", fields)

    async def increment(self, key: str, by: float = 1, *, ttl: Ttl = None, expires_at: Expiry = None) -> int | float:
        """Add to the number under a key, and return the sum. A record that is not there counts as 0.

        Args:
            key: of the record.
            by: what to add; less than 0 to subtract.
            ttl: how long a record lives that begins with this; one that is there keeps its time.
            expires_at: until when, likewise.

        Raises:
            BadRequest: what is there is no number.
        """
        return _read_count(await self._change("increment", {"key": key, "by": by, **life(ttl, expires_at)})).value

    async def update(
        self, key: str, change: Callable[[Any], Any], of: Any = Any, *, default: Any = None, ttl: Ttl = None
    ) -> Any:
        """Replace a value by what `change` makes of it, and return that.

        Where somebody else writes in between, `change` is called again with the newer value, so it should do nothing else.

        Args:
            key: of the record.
            change: a plain function of the present value.
            of: the type of the value.
            default: what `change` gets where there is no record.
            ttl: how long the record lives; without it, it keeps its time.

        Raises:
            Conflict: others write the record all the time.
        """
        for _ in range(UPDATES):
            record = await self.get(key, of)
            value = change(default if record is None else record.value)
            expires_at = record.expires_at if record is not None and ttl is None else None
            try:
                await self.write(
                    key, value, ttl=ttl, expires_at=expires_at, expect="absent" if record is None else record.revision
                )
            except errors.Conflict:
                continue
            return value
        raise errors.Conflict(f"the record {key!r} is written by others all the time; try again")

    # -- several --------------------------------------------------------------------------------------------------------

    @overload
    async def read_many(self, keys: Iterable[str]) -> dict[str, Any]: ...
    @overload
    async def read_many(self, keys: Iterable[str], of: type[T]) -> dict[str, T]: ...
    @overload
    async def read_many(self, keys: Iterable[str], of: Any) -> dict[str, Any]: ...

    async def read_many(self, keys: Iterable[str], of: Any = Any) -> dict[str, Any]:
        """The values of up to 1,000 keys, as of one moment; those that are not there are left out."""
        records = _read_records(await self._read("read-many", keys=list(keys)))
        return {record.key: _typed(record, of).value for record in records if record is not None}

    async def write_many(self, items: Mapping[str, object], *, ttl: Ttl = None, expires_at: Expiry = None) -> int:
        """Store up to 1,000 values, all of them or none. Returns their revision."""
        lives = life(ttl, expires_at)
        return await self._batch([{"type": "write", "key": key, "value": items[key], **lives} for key in items])

    async def delete_many(self, keys: Iterable[str]) -> int:
        """Remove up to 1,000 records, all of them or none. Those that are not there are no error."""
        return await self._batch([{"type": "delete", "key": key} for key in dict.fromkeys(keys)])

    # -- many -----------------------------------------------------------------------------------------------------------

    @overload
    def scan(
        self,
        of: type[T],
        *,
        prefix: str = ...,
        suffix: str = ...,
        limit: int | None = ...,
        offset: int = ...,
        order: str = ...,
    ) -> AsyncIterator[Record[T]]: ...
    @overload
    def scan(
        self,
        of: Any = ...,
        *,
        prefix: str = ...,
        suffix: str = ...,
        limit: int | None = ...,
        offset: int = ...,
        order: str = ...,
    ) -> AsyncIterator[Record[Any]]: ...

    async def scan(
        self,
        of: Any = Any,
        *,
        prefix: str = "",
        suffix: str = "",
        limit: int | None = None,
        offset: int = 0,
        order: str = "asc",
    ) -> AsyncIterator[Record[Any]]:
        """The records in the order of their keys, one by one, fetched page by page.

        Args:
            of: the type of the values.
            prefix: only keys that begin so.
            suffix: only keys that end so; without a prefix every key of the table is read for it.
            limit: most records.
            offset: how many to leave out first.
            order: `asc` or `desc`.
        """
        cursor: str | None = ""
        while cursor is not None and (limit is None or limit > 0):
            page = await self.page(
                of, prefix=prefix, suffix=suffix, limit=limit, offset=offset, order=order, cursor=cursor
            )
            for record in page.records:
                yield record
            limit = None if limit is None else limit - len(page.records)
            offset, cursor = 0, page.cursor

    async def page(
        self,
        of: Any = Any,
        *,
        prefix: str = "",
        suffix: str = "",
        limit: int | None = None,
        offset: int = 0,
        order: str = "asc",
        cursor: str = "",
    ) -> Page[Any]:
        """Up to 1,000 records, and the cursor for those that follow; see `scan`."""
        page = _read_page(await self._read("scan", **_selection(prefix, suffix, limit, offset, order, cursor)))
        return Page(records=[_typed(record, of) for record in page.records], cursor=page.cursor, revision=page.revision)

    async def list(
        self, prefix: str = "", *, suffix: str = "", limit: int | None = None, offset: int = 0, order: str = "asc"
    ) -> Keys:
        """The keys in their order; see `scan`."""
        keys: Keys = []
        cursor: str | None = ""
        while cursor is not None and (limit is None or len(keys) < limit):
            rest = None if limit is None else limit - len(keys)
            payload = await self._read("list", **_selection(prefix, suffix, rest, offset, order, cursor))
            page = _read_keys(payload)
            keys += page.keys
            offset, cursor = 0, page.cursor
        return keys

    async def count(self, prefix: str = "", *, suffix: str = "") -> int:
        """How many records there are."""
        return _read_number(await self._read("count", prefix=prefix, suffix=suffix))

    # -- changes --------------------------------------------------------------------------------------------------------

    @overload
    def watch(
        self, key: str = ..., *, prefix: str = ..., since: int | None = ..., state: bool = ...
    ) -> AsyncIterator[Change[Any]]: ...
    @overload
    def watch(
        self, key: str, of: type[T], *, prefix: str = ..., since: int | None = ..., state: bool = ...
    ) -> AsyncIterator[Change[T]]: ...
    @overload
    def watch(
        self, key: str = ..., *, of: type[T], prefix: str = ..., since: int | None = ..., state: bool = ...
    ) -> AsyncIterator[Change[T]]: ...
    @overload
    def watch(
        self, key: str = ..., of: Any = ..., *, prefix: str = ..., since: int | None = ..., state: bool = ...
    ) -> AsyncIterator[Change[Any]]: ...

    async def watch(
        self, key: str = "", of: Any = Any, *, prefix: str = "", since: int | None = None, state: bool = False
    ) -> AsyncIterator[Change[Any]]:
        """Changes as they happen, without an end. When the stream breaks it is opened again, and nothing is missed.

        A change of kind `reset` comes where it is not known what changed in between: forget what you know, the records
        follow as writes.

        Args:
            key: only this one.
            of: the type of the values.
            prefix: only keys that begin so; with neither, all of the table.
            since: begin behind this revision: that of a page, or the `resume` of an earlier change.
            state: begin with the records that are there: `reset`, a write for each, and `synced` when the state is
                complete. Mirrors a table.
        """
        fields: dict[str, object] = {"key": key, "prefix": prefix, **self._place}
        start = 0 if state else since
        async with aclosing(follow(self._caller, "store", "watch", fields, start, _read_change)) as changes:
            async for change in changes:
                if state or change.kind is not ChangeKind.SYNCED:
                    yield Change(
                        kind=change.kind,
                        key=change.key,
                        value=self._value(change, of),
                        revision=change.revision,
                        expires_at=change.expires_at,
                        resume=change.resume,
                    )

    @staticmethod
    def _value(change: api.Change, of: Any) -> Any:
        if change.kind is not ChangeKind.WRITE:
            return None
        return values.decode(change.value, of, f"the value of {change.key!r}")

    # -- calls ----------------------------------------------------------------------------------------------------------

    # Not awaited here: a coroutine less on the way of every record.

    def _read(self, endpoint: str, **fields: object) -> Coroutine[Any, Any, bytes]:
        fields.update(self._place)
        return self._caller.call_raw("store", endpoint, encode_msgpack(fields), idempotent=True)

    def _change(self, endpoint: str, fields: dict[str, object]) -> Coroutine[Any, Any, bytes]:
        fields.update(self._place)
        return self._caller.call_raw("store", endpoint, encode_msgpack(fields))

    async def _batch(self, changes: Sequence[dict[str, object]]) -> int:
        for change in changes:
            change.update(self._place)
        payload = await self._caller.call_raw("store", "batch", encode_msgpack({"changes": changes}))
        return _read_written(payload).revision

    def _where(self) -> str:
        return "".join(f" in {kind} {name!r}" for kind, name in self._place.items())

    def __repr__(self) -> str:
        return f"<{type(self).__name__.lower()} {self._place or ''}>"


class Store(Table):
    """The default table of a service, and the way to further ones. What is acknowledged is on disk.

    A service has a database of its own. To share a table on purpose, both name the same database.
    """

    __slots__ = ()

    def table(self, name: str) -> Table:
        """A table of the same database. It need not be made: it is there with its first record."""
        return Table(self._caller, name, self._place.get("database", ""))

    @property
    def blobs(self) -> Blobs:
        """The blobs of the database: values of any size, streamed; see `Blobs`."""
        from microlite.core.library.state.blobs import Blobs  # loaded by those who use it

        return Blobs(self._caller, self._place.get("database", ""))

    def database(self, name: str) -> Store:
        """Another database, of another service or of all who name it."""
        return Store(self._caller, "", name)

    async def tables(self) -> Keys:
        """The tables of the database that hold a record."""
        return _read_names(await self._read("tables"))

    async def databases(self) -> Keys:
        """The databases of the namespace that hold a record."""
        return _read_names(await self._caller.call_raw("store", "databases", b"", idempotent=True))


def _typed(record: api.Record, of: Any) -> Record[Any]:
    return Record(
        key=record.key,
        value=values.decode(record.value, of, f"the value of {record.key!r}"),
        revision=record.revision,
        expires_at=record.expires_at,
    )


def _selection(prefix: str, suffix: str, limit: int | None, offset: int, order: str, cursor: str) -> dict[str, object]:
    return {
        "prefix": prefix,
        "suffix": suffix,
        "limit": 0 if limit is None else min(limit, api.MAX_LIMIT),
        "offset": offset,
        "order": order,
        "cursor": cursor,
    }
