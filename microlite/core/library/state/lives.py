"""How long something lives that is stored, as a service says it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TypeAlias

from microlite.core import errors

Ttl: TypeAlias = float | timedelta | None
"""How long it lives: seconds, or a `timedelta`; None for ever."""

Expiry: TypeAlias = float | datetime | None
"""When it expires: seconds since the Unix epoch, or a `datetime` with its time zone; None for never."""


def life(ttl: Ttl, expires_at: Expiry) -> dict[str, object]:
    """The fields of a request that say so.

    Raises:
        BadRequest: a time without its zone.
    """
    fields: dict[str, object] = {}
    if ttl is not None:
        fields["ttl"] = ttl.total_seconds() if isinstance(ttl, timedelta) else ttl
    if isinstance(expires_at, datetime):
        if expires_at.tzinfo is None:
            raise errors.BadRequest(f"expires_at: {expires_at} says no time zone; give it one, as in datetime.now(UTC)")
        fields["expires_at"] = expires_at.timestamp()
    elif expires_at is not None:
        fields["expires_at"] = expires_at
    return fields
