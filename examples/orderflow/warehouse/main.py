"""The warehouse: it hears of orders by events, and each changes the stock exactly once, whatever crashes in between."""

from __future__ import annotations

from dataclasses import dataclass

from microlite import Context, Service, Transaction

warehouse = Service("warehouse", version="1.0.0", metadata={"team": "examples"}, doc="Knows what is in stock.")


@dataclass(frozen=True)
class Order:
    """As much of an order as matters here."""

    id: str
    items: dict[str, int]


@dataclass(frozen=True)
class Decision:
    """What becomes of an order; `reason` is empty when everything is there."""

    order: str
    reason: str = ""


@warehouse.consume("orders.created", group="warehouse")
async def reserve(ctx: Context, order: Order) -> None:
    """Take what was ordered out of the stock, or say what is missing.

    The stock, the reservation, the answer and the acknowledgement are one commit. If somebody else takes from the same stock
    in between, it is tried again with what is left.
    """

    async def change(tx: Transaction) -> str:
        stock = tx.store.table("stock")
        left: dict[str, int] = await stock.read_many(order.items, int)
        missing = [product for product, amount in order.items.items() if left.get(product, 0) < amount]
        reason = f"there is not enough {missing[0]}" if missing else ""
        if not reason:
            for product, amount in order.items.items():
                stock.write(product, left[product] - amount)
            tx.store.table("reservations").write(order.id, order.items)
        tx.events.publish("warehouse.decided", Decision(order.id, reason), key=order.id)
        tx.ack()
        return reason

    reason = await ctx.transact(change)
    ctx.log.info("order %s: %s", order.id, reason or "reserved")


@warehouse.consume("orders.canceled", group="warehouse")
async def put_back(ctx: Context, order: Order) -> None:
    """Put back what was reserved for an order."""

    async def change(tx: Transaction) -> None:
        reservations = tx.store.table("reservations")
        for product, amount in (await reservations.read(order.id, dict[str, int], default={})).items():
            await tx.store.table("stock").increment(product, amount)
        reservations.delete(order.id)
        tx.ack()

    await ctx.transact(change)


@warehouse.endpoint
async def deliver(ctx: Context, product: str, amount: int) -> int:
    """Add to the stock, and say how much there is.

    Args:
        product: of what.
        amount: how many.
    """
    return int(await ctx.store.table("stock").increment(product, amount))


@warehouse.endpoint(idempotent=True, reads=True)
async def stock(ctx: Context) -> dict[str, int]:
    """Say how much there is of everything."""
    return {record.key: record.value async for record in ctx.store.table("stock").scan(int)}


if __name__ == "__main__":
    warehouse.run()
