"""What each namespace holds, counted with each commit, and the quotas that it is held to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from microlite.core import errors
from microlite.core.engine.api import Quota, Usage
from microlite.core.engine.queries import queries

if TYPE_CHECKING:
    from collections.abc import Mapping

    import apsw

Growth = tuple[int, int]
"""Records and bytes that come, or that go where they are negative."""


class Totals:
    """The counts of all namespaces, as on disk. The writer thread changes them; others may look."""

    def __init__(self) -> None:
        self._sql = queries()
        self._usage: dict[str, Usage] = {}
        self.quotas: dict[str, Quota] = {}
        """Of the namespaces that have one. It is replaced from the event loop, one entry at a time."""

    def load(self, connection: apsw.Connection) -> None:
        """Read them anew."""
        rows = connection.execute(self._sql["usage"]).get
        found = msgspec.json.decode(rows, type=list[tuple[str, int, int]])
        self._usage = {namespace: Usage(records, size) for namespace, records, size in found}

    def of(self, namespace: str) -> Usage:
        """What a namespace holds."""
        return self._usage.get(namespace) or Usage()

    def used(self) -> tuple[str, ...]:
        """The namespaces that hold anything, in order."""
        return tuple(sorted(name for name, usage in dict(self._usage).items() if usage.records or usage.bytes))

    def write(self, connection: apsw.Connection, growth: Mapping[str, Growth]) -> None:
        """Put what a transaction adds into the database, as a part of it. Call `apply` when it is committed."""
        for namespace, (records, size) in growth.items():
            if records or size:
                connection.execute(self._sql["add_usage"], (namespace, records, size))

    def apply(self, growth: Mapping[str, Growth]) -> None:
        """Take note of what was committed."""
        for namespace, (records, size) in growth.items():
            before = self.of(namespace)
            self._usage[namespace] = Usage(before.records + records, before.bytes + size)

    def forget(self, connection: apsw.Connection, namespace: str) -> None:
        """Remove the row of a namespace that holds nothing."""
        connection.execute(self._sql["forget_usage"], (namespace,))
        self._usage.pop(namespace, None)

    def refusal(self, namespace: str, before: Growth, more: Growth) -> errors.InsufficientStorage | None:
        """Why a namespace cannot take something; None where it can.

        Args:
            before: what the group adds already.
            more: what is to come.
        """
        quota = self.quotas.get(namespace)
        if quota is None:
            return None
        usage = self.of(namespace)
        limits = (
            (quota.records, usage.records + before[0], more[0], "records", "--max-records"),
            (quota.bytes, usage.bytes + before[1], more[1], "bytes", "--max-bytes"),
        )
        for limit, used, growth, what, option in limits:
            if limit is not None and growth > 0 and used + growth > limit:
                return errors.InsufficientStorage(
                    f'the namespace "{namespace}" is full: it holds {used:,} of at most {limit:,} {what}, and this would '
                    f"add {growth:,}; delete something, or ask an admin of the platform for more: "
                    f"microlite namespace set {namespace} {option} N"
                )
        return None
