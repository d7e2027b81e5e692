"""Writes and reads the audit logs of all namespaces."""

from __future__ import annotations

import math
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

import msgspec

from microlite.core import errors
from microlite.core.audit.entries import STREAM, Act, Value, act_of
from microlite.core.engine.api import MAX_SCAN_LIMIT, Append, Batch

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from microlite.core.context import Origin
    from microlite.core.engine.api import Engine, Entry

MOST: Final = 500
"""Most entries on one page."""

MOST_READ: Final = 20_000
"""Entries that one page looks at, whatever it finds; its cursor goes on from there."""


class Found(msgspec.Struct, frozen=True):
    """An entry of the log.

    Attributes:
        position: its place in the log, growing.
        at: when, in seconds since the Unix epoch.
    """

    position: int
    at: float
    act: Act


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries.

    Attributes:
        actor: only those of this account; of all for an empty one.
        action: only those whose action begins so.
        resource: only those whose resource begins so.
        since: nothing older, in seconds since the Unix epoch; 0 for no limit.
        until: nothing younger; 0 for no limit.
    """

    actor: str = ""
    action: str = ""
    resource: str = ""
    since: float = 0.0
    until: float = 0.0

    def takes(self, found: Found) -> bool:
        """Whether an entry is one of them."""
        act = found.act
        return (
            self.actor in ("", act.actor)
            and act.action.startswith(self.action)
            and act.resource.startswith(self.resource)
            and found.at >= self.since
            and (not self.until or found.at <= self.until)
        )


class Audit:
    """The logs of all namespaces. What belongs to the platform as a whole is in the log of `PLATFORM_NAMESPACE`.

    There is no verb that changes an entry. The oldest go by `Retention` only, and all with their namespace.

    Args:
        engine: keeps them.

    Attributes:
        namespaces: whose logs were written to by this.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.namespaces: set[str] = set()

    def entry(self, origin: Origin, action: str, resource: str = "", /, **detail: Value) -> Append:
        """An entry, for the very batch that carries the act out: so both are on disk, or neither.

        Args:
            origin: who acts, as `ctx.origin` says it.
            action: the endpoint by its full name.
            resource: what it is done to: a word for its kind, a colon, its name.
            detail: what changes, by name. Never a secret.

        The batch has to be one of the origin's namespace: `origin.within(PLATFORM_NAMESPACE)` is that of the platform.
        """
        self.namespaces.add(origin.namespace)
        return Append(STREAM, msgspec.msgpack.encode(act_of(origin, action, resource, detail)))

    async def note(self, origin: Origin, action: str, resource: str = "", /, **detail: Value) -> None:
        """Put an entry on disk in the log of the origin's namespace, for an act that has no commit of its own.

        Comes before the act: nothing is done that cannot be written down.

        Raises:
            Error: as the engine's commit.
        """
        await self._engine.commit(Batch(origin.namespace, (self.entry(origin, action, resource, **detail),)))

    async def page(
        self, namespace: str, wanted: Wanted, *, before: int = 0, limit: int = 100
    ) -> tuple[list[Found], int]:
        """Entries, the newest first, and what to pass as `before` for the next page; 0 where this was the last.

        A page can hold fewer than its limit, and still not be the last.

        Args:
            namespace: whose log.
            wanted: which entries.
            before: only those before this position; 0 for the newest.
            limit: so many at most, 1 to 500.
        """
        if not 1 <= limit <= MOST:
            raise errors.BadRequest(f"limit: {limit} is not between 1 and {MOST}")
        if wanted.until:
            behind = await self._engine.find_position(namespace, STREAM, math.nextafter(wanted.until, math.inf))
            before = min(before, behind + 1) if before else behind + 1
        found: list[Found] = []
        read = 0
        while read < MOST_READ:
            size = min(MAX_SCAN_LIMIT, max(100, limit - len(found)))
            page = await self._engine.read(namespace, STREAM, after=before, limit=size, reverse=True)
            for entry in page.entries:
                one = _found(entry)
                if one.at < wanted.since:
                    return found, 0
                before = one.position
                if wanted.takes(one):
                    found.append(one)
                    if len(found) == limit:
                        return found, before if before > 1 else 0
            read += len(page.entries)
            if not page.entries or (len(page.entries) < size and not page.more) or before <= 1:
                return found, 0
        return found, before

    async def follow(self, namespace: str, wanted: Wanted, *, after: int | None = None) -> AsyncGenerator[Found]:
        """Entries as they come, without an end.

        Args:
            namespace: whose log.
            wanted: which entries.
            after: begin behind this position; without it, with what comes from now on.
        """
        async with self._engine.tail(namespace, STREAM) as tail:
            position = (await self._engine.stream_state(namespace, STREAM)).last if after is None else after
            while True:
                await tail.moved(position)
                async with aclosing(self._behind(namespace, position)) as entries:
                    async for one in entries:
                        position = one.position
                        if wanted.takes(one):
                            yield one

    async def _behind(self, namespace: str, position: int) -> AsyncGenerator[Found]:
        while True:
            page = await self._engine.read(namespace, STREAM, after=position, limit=100)
            for entry in page.entries:
                position = entry.position
                yield _found(entry)
            if len(page.entries) < 100 and not page.more:
                return


def _found(entry: Entry) -> Found:
    return Found(entry.position, entry.at, msgspec.msgpack.decode(entry.value, type=Act))
