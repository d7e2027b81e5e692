"""From any older form of the database to the newest, forward only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from microlite.core import errors

if TYPE_CHECKING:
    import apsw

APPLICATION_ID: Final = 0x6D6C6974
"""`mlit` in ASCII: what tells a database of ours from somebody else's (https://www.sqlite.org/fileformat.html)."""

FOLDER: Final = Path(__file__).with_name("migrations")


def migrate(connection: apsw.Connection, path: str, folder: Path = FOLDER, *, until: int | None = None) -> None:
    """Bring a database to the newest version, each step in a transaction of its own.

    The steps are the files `NNNN_<noun>.sql` of the folder, numbered from 1 without a gap; the number of the last one
    carried out is the database's `user_version`.

    Args:
        until: the version at which to stop; none for the newest.

    Raises:
        errors.PreconditionFailed: the database is newer than this program, or it is another program's.
    """
    steps = sorted(folder.glob("[0-9][0-9][0-9][0-9]_*.sql"))
    check_owner(connection, path, len(steps))
    version = int(connection.pragma("user_version"))
    for number, step in enumerate(steps[version:until], start=version + 1):
        assert int(step.name[:4]) == number, f"the migration {step.name} stands at place {number}"
        with connection:
            connection.execute(step.read_text(encoding="utf-8"))
            connection.pragma("application_id", APPLICATION_ID)
            connection.pragma("user_version", number)


def newest_version() -> int:
    """The number of the last migration that this program knows."""
    return len(list(FOLDER.glob("[0-9][0-9][0-9][0-9]_*.sql")))


def check_owner(connection: apsw.Connection, path: str, newest: int) -> None:
    """Refuse a database that is newer than a version, or another program's. One that is empty is nobody's yet.

    Raises:
        errors.PreconditionFailed: it is; the detail names `path`.
    """
    version = int(connection.pragma("user_version"))
    if version > newest:
        raise errors.PreconditionFailed(
            f"{path} was written by a newer microlite (its database version is {version}, this program knows up to "
            f"{newest}): run that version, or restore a backup from before the update"
        )
    owner = int(connection.pragma("application_id"))
    if owner != APPLICATION_ID and (owner or not _is_empty(connection)):
        raise errors.PreconditionFailed(f"{path} is a database of another program: choose another file")


def _is_empty(connection: apsw.Connection) -> bool:
    return not connection.execute("SELECT count(*) FROM sqlite_schema").get
