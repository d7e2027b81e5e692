"""The built-in service `tx`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microlite.core.description import Role
from microlite.core.library.context import Context
from microlite.core.library.service import Service
from microlite.core.tx.api import KEPT, Operation, Outcome
from microlite.core.tx.plans import Asker

if TYPE_CHECKING:
    from microlite.core.tx.transactions import Transactions


def tx_service(transactions: Transactions) -> Service:
    """Make the service over the state of one platform."""
    service = Service(
        "tx",
        doc="Transactions: changes of records, blobs, events, configuration and schedules, all or none.",
        built_in=True,
    )

    @service.endpoint(role=Role.ACCOUNT)
    async def call(ctx: Context, operations: list[Operation], id: str = "", keep: float = KEPT) -> Outcome:
        """Let several changes take place together, or none of them, and return when they are on disk.

        If something is not as an operation expects it, the answer is a conflict that names it, and nothing has changed.

            {"operations": [
                {"op": "store.expect", "table": "stock", "key": "tea", "expect": 41},
                {"op": "store.write", "table": "stock", "key": "tea", "value": 9},
                {"op": "events.publish", "topic": "orders.created", "payload": {"id": "o1"}, "key": "o1"}
            ]}

        With an `id` the request can be sent again when its outcome is not known: it takes place once.

        Args:
            operations: what shall take place, told apart by `op`; at most 1,000, and 8 MiB of values together. Each key
                is changed by one of them; a `store.expect` of a key that another one changes joins it.
            id: chosen by the caller, at most 128 bytes. Of several transactions with the same one, by the same caller,
                the first that succeeds takes place; the others are answered what that one was, and change nothing.
            keep: seconds for which that is remembered, a minute to thirty days.
        """
        asker = Asker(ctx.origin, ctx.account, ctx.asked)
        return await transactions.carry_out(asker, operations, id=id, keep=keep)

    @service.endpoint(role=Role.ACCOUNT, reads=True, idempotent=True)
    async def outcome(ctx: Context, id: str) -> Outcome:
        """Find out whether a transaction took place.

        Args:
            id: that it was sent with, by the same caller.
        """
        return await transactions.outcome(ctx.origin, id)

    return service
