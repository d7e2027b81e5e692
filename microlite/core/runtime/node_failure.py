"""Why a node did not come up, or is gone: in words for a person, and as a part of its service's story."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from microlite.core import errors
from microlite.core.runtime.launch.api import LaunchError
from microlite.core.runtime.restarts import Cause, Restart

if TYPE_CHECKING:
    from microlite.core.runtime.api import Desired

_LAST_LINES = 20

log = logging.getLogger(__name__)


class NodeFailed(Exception):
    """A node did not come up, or ended by itself. Its text is the reason in one line.

    Attributes:
        story: what is kept of it.
        lines: its last words.
        final: starting it once more cannot help.
    """

    def __init__(self, reason: str, story: Restart, *, final: bool = False) -> None:
        super().__init__(reason)
        self.story = story
        self.lines = story.lines
        self.final = final


def failure_of(error: Exception, at: float, desired: Desired) -> NodeFailed:
    """Whatever went wrong on the way to a running node, as something to tell. What nobody expected is logged.

    Args:
        error: what was raised.
        at: when, in seconds since the Unix epoch.
        desired: the service.
    """
    if isinstance(error, NodeFailed):
        return error
    if isinstance(error, errors.Error):
        reason = error.detail
    elif isinstance(error, LaunchError):
        reason = str(error)
    elif isinstance(error, OSError):
        reason = f"{error.filename or desired.source.folder}: {error.strerror or error}"
    else:
        log.error("%s could not be started", desired.key, exc_info=error)
        reason = "could not be started by a fault of the platform; its own log says more"
    first, *lines = reason.splitlines() or [""]
    return NodeFailed(first, Restart(at=at, cause=Cause.BUILD, detail=first, lines=tuple(lines[-_LAST_LINES:])))
