"""Carries out transactions: plans all parts, commits them as one batch, and remembers those that have an id."""

from __future__ import annotations

import asyncio
import math
from contextlib import nullcontext
from typing import TYPE_CHECKING, Final

import msgspec

from microlite.core import errors
from microlite.core.engine.api import MAX_BATCH_OPERATIONS, Batch, Presence, Put
from microlite.core.events.api import Published
from microlite.core.tx import api
from microlite.core.tx.plans import make_plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from microlite.core.clock import Clock
    from microlite.core.context import Origin
    from microlite.core.engine.api import Committed, Engine
    from microlite.core.tx.plans import Asker, Gate, Plan, Planners

OUTCOMES: Final = "tx"
"""The records of transactions that took place."""

TRIES: Final = 20
"""How often parts are planned anew, when what a service has found while planning was different at the commit."""


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    """What is remembered of a transaction; its revision is that of the record.

    Attributes:
        published: what became of each event, but for its position, which only the commit gives out.
    """

    published: tuple[Published, ...]


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Kept).decode

_REMOVING: Final = (
    api.StoreDelete,
    api.StoreExpect,
    api.BlobDelete,
    api.EventsAck,
    api.ConfigUnset,
    api.SchedulesCancel,
)
"""What takes place also where a namespace holds as much as it may."""


class Transactions:
    """The transactions of one platform.

    Args:
        engine: commits them.
        clock: says until when an outcome is kept.
        planners: the services whose changes they can hold.
        gate: says who may have which parts.
    """

    def __init__(self, engine: Engine, clock: Clock, planners: Planners, gate: Gate) -> None:
        self._engine = engine
        self._clock = clock
        self._planners = planners
        self._gate = gate
        self._turn = asyncio.Lock()
        """Held by those that would stand in each other's way."""

    async def carry_out(
        self, asker: Asker, parts: Sequence[api.Operation], *, id: str = "", keep: float = api.KEPT
    ) -> api.Outcome:
        """Let all parts take place, or none; returns when they are on disk.

        Args:
            asker: who asks.
            parts: what shall take place.
            id: of several with the same one, by the same caller, the first that succeeds takes place, and the others are
                answered what that one was.
            keep: seconds for which the outcome is remembered.

        Raises:
            Conflict: something is not as expected; the detail names it.
            PayloadTooLarge: there are too many parts, or they are too large.
            Error: a part cannot be carried out, and which.
        """
        if len(parts) > api.MAX_OPERATIONS:
            raise errors.PayloadTooLarge(
                f"operations: {len(parts)} are too many for one transaction: the limit is {api.MAX_OPERATIONS}"
            )
        api.check_id(id)
        if not (math.isfinite(keep) and api.MIN_KEPT <= keep <= api.MAX_KEPT):
            raise errors.BadRequest(f"keep: expected {api.MIN_KEPT:.0f} to {api.MAX_KEPT:.0f} seconds, got {keep:g}")
        # Changes of the configuration expect all of it to be as it was: two that are planned at once cannot both succeed.
        waits = any(isinstance(part, api.ConfigSet | api.ConfigUnset) for part in parts)
        for _ in range(TRIES):
            async with self._turn if waits else nullcontext():
                outcome = await self._try(asker, parts, id, keep)
            if outcome is not None:
                return outcome
            waits = True
        raise errors.Conflict("others change the same things all the time; nothing of the transaction took place")

    async def _try(self, asker: Asker, parts: Sequence[api.Operation], id: str, keep: float) -> api.Outcome | None:
        """Plan and commit; None if something that a service has found while planning was different at the commit."""
        origin, plan = asker.origin, None
        try:
            plan = await make_plan(self._planners, self._gate, asker, parts)
            adds = not all(isinstance(part, _REMOVING) for part in parts)
            committed = await self._commit(origin, plan, id, keep, within_quota=adds)
        except errors.Error as error:
            # One that was sent again fails here, at the latest since its outcome is there already.
            kept = await self._find(origin, id)
            if kept is not None:
                return kept
            if plan is None or not isinstance(error, errors.Conflict):
                raise
            if error.detail.startswith(plan.stated):
                raise errors.Conflict(f"{error.detail}; nothing of the transaction took place") from None
            return None
        return api.Outcome(revision=committed.revision, published=plan.published_at(committed.positions), id=id)

    async def outcome(self, origin: Origin, id: str) -> api.Outcome:
        """What came of a transaction of this caller.

        Raises:
            NotFound: none with this id took place, or too long ago.
        """
        if not id:
            raise errors.BadRequest("id: that of a transaction is needed")
        found = await self._find(origin, api.check_id(id))
        if found is None:
            raise errors.NotFound(
                f"no transaction {id!r} of this caller took place; its outcome is kept for a day unless it said otherwise"
            )
        return found

    async def _find(self, origin: Origin, id: str) -> api.Outcome | None:
        if not id:
            return None
        record = await self._engine.get(origin.namespace, OUTCOMES, _key(origin, id))
        if record is None:
            return None
        kept = _decode(record.value)
        return api.Outcome(revision=record.revision, published=kept.published, id=id, repeated=True)

    async def _commit(self, origin: Origin, plan: Plan, id: str, keep: float, *, within_quota: bool) -> Committed:
        operations = plan.operations
        if id:
            value = _encode(_Kept(plan.published))
            until = self._clock.now() + keep
            operations = (*operations, Put(OUTCOMES, _key(origin, id), value, until, Presence.ABSENT))
        if len(operations) > MAX_BATCH_OPERATIONS:
            raise errors.PayloadTooLarge(
                f"operations: what they come to in the engine are {len(operations)} changes, and one commit has at most "
                f"{MAX_BATCH_OPERATIONS}: make two transactions of it"
            )
        return await self._engine.commit(Batch(origin.namespace, operations, within_quota=within_quota))


def _key(origin: Origin, id: str) -> str:
    """Where the outcome is kept: everybody has ids of their own."""
    owner = f"service/{origin.service}" if origin.service else f"account/{origin.account}"
    if not origin.service and origin.account_namespace != origin.namespace:
        owner = f"foreign/{origin.account_namespace}/{origin.account}"
    return f"{owner}/{id}"
