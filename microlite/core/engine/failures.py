"""What SQLite reports, as errors that say what to do."""

from __future__ import annotations

from typing import Final

import apsw

from microlite.core import errors

CERTAIN: Final = (apsw.FullError, apsw.ReadOnlyError, apsw.BusyError)
"""Failures of a COMMIT that leave no doubt: SQLite refused before the record that makes a transaction valid was whole."""


def translate(error: apsw.Error, path: str) -> errors.Error:
    """The error to raise for one of SQLite's, for work that is known not to have changed anything."""
    match error:
        case apsw.FullError():
            return errors.InsufficientStorage(
                f"the disk that holds {path} is full: nothing was written, free some space"
            )
        case apsw.ReadOnlyError():
            return errors.ServiceUnavailable(
                f"{path} is read-only: nothing was written, make it and its folder writable"
            )
        case apsw.CantOpenError() | apsw.PermissionsError() | apsw.AuthError():
            return errors.ServiceUnavailable(
                f"{path} cannot be opened: it must be a file in a folder that you may write to"
            )
        case apsw.BusyError() | apsw.LockedError():
            return errors.ServiceUnavailable(f"{path} is locked by another program: nothing was written, try again")
        case apsw.NotADBError():
            return errors.PreconditionFailed(
                f"{path} is not a database of microlite: move it away, or restore a backup"
            )
        case apsw.CorruptError():
            return errors.InternalServerError(f"{path} is damaged ({error}): run `microlite doctor`, restore a backup")
        case apsw.InterruptError():
            return errors.Canceled("the read was given up")
        case apsw.NoMemError():
            return errors.ServiceUnavailable("there is not enough memory for this: nothing was written")
        case apsw.IOError():
            return errors.ServiceUnavailable(f"the disk that holds {path} failed: {error}")
        case _:
            return errors.InternalServerError(f"the database failed: {type(error).__name__}: {error}")


def doubtful(error: apsw.Error, path: str) -> errors.OutcomeUnknown:
    """The error for a COMMIT that failed without saying whether it took place."""
    return errors.OutcomeUnknown(
        f"the disk failed while committing to {path}: the change may be there or not ({error})"
    )
