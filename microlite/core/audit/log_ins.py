"""What the audit log says of attempts to log in: each success, and of failures not so many that they flood it."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from microlite.core import errors
from microlite.core.context import PLATFORM_NAMESPACE, Origin

if TYPE_CHECKING:
    from microlite.core.audit.audit import Audit
    from microlite.core.clock import Clock

MOST: Final = 20
"""Failures that are written down in a window; the first entry of the next one says how many more there were."""

WINDOW: Final = 60.0
"""Seconds of a window."""

HOUR: Final = 3_600.0
"""Seconds of a window of those that succeed, of one account from one address: `MOST` of them are written down."""

MOST_REMEMBERED: Final = 10_000
"""Accounts, each with an address, whose log-ins are counted; those that were not seen for longest are forgotten first."""


class LogInAudit:
    """Writes down who logs in, and who fails.

    Args:
        audit: the logs.
        clock: for the windows.
    """

    def __init__(self, audit: Audit, clock: Clock) -> None:
        self._audit = audit
        self._clock = clock
        self._ends = 0.0
        self._count = 0
        self._good: OrderedDict[tuple[str, str, str], tuple[float, int]] = OrderedDict()

    async def succeeded(self, namespace: str, account: str, address: str) -> None:
        """Somebody has shown the secret of an account. Comes before he is given anything.

        Of those from one address, in an hour, the first are in the log, and then how many more there were: so nobody pushes
        what is older out of it by logging in again and again.
        """
        now, key, missed = self._clock.monotonic(), (namespace, account, address), 0
        ends, count = self._good.pop(key, (0.0, 0))
        if now >= ends:
            missed, ends, count = max(0, count - MOST), now + HOUR, 0
        self._good[key] = (ends, count + 1)
        if len(self._good) > MOST_REMEMBERED:
            self._good.popitem(last=False)
        if count < MOST:
            origin = Origin(namespace, account=account, account_namespace=namespace)
            await self._audit.note(
                origin, "auth.log-in", f"account:{account}", address=address, more_before=missed or None
            )

    async def failed(self, namespace: str, wanted: str, address: str, error: errors.Error) -> None:
        """Somebody has not, or was not let try.

        It is in the log of the platform, whatever was typed: for a namespace or account that does not exist, the same
        happens as for one that does.

        Args:
            namespace: that was typed.
            wanted: the account that was typed.
            address: from where.
            error: what he was told.
        """
        now, missed = self._clock.monotonic(), 0
        if now >= self._ends:
            missed, self._count, self._ends = max(0, self._count - MOST), 0, now + WINDOW
        self._count += 1
        if self._count > MOST:
            return
        throttled = isinstance(error, errors.TooManyRequests)
        action = "auth.log-in-throttled" if throttled else "auth.log-in-failed"
        resource = f"account:{namespace[:128]}/{wanted[:128]}"
        await self._audit.note(
            Origin(PLATFORM_NAMESPACE), action, resource, address=address, more_before=missed or None
        )
