"""Schedules and runs on disk: each change is one commit, and what is read comes in pages."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import msgspec

from microlite.core import errors
from microlite.core.context import PLATFORM_NAMESPACE
from microlite.core.engine.api import Batch, Check, Delete, Presence, Put
from microlite.core.schedules.api import ENDED, KEPT_RUNS, KEPT_SECONDS, Outcome, Run
from microlite.core.schedules.records import (
    LATEST,
    NAMESPACES,
    OPEN,
    RUNS,
    SCHEDULES,
    OpenRun,
    Stored,
    decode_open,
    decode_run,
    decode_stored,
    encode,
    run_key,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from microlite.core.engine.api import Append, Engine, Operation, Record

SINGLES: Final = "~once"
"""Stands for all single calls together in the history, since each of them has a name of its own."""

log = logging.getLogger("microlite.schedules")

_PRUNE: Final = 16
"""Runs of one schedule after which its history is cut again."""


class Ledger:
    """What the engine keeps of schedules.

    Args:
        engine: the engine.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._unpruned: dict[tuple[str, str], int] = {}

    # -- reading -------------------------------------------------------------------------------------------------------

    async def namespaces(self) -> list[str]:
        """All that have schedules, or had."""
        return [record.key async for record in self._all(PLATFORM_NAMESPACE, NAMESPACES)]

    async def get(self, namespace: str, name: str) -> tuple[Stored, int] | None:
        """A schedule and its revision."""
        record = await self._engine.get(namespace, SCHEDULES, name)
        return (decode_stored(record.value), record.revision) if record is not None else None

    async def get_many(self, namespace: str, names: Sequence[str]) -> dict[str, tuple[Stored, int]]:
        """Those of these schedules that there are."""
        records = await self._engine.get_many(namespace, SCHEDULES, names) if names else ()
        return {record.key: (decode_stored(record.value), record.revision) for record in records if record is not None}

    async def page(self, namespace: str, prefix: str, after: str, limit: int) -> list[tuple[Stored, Run | None]]:
        """Schedules by name, each with its latest run that has ended."""
        page = await self._engine.scan(namespace, SCHEDULES, prefix=prefix, after=after, limit=limit)
        names = [record.key for record in page.records]
        latest = await self._engine.get_many(namespace, LATEST, names) if names else ()
        return [
            (decode_stored(record.value), None if run is None else decode_run(run.value))
            for record, run in zip(page.records, latest, strict=True)
        ]

    async def history(self, namespace: str, name: str, before: str, limit: int) -> list[Run]:
        """Runs of a schedule, the latest first."""
        start = f"{name}/{before}" if before else f"{name}/~"
        page = await self._engine.scan(namespace, RUNS, prefix=f"{name}/", after=start, limit=limit, reverse=True)
        return [decode_run(record.value) for record in page.records]

    async def open_runs(self, namespace: str) -> list[OpenRun]:
        """The runs that have not ended, in the order of their due times within each schedule."""
        found = []
        async for record in self._all(namespace, OPEN):
            try:
                found.append(decode_open(record.value))
            except msgspec.DecodeError as error:
                log.error("the run %s cannot be read, and is left out: %s", record.key, error)
        return found

    async def _all(self, namespace: str, bucket: str) -> AsyncIterator[Record]:
        after: str | None = ""
        while after is not None:
            page = await self._engine.scan(namespace, bucket, after=after, limit=1000)
            after = page.cursor
            for record in page.records:
                yield record

    # -- writing -------------------------------------------------------------------------------------------------------

    async def enter(self, namespace: str) -> None:
        """A namespace has schedules from now on."""
        await self._engine.commit(Batch(PLATFORM_NAMESPACE, (Put(NAMESPACES, namespace, b""),)))

    async def commit(self, namespace: str, operations: Sequence[Operation]) -> None:
        """Carry out operations; none is no commit."""
        if operations:
            await self._engine.commit(Batch(namespace, tuple(operations)))

    async def put(self, namespace: str, stored: Stored, revision: int, *beside: Append) -> None:
        """Change a schedule that has this revision; what stands `beside` is on disk with that.

        Raises:
            Conflict: it has another by now.
        """
        await self.commit(namespace, [Put(SCHEDULES, stored.name, encode(stored), expect=revision), *beside])

    async def claim(
        self,
        namespace: str,
        name: str,
        revision: int,
        following: Stored | None,
        begun: Sequence[OpenRun],
        lost: Sequence[Run] = (),
        *,
        keep: bool = False,
        beside: Sequence[Append] = (),
    ) -> None:
        """Write down which runs there are, before anything is called, and with that take their due times.

        Args:
            namespace: of the schedule.
            name: of the schedule.
            revision: that the schedule must have.
            following: the schedule with its next due time; without one it goes.
            begun: the runs.
            lost: those that only stand in the history.
            keep: leave the schedule as it is, in place of `following`.
            beside: entries that are on disk with that.

        Raises:
            Conflict: the schedule has changed; nothing was written.
        """
        if keep:
            operations: list[Operation] = [Check(SCHEDULES, name, revision)]
        elif following is None:
            operations = [Delete(SCHEDULES, name, expect=revision)]
        else:
            operations = [Put(SCHEDULES, name, encode(following), expect=revision)]
        for run in begun:
            operations += _written(run, expect=Presence.ABSENT)
        for one in lost:
            operations.append(_ended(one, run_key(one)))
        if lost:
            operations.append(Put(LATEST, name, encode(lost[-1])))
        operations += beside
        await self.commit(namespace, operations)
        if lost:
            await self._prune(namespace, name)

    async def note(self, namespace: str, run: OpenRun) -> None:
        """A run stands elsewhere now."""
        await self.commit(namespace, _written(run))

    async def end(self, namespace: str, run: OpenRun) -> None:
        """A run has ended."""
        key, name = run_key(run.run), run.run.schedule
        operations: list[Operation] = [_ended(run.run, key), Delete(OPEN, key)]
        if run.single:
            operations.append(_ended(run.run, f"{SINGLES}/{round(run.run.ended * 1000):014d}-{run.run.id[-8:]}"))
        else:
            operations.append(Put(LATEST, name, encode(run.run)))
        await self.commit(namespace, operations)

    async def prune(self, namespace: str, run: OpenRun) -> None:
        """Cut the history in which a run stands that has ended, now and then."""
        await self._prune(namespace, SINGLES if run.single else run.run.schedule)

    async def _prune(self, namespace: str, name: str) -> None:
        """Cut a history now and then: it may be longer by `_PRUNE` for a while."""
        count = self._unpruned.pop((namespace, name), _PRUNE - 1) + 1
        if count < _PRUNE:
            self._unpruned[namespace, name] = count
            return
        self._unpruned[namespace, name] = 0
        if len(self._unpruned) > 10_000:
            self._unpruned.clear()
        try:
            await self._cut(namespace, name)
        except errors.Error as error:
            # What was to be written is written; a history that is too long waits for the next time.
            log.warning("the history of %s was not cut, which is tried again: %s", name, error.detail)

    async def _cut(self, namespace: str, name: str) -> None:
        page = await self._engine.scan(
            namespace, RUNS, prefix=f"{name}/", after=f"{name}/~", limit=1000, reverse=True, keys_only=True
        )
        if len(page.records) > KEPT_RUNS:
            open_ = {run_key(run.run) for run in await self._open_of(namespace, name)}
            old = [record.key for record in page.records[KEPT_RUNS:] if record.key not in open_]
            await self.commit(namespace, [Delete(RUNS, key) for key in old])

    async def _open_of(self, namespace: str, name: str) -> list[OpenRun]:
        page = await self._engine.scan(namespace, OPEN, prefix=f"{name}/", limit=1000)
        return [decode_open(record.value) for record in page.records]


def changed(open_: OpenRun, outcome: Outcome, **fields: object) -> OpenRun:
    """The same run, standing elsewhere."""
    run = msgspec.structs.replace(open_.run, outcome=outcome, **fields)
    return msgspec.structs.replace(open_, run=run)


def _written(open_: OpenRun, expect: Presence | None = None) -> list[Operation]:
    key = run_key(open_.run)
    return [Put(RUNS, key, encode(open_.run), expect=expect), Put(OPEN, key, encode(open_), expect=expect)]


def _ended(run: Run, key: str) -> Put:
    assert run.outcome in ENDED
    return Put(RUNS, key, encode(run), expires_at=run.ended + KEPT_SECONDS)
