"""A reason to start new nodes in place of the present ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from microlite.core.runtime.api import Desired
    from microlite.core.runtime.restarts import Cause

DECLARATIONS: Final = frozenset({"pyproject.toml", "requirements.txt", "uv.lock"})
"""Files of the folder that say how a service is run, and with what: a change of one of them is more than new code."""

_SHOWN: Final = 3


class Overtaken(Exception):
    """What was being started is no longer wanted: newer code has come."""


class Renewal:
    """Someone saved a file, or asked for an update.

    Args:
        cause: which of the two.
        changed: the files, relative to the folder of the service.
        since: when, in seconds since the Unix epoch.
        desired: what is wanted from now on; None to keep what was.
    """

    def __init__(self, cause: Cause, since: float, changed: Iterable[str] = (), desired: Desired | None = None) -> None:
        self.cause = cause
        self.since = since
        self.changed = set(changed)
        self.desired = desired

    @property
    def redeclares(self) -> bool:
        """Whether the project has to be read again."""
        return bool(self.changed & DECLARATIONS)

    @property
    def declares(self) -> bool:
        """Whether more than code may have changed."""
        return self.desired is not None or self.redeclares

    def absorb(self, later: Renewal) -> None:
        """Be a reason for both."""
        self.changed |= later.changed
        if later.desired is not None:
            self.desired, self.cause = later.desired, later.cause

    def inherit(self, failed: Renewal) -> None:
        """Declare anew what an earlier renewal did, which failed."""
        self.changed |= failed.changed & DECLARATIONS
        self.desired = self.desired or failed.desired

    @property
    def text(self) -> str:
        """What a session is told: the changed files, else the cause."""
        names = sorted(self.changed)
        more = " …" if len(names) > _SHOWN else ""
        return ", ".join(names[:_SHOWN]) + more if names else self.cause.value
