"""The service that completion and the prompt are tried with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from microlite import Service, errors

service = Service("shop-2", version="1.0.0", doc="Sells things.\n\nAnd more.")


class Size(Enum):
    """How large."""

    SMALL = "small"
    EXTRA = "extra large"


@dataclass(frozen=True)
class Order:
    """What was ordered."""

    item: str
    size: Size
    gift: bool


@service.endpoint
async def order(
    item: str, size: Size = Size.SMALL, colour: Literal["red", "green"] = "red", gift: bool = False
) -> Order:
    """Order something.

    Args:
        item: what is wanted.
    """
    if item == "gold":
        raise errors.BadRequest("item: there is no gold")
    return Order(item, size, gift)


@service.endpoint
async def watch(to: int = 3) -> AsyncIterator[int]:
    """Watch it grow."""
    for number in range(1, to + 1):
        yield number


@service.endpoint
async def total(items: AsyncIterator[float], start: float = 0) -> float:
    """Add up."""
    return start + sum([item async for item in items])


@service.endpoint
async def double(items: AsyncIterator[int]) -> AsyncIterator[int]:
    """Answer each number with its double."""
    async for item in items:
        yield 2 * item


@service.endpoint
async def wait() -> None:
    """Never answer."""
    await asyncio.Event().wait()


@service.endpoint(name="comments.create")
async def create_comment(text: str) -> str:
    """Write a comment."""
    return text


@service.endpoint(name="comments.list")
async def list_comments() -> list[str]:
    """Read the comments."""
    return ["well done"]


if __name__ == "__main__":
    service.run()
