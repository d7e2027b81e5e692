"""Increments: those that wait for the same key are carried out together, so that none has to be tried twice."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec

from microlite.core import errors
from microlite.core.engine import api as engine_api
from microlite.core.store import api

if TYPE_CHECKING:
    from microlite.core.store.records import Records

TRIES: Final = 20
"""How often an increment is tried anew, after somebody else wrote the record in between."""

_MOST: Final = (1 << 63) - 1

_read: Final = msgspec.msgpack.Decoder().decode
_write: Final = msgspec.msgpack.Encoder().encode

_Place = tuple[str, str, str]


class _Step:
    """One increment that waits."""

    __slots__ = ("by", "expires_at", "outcome")

    def __init__(self, by: int | float, expires_at: float | None, outcome: asyncio.Future[api.Count]) -> None:
        self.by = by
        self.expires_at = expires_at
        self.outcome = outcome


class Counters:
    """Increases numbers.

    Args:
        records: keeps them.
    """

    def __init__(self, records: Records) -> None:
        self._records = records
        self._waiting: dict[_Place, list[_Step]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def increment(
        self, namespace: str, bucket: str, key: str, by: int | float, expires_at: float | None
    ) -> api.Count:
        """Add to the number under a key and return the sum, when it is on disk. A record that is not there counts as 0.

        Args:
            namespace: of the record.
            bucket: of the record.
            key: of the record.
            by: what to add.
            expires_at: of a record that begins with this; one that is there keeps its own.

        Raises:
            BadRequest: what is there is no number, or the sum is none that can be kept.
            Conflict: others wrote the record all the time.
        """
        step = _Step(by, expires_at, asyncio.get_running_loop().create_future())
        place = (namespace, bucket, key)
        steps = self._waiting.get(place)
        if steps is None:
            self._waiting[place] = [step]
            # A task of its own, since the caller that began it may go away before the others do.
            task = asyncio.get_running_loop().create_task(self._carry_out(place), name=f"microlite: count {key}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            steps.append(step)
        return await step.outcome

    async def _carry_out(self, place: _Place) -> None:
        while steps := self._waiting[place]:
            self._waiting[place] = []
            try:
                await self._add(place, steps)
            except errors.Error as error:
                for step in steps:
                    _fail(step, error)
            except BaseException:
                for step in (*steps, *self._waiting.pop(place)):
                    _fail(step, errors.OutcomeUnknown("outcome unknown: the increment was broken off"))
                raise
        del self._waiting[place]

    async def _add(self, place: _Place, steps: list[_Step]) -> None:
        namespace, bucket, key = place
        for _ in range(TRIES):
            record = await self._records.engine.get(namespace, bucket, key)
            value: int | float = 0
            expires_at, expect = steps[0].expires_at, engine_api.Presence.ABSENT
            if record is not None:
                value, expires_at = _number(record.value, key), record.expires_at
            sums: list[int | float | errors.Error] = []
            for step in steps:
                total = value + step.by
                if _is_number(total):
                    value = total
                    sums.append(total)
                else:
                    sums.append(errors.BadRequest(f"the sum under {key!r} is no number that can be kept: {total}"))
            put = engine_api.Put(bucket, key, _write(value), expires_at, expect if record is None else record.revision)
            try:
                revision = (await self._records.commit(namespace, (put,))).revision
            except errors.Conflict:
                continue
            for step, outcome in zip(steps, sums, strict=True):
                if isinstance(outcome, errors.Error):
                    _fail(step, outcome)
                elif not step.outcome.done():
                    step.outcome.set_result(api.Count(value=outcome, revision=revision))
            return
        raise errors.Conflict(f"the record {key!r} is written by others all the time; try again")


def _number(kept: bytes, key: str) -> int | float:
    try:
        value = _read(kept)
    except msgspec.DecodeError:
        value = None
    if type(value) not in (int, float):
        raise errors.BadRequest(f"what is stored under {key!r} is no number, so it cannot be increased")
    number: int | float = value
    return number


def _is_number(value: int | float) -> bool:
    return -_MOST - 1 <= value <= _MOST if isinstance(value, int) else value - value == 0


def _fail(step: _Step, error: errors.Error) -> None:
    if not step.outcome.done():
        step.outcome.set_exception(errors.restore(error.code, error.status, error.detail, error.id))
