"""The service that all faces are asked about: one endpoint for each thing that a face has to carry."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Literal
from uuid import UUID

from microlite import Context, Service, errors

sample = Service("sample", version="1.2.3", doc="What every face is asked about.")


class Size(Enum):
    SMALL = "s"
    LARGE = "l"


@dataclass
class Item:
    """Something with a price."""

    name: str
    price: float
    size: Size = Size.SMALL
    tags: list[str] = field(default_factory=list)


@sample.endpoint
async def call(ctx: Context) -> str:
    """The default endpoint."""
    return f"{ctx.service} in {ctx.namespace}"


@sample.endpoint
async def hello(name: str = "world") -> str:
    """Greet somebody."""
    return f"Hello, {name}!"


@sample.endpoint
async def plain(number: int, ratio: float, flag: bool, text: str, kind: Literal["a", "b"] = "a") -> list[Any]:
    """Give back what came, in order."""
    return [number, ratio, flag, text, kind]


@sample.endpoint
async def times(at: datetime, day: date, pause: timedelta, amount: Decimal, id: UUID) -> dict[str, Any]:
    """Give back values that JSON has no type for."""
    return {"at": at.astimezone(UTC), "day": day, "pause": pause, "amount": amount, "id": id}


@sample.endpoint
async def total(items: list[Item]) -> float:
    """Add up prices."""
    return sum(item.price for item in items)


@sample.endpoint
async def largest(items: list[Item]) -> Item | None:
    """The dearest item, if there is any."""
    return max(items, key=lambda item: item.price, default=None)


@sample.endpoint
async def size(content: bytes) -> int:
    """Count bytes."""
    return len(content)


@sample.endpoint
async def content(length: int) -> bytes:
    """Give bytes."""
    return bytes(index % 256 for index in range(length))


@sample.endpoint
async def nothing() -> None:
    """Answer with nothing."""


@sample.endpoint
def slow_lane(text: str) -> str:
    """A plain function, which runs in a thread."""
    return text.upper()


@sample.endpoint
async def meta(ctx: Context, key: str) -> str | None:
    """One value of the metadata."""
    return ctx.metadata.get(key)


@sample.endpoint
async def fail(code: int) -> None:
    """Fail with an error of this code."""
    raise {400: errors.BadRequest, 404: errors.NotFound, 409: errors.Conflict, 422: errors.Unprocessable}.get(
        code, errors.Forbidden
    )("it went wrong as asked")


@sample.endpoint
async def crash() -> None:
    """Fail as a program does that has a fault."""
    raise ZeroDivisionError("secret of the inside")


@sample.endpoint
async def never() -> None:
    """Take longer than anybody waits."""
    await asyncio.get_running_loop().create_future()


@sample.endpoint
async def count(to: int, fail_at: int = 0) -> AsyncIterator[int]:
    """Stream numbers from 1 on."""
    for number in range(1, to + 1):
        if number == fail_at:
            raise errors.Conflict(f"no {number}")
        yield number


@sample.endpoint
async def add(numbers: AsyncIterator[int], start: int = 0) -> int:
    """Add up a stream of numbers."""
    async for number in numbers:
        if number < 0:
            raise errors.Unprocessable("numbers: none may be negative")
        start += number
    return start


@sample.endpoint
async def prices(items: AsyncIterator[Item], factor: float = 1.0) -> AsyncIterator[Item]:
    """Change the price of each item of a stream."""
    async for item in items:
        yield Item(item.name, item.price * factor, item.size, item.tags)


class Notes:
    """A handler class, whose endpoints nest."""

    async def create(self, text: str) -> dict[str, str]:
        """Write a note."""
        return {"text": text}


sample.handle(Notes())

if __name__ == "__main__":
    sample.run()
