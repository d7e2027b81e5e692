"""Services to describe: every type that an endpoint may have, and the examples."""

from __future__ import annotations

import enum
import importlib.util
import inspect
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypedDict, TypeVar, cast

import msgspec
import pydantic
from msgspec import Meta

from microlite import Service
from microlite.core.catalog import Parts, built_in_services

EXAMPLES = Path(__file__).parents[2] / "examples"

T = TypeVar("T")


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Address(msgspec.Struct):
    """Where somebody lives."""

    city: str = ""
    zip: str | None = None
    lines: list[str] = []


class Item(msgspec.Struct, forbid_unknown_fields=True):
    product: Annotated[str, Meta(examples=["tea"])]
    quantity: Annotated[int, Meta(ge=1)] = 1
    price: Decimal = Decimal("0.50")


class Cat(msgspec.Struct, tag=True):
    lives: int = 9


class Dog(msgspec.Struct, tag="dog"):
    name: str
    friend: Cat | Dog | None = None


class Tree(msgspec.Struct):
    name: str
    children: list[Tree] = []
    parent: Tree | None = None


class Page(msgspec.Struct, Generic[T]):
    items: list[T]
    next: str | None = None


class Point(NamedTuple):
    x: float
    y: float = 0.0


class Options(TypedDict, total=False):
    deep: bool
    tags: list[str]


@dataclass
class Keywords:
    """A type whose fields are named like words of JSON Schema."""

    default: Item | None = None
    enum: list[Item] = field(default_factory=list)
    properties: dict[str, Item] = field(default_factory=dict)
    items: Item | None = None
    const: Colour = Colour.RED


class Error(msgspec.Struct):
    """A user's own type of this name."""

    line: int


class Model(pydantic.BaseModel):
    """A pydantic model: read by other rules than it is written by."""

    name: str = pydantic.Field(min_length=1, max_length=20, examples=["Ann"])
    age: int = pydantic.Field(default=3, ge=0)
    item: Inner | None = None


class Inner(pydantic.BaseModel):
    at: datetime = datetime(2026, 1, 31, tzinfo=UTC)
    kind: Literal["a", "b"] = "a"


Model.model_rebuild()


def everything() -> Service:
    """Endpoints of all shapes, which answer what they are given."""
    service = Service("every-thing", version="2.0", doc="Everything.\n\nWith *two* paragraphs.", metadata={"a b": "c"})

    @service.endpoint
    async def call(name: str = "world") -> str:
        """The default endpoint."""
        return name

    @service.endpoint
    async def scalars(
        a: int,
        b: float,
        c: bool,
        d: str,
        e: datetime,
        f: date,
        g: time,
        h: timedelta,
        i: uuid.UUID,
        j: Decimal,
        k: bytes,
        l: Colour,  # noqa: E741 - letters in order
        m: Level,
        n: Literal["x", 1],
        o: int | None = None,
        p: str | None = "p",
        q: int | str = 5,
        r: Literal["y", None] = None,
        s: datetime = datetime(2026, 1, 31, 12),
    ) -> None:
        """Take one of each.

        Args:
            a: a number.
        """

    @service.endpoint(idempotent=True, metadata={"cost": "high"}, scopes=["things:write"])
    async def containers(
        a: list[int],
        b: set[str],
        c: tuple[int, str],
        d: tuple[int, ...],
        e: dict[str, float],
        f: list[Item],
        g: Address,
        h: Address | None,
        i: Item,
        j: Tree,
        k: Cat | Dog,
        l: Point,  # noqa: E741 - letters in order
        m: Options,
        n: Any,
        o: Page[Item],
        p: Page[int],
        q: Keywords,
        r: str | list[str] = "r",
        s: list[list[int]] | None = None,
        t: Item = Item("tea"),  # noqa: B008
        u: dict[str, Any] = {},  # noqa: B006
        v: frozenset[int] = frozenset(),
        w: str | Item = "w",
    ) -> Page[Item]:
        """Take one of each."""
        return Page(items=[*f, i, t])

    @service.endpoint
    async def bounds(
        a: Annotated[int, Meta(ge=5, lt=6)],
        b: Annotated[float, Meta(gt=0, lt=0.5)],
        c: Annotated[int, Meta(multiple_of=7, ge=1)],
        d: Annotated[str, Meta(min_length=30, max_length=40)],
        e: Annotated[str, Meta(pattern="^[a-z]+$", max_length=2)],
        f: Annotated[list[int], Meta(min_length=3)],
        g: Annotated[str, Meta(pattern="^(?:xy){3}z$")],
        h: Annotated[bytes, Meta(max_length=100)] = b"",
        i: Annotated[str, Meta(title="I", description="its own", examples=["eye"])] = "",
    ) -> Annotated[str, Meta(max_length=1)]:
        """Keep to bounds."""
        return "x"

    @service.endpoint
    async def models(model: Model, models: list[Model]) -> Model:
        """Take pydantic's models."""
        return model

    @service.endpoint
    async def mine(error: Error) -> Error | None:
        """Answer with something, or nothing."""
        return error

    @service.endpoint(deprecated=True)
    async def anything(value: Any = None):  # type: ignore[no-untyped-def]
        return value

    @service.endpoint(route="GET /every-thing/items/{id}")
    async def read(id: uuid.UUID, deep: bool = False) -> Item:
        """Read."""
        return Item(str(id), quantity=1 + deep)

    @service.endpoint(route="PUT /every-thing/items/{item}")
    async def put(item: uuid.UUID, content: Item) -> Item:
        """Put."""
        return content

    @service.endpoint(route="DELETE /every-thing/items/{name}")
    async def delete(name: str, force: bool = False) -> None:
        """Delete."""

    @service.endpoint(route="POST /every-thing/touch/{colour}/{level}")
    async def touch(colour: Colour, level: Level) -> None:
        """Touch."""

    @service.endpoint
    async def ticks(to: int = 3) -> AsyncIterator[Item]:
        """Stream."""
        for number in range(1, to + 1):
            yield Item("tick", quantity=number)

    @service.endpoint
    async def collect(items: AsyncIterator[Item], tag: str, more: Address | None = None) -> int:
        """Take a stream."""
        return len([item async for item in items])

    @service.endpoint
    def echo(items: Iterator[Cat | Dog]) -> Iterator[Cat | Dog]:
        """Take a stream and give one."""
        yield from items

    class ListAll:
        async def by_name2(self, name: str) -> list[Tree]:
            """Names with humps and digits."""
            return []

    service.handle(ListAll())
    return service


def example(name: str) -> Service:
    """A service of `examples/`, imported as Python would."""
    folder = EXAMPLES / name
    spec = importlib.util.spec_from_file_location(f"examples_{name}", folder / "main.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # types are looked up there
    sys.path.insert(0, str(folder))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
    return cast("Service", getattr(module, name))


def built_in() -> list[Service]:
    """The platform's own services, described only."""
    nothing = cast("Any", None)
    return built_in_services(Parts(**dict.fromkeys(inspect.signature(Parts).parameters, nothing)))
