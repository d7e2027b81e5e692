"""Removes the contents that nothing leads to any more, a slice at a time, whatever happens in between."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from typing import TYPE_CHECKING, Final

from microlite.core import errors
from microlite.core.context import PLATFORM_NAMESPACE
from microlite.core.engine.api import Batch, Check, Delete, Presence, Put
from microlite.core.store.blob_layout import (
    CHUNKS,
    DUE,
    NAMESPACES,
    STAGED,
    UPLOADING,
    decode_content,
    decode_due,
    due_time,
    retire,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from microlite.core.clock import Clock
    from microlite.core.engine.api import Engine, Record

SLICE: Final = 4
"""Chunks that one commit removes: a mebibyte."""

MAX_PIN: Final = 3_600.0
"""Seconds for which a reader can hold a content that was replaced, deleted or has expired."""

RETRY: Final = 10.0
"""Seconds after which a pass is tried again that failed."""

_PAGE: Final = 100

log = logging.getLogger("microlite")


class Sweeper:
    """Watches what is due in each namespace, and removes it. Enter it to start.

    Args:
        engine: where the contents are.
        clock: for what is due when.
    """

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._known: dict[str, asyncio.Task[None]] = {}
        self._broken: list[tuple[str, str]] = []
        self._pins: dict[tuple[str, str], int] = {}
        self._group = asyncio.TaskGroup()
        self._sweeping: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Sweeper:
        """Begin; uploads that were under way when the last process ended are broken ones."""
        await self._group.__aenter__()
        async for key in self._keys(PLATFORM_NAMESPACE, NAMESPACES):
            self._broken += [(key, content) async for content in self._keys(key, UPLOADING)]
            self._watch(key)
        self._sweeping = self._group.create_task(self._run(), name="microlite: sweep blobs")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """End; what is left is done by the next process."""
        tasks = [*self._known.values(), *([self._sweeping] if self._sweeping else [])]
        for task in tasks:
            task.cancel()
        await self._group.__aexit__(None, None, None)

    async def know(self, namespace: str) -> None:
        """Blobs are about to be written in a namespace: it is looked after from now on, in later processes too."""
        if namespace not in self._known:
            self._watch(namespace)
            await self._engine.commit(Batch(PLATFORM_NAMESPACE, (Put(NAMESPACES, namespace, b""),)))

    async def forget(self, namespace: str) -> None:
        """Look after a namespace no more, which is being deleted."""
        task = self._known.pop(namespace, None)
        if task is not None:
            task.cancel()
        self._broken = [one for one in self._broken if one[0] != namespace]
        await self._engine.commit(Batch(PLATFORM_NAMESPACE, (Delete(NAMESPACES, namespace),)))

    def abandon(self, namespace: str, content: str) -> None:
        """An upload has ended without being published."""
        self._broken.append((namespace, content))
        self._nudge()

    @contextlib.contextmanager
    def pinned(self, namespace: str, content: str) -> Iterator[None]:
        """Within it a content stays, also when nothing leads to it any more; an hour longer at most."""
        key = (namespace, content)
        self._pins[key] = self._pins.get(key, 0) + 1
        try:
            yield
        finally:
            self._pins[key] -= 1
            if not self._pins[key]:
                del self._pins[key]
                self._nudge()

    async def settled(self) -> None:
        """Return when nothing is left to remove that can be removed now."""
        await asyncio.sleep(0)
        while self._wake.is_set() or not self._idle.is_set():
            await self._idle.wait()
            await asyncio.sleep(0)

    def _nudge(self) -> None:
        self._idle.clear()
        self._wake.set()

    def _watch(self, namespace: str) -> None:
        self._known[namespace] = self._group.create_task(
            self._follow(namespace), name=f"microlite: watch what is due of the blobs of {namespace}"
        )

    async def _follow(self, namespace: str) -> None:
        """Notice what others commit, as transactions do."""
        with contextlib.suppress(errors.ServiceUnavailable):  # the engine closes
            async with self._engine.watch(namespace, DUE, from_revision=0) as changes:
                async for _ in changes:
                    self._nudge()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                next_due = await self._sweep()
            except errors.Error as error:
                log.warning("blobs that are gone could not be removed yet: %s", error)
                next_due = self._clock.now() + RETRY
            if not self._wake.is_set():
                self._idle.set()
            timer = None
            if next_due != math.inf:
                timer = self._clock.call_later(max(0.0, next_due - self._clock.now()), self._nudge)
            await self._wake.wait()
            if timer is not None:
                timer.cancel()

    async def _sweep(self) -> float:
        """Remove all that can be removed. Returns when there is more, infinity for never."""
        while self._broken:
            namespace, content = self._broken[-1]
            gone = (Delete(UPLOADING, content, Presence.PRESENT), *retire(content, self._clock.now()))
            with contextlib.suppress(errors.Conflict):  # it has been published after all, or nothing of it was written
                await self._engine.commit(Batch(namespace, gone))
            with contextlib.suppress(ValueError):  # its namespace is being deleted
                self._broken.remove((namespace, content))
        return min([await self._sweep_namespace(namespace) for namespace in list(self._known)], default=math.inf)

    async def _sweep_namespace(self, namespace: str) -> float:
        after, next_due = "", math.inf
        while True:
            page = await self._engine.scan(namespace, DUE, after=after, limit=_PAGE)
            for record in page.records:
                at = due_time(record.key)
                if at > self._clock.now():
                    return min(next_due, at)
                next_due = min(next_due, await self._remove(namespace, record))
            if page.cursor is None:
                return next_due
            after = page.cursor

    async def _remove(self, namespace: str, record: Record) -> float:
        """Remove a content and at last its due record. Returns when to look at it again, infinity for never."""
        engine, now = self._engine, self._clock.now()
        due = decode_due(record.value)
        held = Check(DUE, record.key, record.revision)
        if due.bucket:
            named = await engine.get(namespace, due.bucket, due.name)
            if named is not None and decode_content(named.value).id == due.id:
                return now + 1  # the engine rounds expiries up
        try:
            if due.is_staged:
                await engine.commit(Batch(namespace, (held, Delete(STAGED, due.id))))
            while True:
                if (namespace, due.id) in self._pins and self._clock.now() < due.since + MAX_PIN:
                    return due.since + MAX_PIN
                page = await engine.scan(namespace, CHUNKS, prefix=f"{due.id}/", limit=SLICE, keys_only=True)
                if not page.records:
                    await engine.commit(Batch(namespace, (Delete(DUE, record.key, record.revision),)))
                    return math.inf
                slice_ = tuple(Delete(CHUNKS, chunk.key) for chunk in page.records)
                await engine.commit(Batch(namespace, (held, *slice_)))
        except errors.Conflict:
            return math.inf  # it was published meanwhile

    async def _keys(self, namespace: str, bucket: str) -> AsyncIterator[str]:
        after: str | None = ""
        while after is not None:
            page = await self._engine.scan(namespace, bucket, after=after, limit=_PAGE, keys_only=True)
            for record in page.records:
                yield record.key
            after = page.cursor
