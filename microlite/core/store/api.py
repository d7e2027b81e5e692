"""The contract of the built-in service `store`: records.

A record is a value under a key, in a table of a database. Values are kept as MessagePack; a face that speaks JSON sees them
as JSON and writes them so.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, TypeAlias

import msgspec

from microlite.core import errors
from microlite.core.context import Failure

DEFAULT_DATABASE: Final = "default"
"""The database of callers that are no service."""

DEFAULT_TABLE: Final = "default"
"""The table that is meant where none is named."""

MAX_LIMIT: Final = 1_000
"""Most records on one page, keys of one `read-many`, and changes of one batch."""


class Presence(StrEnum):
    """What can be expected of a record other than its exact revision."""

    ABSENT = "absent"
    PRESENT = "present"


Expectation: TypeAlias = int | Presence | None
"""What must hold of a record, so that a change is carried out: its exact revision, its presence, or nothing."""


class KeyOrder(StrEnum):
    """By key, in the order of code points."""

    ASC = "asc"
    DESC = "desc"


class ValueEncoding(StrEnum):
    """How a value is written down where JSON cannot say it. Over RPC every value is `plain`."""

    PLAIN = "plain"
    """The value stands there as what it is."""
    BASE64 = "base64"
    """The value is bytes; a string in base64 stands for them."""
    MSGPACK = "msgpack"
    """JSON has no such value; a string in base64 stands for it, written as MessagePack."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored under a key.

    Attributes:
        revision: grows with every write of the namespace; what to expect in a compare-and-set.
        expires_at: seconds since the Unix epoch from which on the record is gone, if it goes by itself.
        encoding: how `value` is written.
    """

    key: str
    value: msgspec.Raw
    revision: int
    expires_at: float | None = None
    encoding: ValueEncoding = ValueEncoding.PLAIN


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Some of the records that were asked for.

    Attributes:
        records: in the order that was asked for.
        cursor: what to pass as `cursor` for those that follow; none when these were the last. Only the cursor says
            whether there are more: a page may be short for its size.
        revision: the page has at least all that was written up to here; a watch from it misses nothing.
    """

    records: list[Record]
    cursor: str | None
    revision: int


class Keys(msgspec.Struct, frozen=True, kw_only=True):
    """Some of the keys that were asked for; see `Page`."""

    keys: list[str]
    cursor: str | None
    revision: int


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """A change is on disk.

    Attributes:
        revision: of the commit, and so of each record that it wrote.
    """

    revision: int


class WriteOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one of several writes that were made each for itself.

    Attributes:
        written: the write, if it is on disk.
        error: why it is not.
    """

    written: Written | None = None
    error: Failure | None = None

    def failure(self) -> errors.Error:
        """The error as what the writer of this record alone would have got."""
        if self.error is None:
            return errors.InternalServerError("the platform said nothing about the write")
        return self.error.restore()


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """The number under a key, after it was increased."""

    value: int | float
    revision: int


class ChangeKind(StrEnum):
    """What a watch tells."""

    WRITE = "write"
    """A record was written; it is there with its value."""
    DELETE = "delete"
    """A record was deleted."""
    EXPIRE = "expire"
    """The time of a record has come."""
    RESET = "reset"
    """The state itself follows, as writes up to a `synced`: what is known so far is void."""
    SYNCED = "synced"
    """The state is complete; what follows are changes."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a watch tells.

    Attributes:
        key: empty for `reset` and `synced`.
        value: of a write; else nothing.
        revision: that of the change.
        expires_at: of the record that was written.
        encoding: how `value` is written.
        resume: what to pass as `since` to go on behind this, without a gap.
    """

    kind: ChangeKind
    key: str
    value: msgspec.Raw
    revision: int
    expires_at: float | None = None
    encoding: ValueEncoding = ValueEncoding.PLAIN
    resume: int = 0


class Write(msgspec.Struct, frozen=True, kw_only=True, tag="write", forbid_unknown_fields=True):
    """Store a value under a key.

    Attributes:
        value: any value; in a plan it is MessagePack.
        table: the default one where it is empty.
        database: that of the calling service where it is empty.
        ttl: seconds after which the record goes by itself.
        expires_at: the same as a time, in seconds since the Unix epoch.
        expect: what must hold of the record that is there now.
        encoding: how `value` is written.
    """

    key: str
    value: msgspec.Raw
    table: str = ""
    database: str = ""
    ttl: float | None = None
    expires_at: float | None = None
    expect: Expectation = None
    encoding: ValueEncoding = ValueEncoding.PLAIN


class Delete(msgspec.Struct, frozen=True, kw_only=True, tag="delete", forbid_unknown_fields=True):
    """Remove a record; see `Write`. One that is not there is no error, unless `expect` says otherwise."""

    key: str
    table: str = ""
    database: str = ""
    expect: Expectation = None


class Expect(msgspec.Struct, frozen=True, kw_only=True, tag="expect", forbid_unknown_fields=True):
    """Change nothing, but let the whole batch fail unless the record is as expected; see `Write`."""

    key: str
    expect: int | Presence
    table: str = ""
    database: str = ""


RecordChange: TypeAlias = Write | Delete | Expect
"""One part of a batch."""
