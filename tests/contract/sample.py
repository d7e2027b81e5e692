"""The service that all faces are asked about: one endpoint for each thing that a face has to carry."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Literal, Protocol
from uuid import UUID

from microlite import Context, File, Service, endpoint, errors

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


@dataclass
class Tree:
    """Something that holds its like."""

    label: str = ""
    branches: list[Tree] = field(default_factory=list)


class Presence:
    """Whether a call of `endless` goes on. A test waits for the end of one whose caller has left."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()


presence = Presence()


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
async def depth(tree: Tree) -> int:
    """How deep a tree is."""
    return 1 + max([await depth(branch) for branch in tree.branches], default=0)


@sample.endpoint
async def either(value: int | str | list[int] | None = None) -> list[Any]:
    """Say which kind of value came."""
    return [type(value).__name__, value]


@sample.endpoint
async def labels(labels: dict[str, int]) -> dict[str, int]:
    """Give a map back."""
    return labels


@sample.endpoint
async def measure(größe: int, имя: str = "") -> dict[str, Any]:
    """Fields with names of other scripts."""
    return {"größe": größe, "имя": имя}


@sample.endpoint
async def next_number(number: int) -> int:
    """The one behind it, however large."""
    return number + 1


@sample.endpoint
async def keep(photo: File, note: str = "") -> dict[str, Any]:
    """Say what is known of a file."""
    return {"name": photo.name, "type": photo.content_type, "content": photo.content, "note": note}


@sample.endpoint(produces="image/png")
async def draw(length: int) -> bytes:
    """Answer with what is no JSON."""
    return b"\x89PNG\r\n" + bytes(length)


@sample.endpoint(produces="text/csv")
async def table(rows: int) -> str:
    """Answer with text of a kind of its own."""
    return "".join(f"{row},ä\n" for row in range(rows))


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
async def drip(drops: int) -> AsyncIterator[int]:
    """Stream some numbers, and then none for ever."""
    for number in range(drops):
        yield number
    await asyncio.get_running_loop().create_future()


@sample.endpoint
async def endless() -> AsyncIterator[int]:
    """Stream numbers, a hundred a second, until nobody listens any more."""
    number = 0
    try:
        while True:
            yield number
            number += 1
            await asyncio.sleep(0.01)
    finally:
        presence.gone.set()


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


class SampleAPI(Protocol):
    """The same as a typed client has it."""

    async def call(self) -> str: ...
    async def hello(self, name: str = "world") -> str: ...
    async def plain(self, number: int, ratio: float, flag: bool, text: str, kind: Literal["a", "b"] = "a") -> Any: ...
    async def times(self, at: datetime, day: date, pause: timedelta, amount: Decimal, id: UUID) -> Any: ...
    async def total(self, items: list[Item]) -> float: ...
    async def largest(self, items: list[Item]) -> Item | None: ...
    async def depth(self, tree: Tree) -> int: ...
    async def either(self, value: int | str | list[int] | None = None) -> Any: ...
    async def labels(self, labels: dict[str, int]) -> dict[str, int]: ...
    async def measure(self, größe: int, имя: str = "") -> Any: ...
    async def next_number(self, number: int) -> int: ...
    async def keep(self, photo: File, note: str = "") -> Any: ...
    async def draw(self, length: int) -> bytes: ...
    async def table(self, rows: int) -> str: ...
    async def size(self, content: bytes) -> int: ...
    async def content(self, length: int) -> bytes: ...
    async def nothing(self) -> None: ...
    async def slow_lane(self, text: str) -> str: ...
    async def meta(self, key: str) -> str | None: ...
    async def fail(self, code: int) -> None: ...
    async def crash(self) -> None: ...
    async def never(self) -> None: ...
    def count(self, to: int, fail_at: int = 0) -> AsyncIterator[int]: ...
    def drip(self, drops: int) -> AsyncIterator[int]: ...
    def endless(self) -> AsyncIterator[int]: ...
    async def add(self, numbers: AsyncIterator[int], start: int = 0) -> int: ...
    def prices(self, items: AsyncIterator[Item], factor: float = 1.0) -> AsyncIterator[Item]: ...

    @endpoint(name="notes.create")
    async def notes_create(self, text: str) -> dict[str, str]: ...


if __name__ == "__main__":
    sample.run()
