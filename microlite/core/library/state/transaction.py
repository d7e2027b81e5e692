"""`ctx.transaction()`: changes of several kinds, all or none, in one durable commit."""

from __future__ import annotations

import asyncio
import inspect
import os
import random
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import msgspec

from microlite.core import errors
from microlite.core.description.codec import encode_msgpack
from microlite.core.library.bridge import Bridge
from microlite.core.library.state.transaction_parts import (
    NOTED,
    Noted,
    TransactionConfig,
    TransactionEvents,
    TransactionSchedules,
)
from microlite.core.library.state.transaction_store import Known, TransactionStore
from microlite.core.tx import api

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from microlite.core.events.api import Published
    from microlite.core.library.caller import Caller
    from microlite.core.library.state.events import Delivery

T = TypeVar("T")

DELIVERY: Final = "event-delivery"
"""The metadata of a call that hands out an event: the id of the delivery."""

RESENT: Final = 5
"""How often a commit of unknown outcome is sent again."""

KEPT: Final = 3_600.0
"""Seconds for which the outcome of a transaction is kept that was given no id: the longest that it is sent again."""

TRIES: Final = 10
"""How often `transact` runs its function, unless it is told otherwise."""

_FIRST_PAUSE: Final = 0.005
_LONGEST_PAUSE: Final = 0.5

_read_outcome: Final = msgspec.msgpack.Decoder(api.Outcome).decode


class Transaction:
    """Changes that take place together when the `async with` is left, or not at all.

    Leaving it by an exception forgets everything. What was read through it must be unchanged at the commit, its absence
    too; reads are no snapshot, the commit decides.

    Args:
        caller: makes the calls.
        id: of several transactions of the same caller with the same one, only the first takes place. Without it the
            transaction has one of its own.
        metadata: of the call that is being handled.

    Attributes:
        id: under which `tx.outcome` knows it.
        store: reads records, and notes down changes of them; `tx.store.blobs` of blobs.
        events: notes down what is published.
        config: notes down changes of the configuration.
        schedules: notes down calls for later.
        revision: of the commit; 0 before, and where there was nothing to commit.
        published: what became of each published event, in their order; empty before the commit. Positions are 0 where the
            answer to the commit was lost, and what came of it was asked for again.
        repeated: whether a transaction with this id had taken place before, so that this one changed nothing.
    """

    BRIDGED = True

    def __init__(self, caller: Caller, id: str = "", metadata: Mapping[str, str] | None = None) -> None:
        self.id = api.check_id(id) or os.urandom(16).hex()
        self._named = bool(id)
        self._caller = caller
        self._metadata = metadata or {}
        self._changes: list[msgspec.Struct] = []
        self._known = Known()
        self._over = False
        self.store = TransactionStore(self, caller, self._known)
        self.events = TransactionEvents(self)
        self.config = TransactionConfig(self)
        self.schedules = TransactionSchedules(self)
        self.revision = 0
        self.published: tuple[Published, ...] = ()
        self.repeated = False

    def ack(self, delivery: str | Delivery[Any] = "") -> Noted:
        """Acknowledge the event that is being handled, together with what is done for it.

        Args:
            delivery: one that was pulled, or its id; without it, the event that the platform has handed to this endpoint.

        Raises:
            BadRequest: no event is being handled here.
        """
        found = delivery if isinstance(delivery, str) else delivery.id
        found = found or self._metadata.get(DELIVERY, "")
        if not found:
            raise errors.BadRequest(
                "ack: no event is being handled here; name the delivery of one that was pulled, tx.ack(delivery)"
            )
        return self.note(api.EventsAck(delivery=found))

    def note(self, change: msgspec.Struct) -> Noted:
        """Note a change down, as `POST /tx` takes it.

        Raises:
            BadRequest: the transaction is over.
        """
        self.check_open()
        self._changes.append(change)
        return NOTED

    def check_open(self) -> None:
        """Raise `BadRequest` when the transaction is over."""
        if self._over:
            raise errors.BadRequest("this transaction is over: begin another one with ctx.transaction()")

    async def __aenter__(self) -> Self:
        self.check_open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            await self.commit()
        self._over = True

    async def commit(self) -> None:
        """Let everything take place. Leaving the `async with` does this.

        Raises:
            Conflict: something that was read or expected is different by now; the detail names it.
            OutcomeUnknown: nobody answers any more, so it may have taken place; `tx.outcome` knows it by the id.
            PayloadTooLarge: there are too many changes, or they are too large.
        """
        self.check_open()
        self._over = True
        operations = [*self._known.operations(), *self._changes]
        if len(operations) <= self._known.alone and not self._named:
            return  # nothing, or one record that was read: it was so when it was read
        if len(operations) > api.MAX_OPERATIONS:
            raise errors.PayloadTooLarge(
                f"{len(operations)} operations are too many for one transaction: the limit is {api.MAX_OPERATIONS}"
            )
        keep = api.KEPT if self._named else KEPT
        payload = encode_msgpack({"operations": operations, "id": self.id, "keep": keep})
        if len(payload) > 2 * api.MAX_BYTES:  # more than goes into one frame; below that the service says it
            raise errors.PayloadTooLarge(
                f"{len(payload)} bytes are too many for one transaction: the limit is {api.MAX_BYTES}"
            )
        outcome = await self._send(payload)
        self.revision, self.published = outcome.revision, outcome.published

    async def _send(self, payload: bytes) -> api.Outcome:
        for attempt in range(RESENT):
            try:
                outcome = _read_outcome(await self._caller.call_raw("tx", "call", payload, idempotent=True))
            except errors.OutcomeUnknown:
                await asyncio.sleep(_pause(attempt))
                continue
            except errors.ServiceUnavailable:
                if not attempt:
                    raise
                break
            except errors.Timeout:
                break
            self.repeated = outcome.repeated and not attempt
            return outcome
        raise errors.OutcomeUnknown(
            f"outcome unknown: nobody answered to the commit, and the transaction may have taken place; "
            f"tx.outcome knows it by its id {self.id}"
        )


async def transact(caller: Caller, change: Callable[[Any], Any], tries: int, metadata: Mapping[str, str] | None) -> Any:
    """Run a function with a transaction until it can be committed; see `Caller.transact`."""
    if tries < 1:
        raise errors.BadRequest(f"tries: expected 1 or more, got {tries}")
    for attempt in range(tries):
        transaction = Transaction(caller, metadata=metadata)
        result = await _run(change, transaction)
        try:
            await transaction.commit()
        except errors.Conflict:
            if attempt + 1 == tries:
                raise
        else:
            return result
        await asyncio.sleep(_pause(attempt))
    raise AssertionError("the last try returns or raises")


async def _run(change: Callable[[Any], Any], transaction: Transaction) -> Any:
    if inspect.iscoroutinefunction(change):
        return await change(transaction)
    # A plain function may wait, so it is given the blocking form, in a thread.
    result = await asyncio.to_thread(change, Bridge(transaction, asyncio.get_running_loop()))
    return await result if inspect.isawaitable(result) else result


def _pause(attempt: int) -> float:
    """Seconds before the next try: longer with each, and not the same for all who meet."""
    longest: float = min(_FIRST_PAUSE * 2**attempt, _LONGEST_PAUSE)
    return random.uniform(0.2, 1.0) * longest
