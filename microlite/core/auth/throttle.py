"""How often somebody may try to log in."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final

from microlite.core import errors

if TYPE_CHECKING:
    from microlite.core.clock import Clock

WINDOW: Final = 60.0
"""Seconds in which attempts are counted."""

PER_ACCOUNT: Final = 10
"""Attempts for one account within the window, from wherever they come, unless one of them succeeds."""

PER_ADDRESS: Final = 30
"""Attempts from one address within the window that do not succeed, for whatever accounts."""

MOST_CHARACTERS: Final = 64
"""Of an address that is none."""

MOST_REMEMBERED: Final = 10_000
"""Accounts, and as many addresses, whose attempts are remembered; the oldest are forgotten first."""


class Throttle:
    """Counts attempts. They count from their beginning, so that many at the same moment are no way around it.

    Args:
        clock: for the window.
    """

    def __init__(self, clock: Clock) -> None:
        self._accounts = _Counts(clock, PER_ACCOUNT)
        self._addresses = _Counts(clock, PER_ADDRESS)

    def begin(self, account: str, address: str) -> None:
        """Count an attempt, or refuse it.

        Args:
            account: for which; also one that does not exist.
            address: from where; empty where that is this machine's own socket.

        Raises:
            TooManyRequests: there were too many; the detail says when to come back.
        """
        address = _network(address)
        wait = max(self._accounts.wait(account), self._addresses.wait(address) if address else 0.0)
        if wait:
            raise errors.TooManyRequests(f"too many attempts to log in; try again in {int(wait) + 1} s")
        self._accounts.add(account)
        if address:
            self._addresses.add(address)

    def succeed(self, account: str, address: str) -> None:
        """The last attempt was good: the account begins anew, and the address has one attempt back."""
        self._accounts.clear(account)
        self._addresses.take_back(_network(address))


def _network(address: str) -> str:
    """What is counted of an address: of IPv6 the first 64 bits, since whoever has one address of those has them all."""
    if ":" not in address:
        return address
    try:
        found = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address[:MOST_CHARACTERS]
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Address(int(found) >> 64 << 64))


class _Counts:
    def __init__(self, clock: Clock, most: int) -> None:
        self._clock = clock
        self._most = most
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def wait(self, key: str) -> float:
        """Seconds until another attempt is taken; 0 for now."""
        times = self._times.get(key)
        if times is None:
            return 0.0
        now = self._clock.monotonic()
        while times and now - times[0] >= WINDOW:
            times.popleft()
        return WINDOW - (now - times[0]) if len(times) >= self._most else 0.0

    def add(self, key: str) -> None:
        times = self._times.pop(key, None)
        if times is None:
            times = deque(maxlen=self._most)
        times.append(self._clock.monotonic())
        self._times[key] = times
        if len(self._times) > MOST_REMEMBERED:
            self._times.popitem(last=False)

    def clear(self, key: str) -> None:
        self._times.pop(key, None)

    def take_back(self, key: str) -> None:
        times = self._times.get(key)
        if times:
            times.pop()
