"""What has changed in a configuration, by whom and when, and what is different between two revisions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from microlite.core import errors
from microlite.core.config.api import HIDDEN, Difference, Entry
from microlite.core.config.paths import canonical, lies_within
from microlite.core.config.records import (
    HEAD,
    HISTORY,
    LEAVES,
    MAX_HISTORY,
    Head,
    Kept,
    Past,
    decode_head,
    decode_past,
    encode,
    history_key,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from microlite.core.config.keys import Keys
    from microlite.core.engine.api import Engine

MAX_ENTRIES: Final = 200
"""Most changes that one look at the history gives."""


class State(NamedTuple):
    """The head of a namespace, and the engine's revision of its record; none before the first change."""

    head: Head
    expect: int | None


async def read_state(engine: Engine, namespace: str) -> State:
    """The head of a namespace, as it is now."""
    record = await engine.get(namespace, LEAVES, HEAD)
    return State(Head(), None) if record is None else State(decode_head(record.value), record.revision)


class History:
    """The changes of all namespaces.

    Args:
        engine: keeps them.
        keys: tell whether two secrets are the same.
    """

    def __init__(self, engine: Engine, keys: Keys) -> None:
        self._engine = engine
        self._keys = keys

    async def entries(self, namespace: str, path: str = "", *, limit: int = 20, before: int = 0) -> list[Entry]:
        """The changes that touched a path, the newest first.

        Args:
            namespace: whose.
            path: only what changed there.
            limit: 1 to `MAX_ENTRIES`.
            before: only changes before this revision; 0 for all.
        """
        if not 1 <= limit <= MAX_ENTRIES:
            raise errors.BadRequest(f"limit: expected a number from 1 to {MAX_ENTRIES}, got {limit}")
        top = canonical(path)
        found: list[Entry] = []
        after = history_key(before) if before > 0 else ""
        while len(found) < limit:
            page = await self._engine.scan(namespace, HISTORY, after=after, limit=100, reverse=True)
            for record in page.records:
                past = decode_past(record.value)
                steps = [step for step in past.steps if lies_within(step.path, top)]
                if steps and len(found) < limit:
                    changes = tuple(_difference(step.path, step.old, step.new) for step in steps)
                    found.append(
                        Entry(
                            revision=past.revision,
                            at=past.at,
                            author=past.author,
                            service=past.service,
                            action=past.action,
                            changes=changes,
                        )
                    )
            if page.cursor is None:
                break
            after = page.cursor
        return found

    async def diff(self, namespace: str, since: int, until: int = 0, path: str = "") -> list[Difference]:
        """What is different between two revisions, by path.

        Args:
            namespace: whose.
            since: the earlier revision; 0 for before the first change.
            until: the later one; 0 for now.
            path: only what lies there.

        Raises:
            NotFound: a revision is not known, or no longer.
        """
        top = canonical(path)
        head = await self._latest(namespace)
        first: dict[str, Kept | None] = {}
        last: dict[str, Kept | None] = {}
        async for past in self.since(namespace, since, until or head):
            for step in past.steps:  # the newest change comes first
                if lies_within(step.path, top):
                    last.setdefault(step.path, step.new)
                    first[step.path] = step.old
        return [
            _difference(one, first[one], last[one])
            for one in sorted(first)
            if not self._same(namespace, one, first[one], last[one])
        ]

    async def since(self, namespace: str, revision: int, until: int) -> AsyncIterator[Past]:
        """The changes after a revision and up to another one, the newest first.

        First of all raises NotFound where one of them is not known.
        """
        head = await self._latest(namespace)
        oldest = max(0, head - MAX_HISTORY)
        if revision > head or until > head:
            raise errors.NotFound(f"there is no revision {max(revision, until)}: the latest is {head}")
        if revision < oldest:
            raise errors.NotFound(
                f"revision {revision} is no longer known: the last {MAX_HISTORY} changes are kept, from {oldest} on"
            )
        if revision > until or revision < 0:
            raise errors.BadRequest(f"revision {revision} is not before {until}")
        after = history_key(until + 1)
        while True:
            page = await self._engine.scan(namespace, HISTORY, after=after, limit=100, reverse=True)
            for record in page.records:
                past = decode_past(record.value)
                if past.revision <= revision:
                    return
                yield past
            if page.cursor is None:
                return
            after = page.cursor

    def _same(self, namespace: str, path: str, old: Kept | None, new: Kept | None) -> bool:
        if old is None or new is None:
            return old is new
        if (old.sealed is None) != (new.sealed is None):
            return False
        if old.sealed is None or new.sealed is None:
            return encode(old.value) == encode(new.value)
        try:
            pair = [self._keys.open(namespace, path, one) for one in (old.sealed, new.sealed)]
        except errors.Unprocessable:
            return old.sealed == new.sealed
        return encode(pair[0]) == encode(pair[1])

    async def _latest(self, namespace: str) -> int:
        return (await read_state(self._engine, namespace)).head.revision


def _difference(path: str, old: Kept | None, new: Kept | None) -> Difference:
    return Difference(
        path=path,
        old=_shown(old),
        new=_shown(new),
        had=old is not None,
        has=new is not None,
        secret=any(one is not None and one.sealed is not None for one in (old, new)),
    )


def _shown(kept: Kept | None) -> Any:
    if kept is None:
        return None
    return HIDDEN if kept.sealed is not None else kept.value
