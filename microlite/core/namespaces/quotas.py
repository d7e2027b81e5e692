"""Limits of a namespace, and how many calls it may still make."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from microlite.core import errors
from microlite.core.engine.api import Quota
from microlite.core.namespaces.api import Limits

if TYPE_CHECKING:
    from microlite.core.clock import Clock


class TokenBucket:
    """So many calls in a second, and a number at once after a pause.

    Attributes:
        refused: calls for which there was none left.

    Args:
        rate: tokens that come in a second.
        burst: tokens that there can be at most.
    """

    __slots__ = ("_at", "_burst", "_clock", "_left", "_rate", "refused")

    def __init__(self, rate: float, burst: float, clock: Clock) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._left = burst
        self._at = clock.monotonic()
        self.refused = 0

    def take(self) -> bool:
        """Take a token, if there is one."""
        now = self._clock.monotonic()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1.0:
            self.refused += 1
            return False
        self._left -= 1.0
        return True


def bucket_of(limits: Limits, clock: Clock) -> TokenBucket | None:
    """What counts the calls of a namespace; None where nothing limits them."""
    if not limits.rate:
        return None
    return TokenBucket(limits.rate, float(limits.burst or math.ceil(limits.rate)), clock)


def quota_of(limits: Limits) -> Quota:
    """What the engine holds a namespace to."""
    return Quota(records=limits.records or None, bytes=limits.bytes or None)


def changed(
    limits: Limits,
    *,
    max_records: int | None,
    max_bytes: int | None,
    max_rate: float | None,
    burst: int | None,
    max_nodes: int | None,
) -> Limits:
    """The limits with some of them set anew; None leaves one as it is.

    Raises:
        BadRequest: one cannot be.
    """
    given = {"records": max_records, "bytes": max_bytes, "rate": max_rate, "burst": burst, "nodes": max_nodes}
    fields = {"rate": "max_rate", "burst": "burst"}
    for name, value in given.items():
        if value is not None and not (0 <= value < 1 << 53):
            raise errors.BadRequest(f"{fields.get(name, f'max_{name}')}: expected a number of 0 or more, got {value}")
    if max_rate and max_rate < 1:
        raise errors.BadRequest(f"max_rate: expected at least 1 call a second, or 0 for no limit, got {max_rate:g}")
    found = msgspec.structs.replace(limits, **{name: value for name, value in given.items() if value is not None})
    if found.burst and not found.rate:
        raise errors.BadRequest("burst: means nothing without a limit of the rate; set max_rate as well")
    return found
