"""What becomes of an exception that a handler did not catch."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

from microlite.core import errors

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
    text = "".join(traceback.format_exception(type(error), error, user_frames(error.__traceback__))).rstrip()
    context.log.error("%s failed (error %s)\n%s", place, error_id, text)
    return errors.InternalServerError(
        f"{place} failed with {type(error).__name__}; the log has the traceback under {error_id}", id=error_id
    )


def user_frames(trace: TracebackType | None) -> TracebackType | None:
    """The traceback from the first frame that is not the platform's own; all of it if there is none."""
    found = trace
    while found is not None and found.tb_frame.f_code.co_filename.startswith(OWN_FILES):
        found = found.tb_next
    return found or trace
