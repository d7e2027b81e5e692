"""The contract of the built-in service `auth`."""

from __future__ import annotations

import msgspec


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A way into the dashboard.

    Attributes:
        url: opens the dashboard, once.
        expires: until when, in seconds since the Unix epoch.
    """

    url: str
    expires: float
