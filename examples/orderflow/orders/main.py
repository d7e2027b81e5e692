"""Orders: what changes in one step is one transaction across records, events and schedules.

created → reserved (or refused) → paid, or canceled when nobody pays in time. The warehouse hears of each step by an event.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from microlite import Context, Service, Transaction, errors

orders = Service("orders", version="1.0.0", metadata={"team": "examples"}, doc="Takes orders and follows them.")

PATIENCE = timedelta(minutes=15)
"""How long an order waits for its payment."""


@dataclass(frozen=True)
class Order:
    """An order.

    Attributes:
        items: how many of each product.
        state: `created`, `reserved`, `refused`, `paid` or `canceled`.
        reason: why it was refused or canceled.
    """

    id: str
    customer: str
    items: dict[str, int]
    state: str = "created"
    reason: str = ""


@dataclass(frozen=True)
class Decision:
    """What the warehouse says to an order; `reason` is empty when everything is there."""

    order: str
    reason: str = ""


@orders.endpoint(route="PUT /orders/{id}", idempotent=True)
async def create(ctx: Context, id: str, customer: str, items: dict[str, int]) -> Order:
    """Take an order. Sent again, it answers with the order that is there: a lost answer makes no second order.

    Args:
        id: chosen by the caller.
        customer: who orders.
        items: how many of each product.
    """
    if not items or min(items.values()) < 1:
        raise errors.BadRequest("items: an order needs at least one of something")
    order = Order(id, customer, items)

    async def take(tx: Transaction) -> Order:
        there: Order | None = await tx.store.read(id, Order, default=None)
        if there is not None:
            if (there.customer, there.items) != (customer, items):
                raise errors.Unprocessable(f"there is another order {id!r} already")
            return there
        tx.store.write(id, order)
        tx.events.publish("orders.created", order, key=id)
        tx.schedules.call("orders.expire", {"id": id}, delay=PATIENCE, id=f"expire-{id}")
        return order

    return await ctx.transact(take)


@orders.consume("warehouse.decided", group="orders")
async def note(ctx: Context, decision: Decision) -> None:
    """Note down what the warehouse has decided."""
    async with ctx.transaction() as tx:
        order = await tx.store.read(decision.order, Order)
        if order.state == "created":
            state = "refused" if decision.reason else "reserved"
            tx.store.write(order.id, replace(order, state=state, reason=decision.reason))
        tx.ack()


@orders.endpoint(route="POST /orders/{id}/payment", idempotent=True)
async def pay(ctx: Context, id: str) -> Order:
    """Pay for an order. Paid is paid: a second time changes nothing."""

    async def change(tx: Transaction) -> Order:
        order: Order = await tx.store.read(id, Order)
        if order.state == "paid":
            return order
        if order.state != "reserved":
            raise errors.PreconditionFailed(f"the order {id!r} is {order.state}: it cannot be paid")
        paid = replace(order, state="paid")
        tx.store.write(id, paid)
        tx.events.publish("orders.paid", paid, key=id)
        tx.schedules.cancel(f"expire-{id}")
        return paid

    return await ctx.transact(change)


@orders.endpoint(idempotent=True)
async def expire(ctx: Context, id: str) -> None:
    """Cancel an order that nobody has paid for; scheduled by `create`."""

    async def change(tx: Transaction) -> None:
        order = await tx.store.read(id, Order, default=None)
        if order is not None and order.state in ("created", "reserved"):
            canceled = replace(order, state="canceled", reason="it was not paid in time")
            tx.store.write(id, canceled)
            tx.events.publish("orders.canceled", canceled, key=id)

    await ctx.transact(change)


@orders.endpoint(route="GET /orders/{id}", idempotent=True, reads=True)
async def read(ctx: Context, id: str) -> Order:
    """Read an order."""
    return await ctx.store.read(id, Order)


if __name__ == "__main__":
    orders.run()
