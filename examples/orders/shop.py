"""The shop behind the service: ordinary Python that knows nothing of microlite but its errors."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

from microlite import errors


@dataclass(frozen=True)
class Item:
    """A product and how many of it."""

    product: str
    quantity: int = 1


@dataclass(frozen=True)
class OrderRequest:
    """An order as a customer writes it."""

    customer: str
    items: list[Item]


@dataclass(frozen=True)
class Note:
    """Something that was written down about an order."""

    text: str
    at: datetime


@dataclass(frozen=True)
class Order:
    """An order as the shop has taken it."""

    id: str
    customer: str
    items: list[Item]
    total: Decimal
    thanks: str
    created: datetime
    notes: list[Note] = field(default_factory=list)


class Shop:
    """Prices, orders, and those who want to hear of new ones."""

    def __init__(self) -> None:
        self.prices: dict[str, Decimal] = {}
        self.orders: dict[str, Order] = {}
        self._listeners: set[asyncio.Queue[Order]] = set()

    def create(self, id: str, customer: str, items: list[Item], thanks: str) -> Order:
        """Take an order, and tell the listeners of it.

        Raises:
            Unprocessable: an item cannot be ordered.
        """
        total = Decimal(0)
        for number, item in enumerate(items):
            if item.product not in self.prices:
                known = ", ".join(sorted(self.prices))
                raise errors.Unprocessable(f"items[{number}].product: there is no {item.product!r}; there are: {known}")
            if item.quantity < 1:
                raise errors.Unprocessable(f"items[{number}].quantity: expected 1 or more, got {item.quantity}")
            total += self.prices[item.product] * item.quantity
        order = Order(id, customer, items, total, thanks, datetime.now(UTC))
        self.orders[id] = order
        for listener in self._listeners:
            with contextlib.suppress(asyncio.QueueFull):  # who reads too slowly misses orders; the shop does not wait
                listener.put_nowait(order)
        return order

    def find(self, id: str) -> Order:
        """The order of this id.

        Raises:
            NotFound: there is none.
        """
        order = self.orders.get(id)
        if order is None:
            raise errors.NotFound(f"there is no order {id!r}")
        return order

    def note(self, id: str, text: str) -> Note:
        """Write something down about an order.

        Raises:
            NotFound: there is no such order.
        """
        note = Note(text, datetime.now(UTC))
        self.find(id).notes.append(note)
        return note

    @contextlib.contextmanager
    def told(self, queue: asyncio.Queue[Order]) -> Iterator[None]:
        """Put each new order into the queue, for as long as the context lasts."""
        self._listeners.add(queue)
        try:
            yield
        finally:
            self._listeners.discard(queue)
