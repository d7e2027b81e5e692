"""Where a record lies in the engine: from database and table to a bucket, and back."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Final

from microlite.core import errors
from microlite.core.store.api import DEFAULT_DATABASE, DEFAULT_TABLE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from microlite.core.context import Origin

PREFIX: Final = "store/"

BLOBS: Final = "blobs"
"""What stands between a database and the name of a blob, in the names that rules go by."""

MAX_DATABASE: Final = 63
MAX_TABLE: Final = 58
"""Characters of the two names; what stands before them in a bucket's name leaves no more."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def bucket_of(origin: Origin, database: str, table: str) -> str:
    """The bucket of a table.

    Args:
        origin: who asks; the database is that of the calling service where none is named.
        database: its name, or empty.
        table: its name, or empty for the default one.

    Raises:
        BadRequest: a name cannot be.
    """
    return _bucket(database or origin.service or DEFAULT_DATABASE, table or DEFAULT_TABLE)


def table_name(origin: Origin, database: str, table: str) -> str:
    """The name of a table for rules, `database/table`. See `bucket_of`."""
    return name_of(bucket_of(origin, database, table))


def name_of(bucket: str) -> str:
    """The name for rules of the table that lies in a bucket."""
    return bucket[len(PREFIX) :]


def blob_name(origin: Origin, database: str, name: str) -> str:
    """The name of a blob, or of all that begin so, for rules: `database/blobs/name`. See `bucket_of`."""
    return f"{check_database(database or origin.service or DEFAULT_DATABASE)}/{BLOBS}/{name}"


def check_database(name: str) -> str:
    """The name, if a database can have it.

    Raises:
        BadRequest: it cannot.
    """
    return _check("database", name, MAX_DATABASE)


def databases(buckets: Iterable[str]) -> list[str]:
    """The databases among the engine's buckets, in order."""
    return sorted({bucket.split("/")[1] for bucket in buckets if bucket.startswith(PREFIX)})


def tables(buckets: Iterable[str], database: str) -> list[str]:
    """The tables of a database among the engine's buckets, in order."""
    start = f"{PREFIX}{database}/"
    return [bucket.removeprefix(start) for bucket in buckets if bucket.startswith(start)]


@functools.lru_cache(maxsize=1024)
def _bucket(database: str, table: str) -> str:
    return f"{PREFIX}{check_database(database)}/{_check('table', table, MAX_TABLE)}"


def _check(kind: str, name: str, longest: int) -> str:
    if len(name) > longest or not _NAME.fullmatch(name):
        raise errors.BadRequest(
            f"{name[:80]!r} is no name for a {kind}: use letters, digits and '.', '_', '-', a letter or digit first, "
            f"at most {longest} characters"
        )
    return name
