"""What becomes of an exception that a handler did not catch."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

from microlite.core import errors
from microlite.core.description.reply_check import ReplyError

if TYPE_CHECKING:
    from types import TracebackType

    from microlite.core.description.endpoint import Endpoint
    from microlite.core.library.context import Context

OWN_FILES = __file__.rpartition("core")[0]
"""The folder of this package: its frames say nothing to the author of a service."""


def report(error: BaseException, context: Context, endpoint: Endpoint | None) -> errors.InternalServerError:
    """Log an exception with the user's part of its traceback, and make the error that the caller gets instead.

    The caller learns an id; the log holds the rest under the same id.
    """
    error_id = context.new_id()
    place = f"{context.service}.{endpoint.name}" if endpoint is not None else context.service
    told = "traceback"
    if isinstance(error, ReplyError) and endpoint is not None:
        at = endpoint.place
        told, text = "reason", f'  File "{at.file}", line {at.line}, in {at.label}\n{type(error).__name__}: {error}'
    else:
        text = user_traceback(error)
    context.log.error("%s failed (error %s)\n%s", place, error_id, text)
    return errors.InternalServerError(
        f"{place} failed with {type(error).__name__}; the log has the {told} under {error_id}", id=error_id
    )


def user_traceback(error: BaseException) -> str:
    """What the author of a service needs to see of an exception: the frames that the author wrote."""
    shown = traceback.TracebackException(type(error), error, error.__traceback__, compact=True)
    _keep_own(shown)
    return "".join(shown.format()).rstrip()


def _keep_own(shown: traceback.TracebackException) -> None:
    """Take our frames out of a traceback, and out of those of its causes; one that is ours alone stays as it is."""
    kept = [frame for frame in shown.stack if not frame.filename.startswith(OWN_FILES)]
    if kept:
        shown.stack[:] = kept
    for other in (shown.__cause__, shown.__context__, *(getattr(shown, "exceptions", None) or ())):
        if other is not None:
            _keep_own(other)


def user_frames(trace: TracebackType | None) -> TracebackType | None:
    """The traceback from the first frame that is not the platform's own; all of it if there is none."""
    found = trace
    while found is not None and found.tb_frame.f_code.co_filename.startswith(OWN_FILES):
        found = found.tb_next
    return found or trace
