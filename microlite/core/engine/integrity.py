"""Whether a database is whole, and one of ours."""

from __future__ import annotations

from typing import Final

import apsw
import msgspec

from microlite.core.engine.migrations import migrate

MOST_PROBLEMS: Final = 20
"""Problems that are told of."""


class Health(msgspec.Struct, frozen=True):
    """What a look through the whole file found.

    Attributes:
        problems: what is wrong, at most `MOST_PROBLEMS`; empty when all is well.
        size: bytes of the file.
        free: bytes of it that are unused.
        version: of the schema, the number of its last migration.
        revision: of the last commit.
    """

    problems: tuple[str, ...]
    size: int
    free: int
    version: int
    revision: int


def find_problems(connection: apsw.Connection, *, full: bool) -> list[str]:
    """Read every page, and say what is wrong. Raises `apsw.Error` where not even that is possible.

    Args:
        full: whether to compare indexes with their tables as well, which takes several times as long.
    """
    check = "integrity_check" if full else "quick_check"
    found = [str(row[0]) for row in connection.execute(f"PRAGMA {check}({MOST_PROBLEMS})")]
    return [] if found == ["ok"] else found


def find_missing(connection: apsw.Connection) -> list[str]:
    """The tables and indexes that a database of its version should have, and this one lacks. Raises `apsw.Error`."""
    blank = apsw.Connection(":memory:")
    try:
        migrate(blank, ":memory:", until=int(connection.pragma("user_version")))
        return sorted(_names(blank) - _names(connection))
    finally:
        blank.close()


def _names(connection: apsw.Connection) -> set[str]:
    rows = connection.execute("SELECT type || ' ' || name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'")
    return {str(row[0]) for row in rows}
