"""A service with all that a form can have, as its source."""

SHOP = '''
import asyncio, dataclasses, datetime, enum, logging
from collections.abc import AsyncIterator
from typing import Any
from microlite import Context, File, Service, errors

shop = Service("shop", version="2.1.0", doc="Takes orders.", metadata={"team": "retail"})

class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"

@dataclasses.dataclass
class Item:
    sku: str
    quantity: int = 1
    colour: Colour = Colour.RED

@shop.endpoint
async def create(ctx: Context, customer: str, items: list[Item], gift: bool = False, note: str | None = None,
                 due: datetime.date | None = None, labels: dict[str, str] = {}, photo: bytes = b"",
                 limit: int | str = 5) -> dict[str, Any]:
    """Create an order.

    Args:
        customer: who buys.
    """
    if not items:
        raise errors.BadRequest("items: expected at least one")
    logging.warning("an order of %s", customer)
    return {"customer": customer, "items": items, "gift": gift, "note": note, "due": due, "labels": labels,
            "photo": len(photo), "limit": limit}

@shop.endpoint
async def big(number: int) -> int:
    """Give a number back."""
    return number

@shop.endpoint
async def ticks(count: int = 3) -> AsyncIterator[int]:
    """Stream numbers; without an end for 0."""
    number = 0
    while not count or number < count:
        number += 1
        yield number
        await asyncio.sleep(0.01)

@shop.endpoint
async def total(items: AsyncIterator[Item]) -> int:
    """Add up a stream of items."""
    return sum([item.quantity async for item in items])

@shop.endpoint
async def echo(items: AsyncIterator[str]) -> AsyncIterator[str]:
    """Say everything again."""
    async for item in items:
        yield item * 2

@shop.endpoint
async def attach(document: File) -> str:
    """Take a file."""
    return f"{document.name}, {document.content_type}, {len(document.content)} bytes"

@shop.endpoint
async def say(text: str) -> None:
    """Write a line to the log."""
    print(text, flush=True)

if __name__ == "__main__":
    shop.run()
'''

BROKEN = """
print("almost there", flush=True)
import nothing_of_this_name
from microlite import Service
"""
