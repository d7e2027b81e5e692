"""Orders of a small shop: types of its own, a route, streams in both directions, a handler class, middleware and hooks.

Orders live in memory here, so a reload begins with none; only the price list comes from a file.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

from shop import Item, Note, Order, OrderRequest, Shop

from microlite import Context, Invocation, Proceed, Service, errors

orders = Service("orders", version="1.0.0", metadata={"team": "examples"}, doc="Takes orders and tells of them.")
shop = Shop()


@orders.endpoint
async def create(ctx: Context, customer: str, items: list[Item]) -> Order:
    """Create an order.

    Args:
        customer: who orders; greeted by the service `greeter`, if that runs.
        items: what is ordered, at least one.
    """
    if not items:
        raise errors.BadRequest("items: an order needs at least one item")
    order = shop.create(ctx.new_id(), customer, items, thanks=await _greeting(ctx, customer))
    ctx.log.info("order %s of %s: %s", order.id, customer, order.total)
    return order


async def _greeting(ctx: Context, customer: str) -> str:
    """What the greeter says. An order matters more than a greeting, so its absence is no error."""
    try:
        answer = await ctx.options(timeout=2.0).call("greeter.hello", name=customer)
    except (errors.ServiceNotFound, errors.ServiceUnavailable, errors.Timeout):
        return f"Thank you, {customer}."
    return str(answer)


@orders.endpoint(route="GET /orders/{id}", idempotent=True, reads=True)
async def read(id: str) -> Order:
    """Read an order."""
    return shop.find(id)


@orders.endpoint(name="list", idempotent=True, reads=True)
async def list_(customer: str = "") -> list[Order]:
    """List orders, the oldest first.

    Args:
        customer: only those of this one; all without it.
    """
    return [order for order in shop.orders.values() if customer in ("", order.customer)]


@orders.endpoint(idempotent=True, reads=True)
def receipt(id: str) -> str:
    """Write a receipt. A plain function: it runs in a thread, so that slow work in it holds up nobody else."""
    order = shop.find(id)
    lines = [f"{item.quantity:>4} x {item.product:<20} {shop.prices[item.product]:>8}" for item in order.items]
    return "\n".join([f"Order {order.id} for {order.customer}", *lines, f"{order.total:>36}"])


@orders.endpoint
async def watch() -> AsyncIterator[Order]:
    """Stream each order from now on, as it is created."""
    created: asyncio.Queue[Order] = asyncio.Queue(100)
    with shop.told(created):
        while True:
            yield await created.get()


@orders.endpoint(name="import")
async def import_(ctx: Context, requests: AsyncIterator[OrderRequest]) -> int:
    """Create an order for each request of a stream.

    Returns:
        how many there were.
    """
    count = 0
    async for request in requests:
        await create(ctx, request.customer, request.items)
        count += 1
    return count


class Notes:
    """What the shop writes down about an order: `orders.notes.add`, `orders.notes.read`."""

    async def add(self, order: str, text: str) -> Note:
        """Write a note about an order."""
        return shop.note(order, text)

    async def read(self, order: str) -> list[Note]:
        """Read the notes about an order."""
        return shop.find(order).notes


orders.handle(Notes())


@orders.middleware
async def log_slow(ctx: Context, call: Invocation, proceed: Proceed) -> object:
    """Stands around every endpoint: log what takes long. Of a stream it sees the beginning."""
    begun = time.perf_counter()
    try:
        return await proceed()
    finally:
        seconds = time.perf_counter() - begun
        if seconds > 0.5:
            ctx.log.warning("%s took %.1f s", call.endpoint.name, seconds)


@orders.on_start
def read_prices() -> None:
    """Runs before the first call. If it fails, the service does not start, and the one before serves on."""
    text = Path(__file__).with_name("prices.json").read_text(encoding="utf-8")
    shop.prices.update(json.loads(text, parse_float=Decimal))


@orders.on_stop
async def say_goodbye(ctx: Context) -> None:
    """Runs after the last call."""
    ctx.log.info("closing after %d orders", len(shop.orders))


if __name__ == "__main__":
    orders.run()
