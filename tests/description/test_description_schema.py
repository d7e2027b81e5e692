"""The schemas in descriptions."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import msgspec

from microlite.core.description import compile_endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from microlite.core.description import Schema


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Item:
    """A thing to buy."""

    name: str
    price: Decimal = Decimal("0.00")
    tags: list[str] = field(default_factory=list)


class Node(msgspec.Struct):
    children: list[Node] = []


def request(function: Any) -> Schema:
    return compile_endpoint(function, "x").description.request


def test_fields_defaults_docs_and_constraints_are_in_the_schema() -> None:
    def order(
        customer: str,
        items: list[Item],
        count: Annotated[int, msgspec.Meta(ge=1, description="how many")] = 0,
        colour: Colour = Colour.RED,
        note: str | None = None,
        at: datetime = datetime(2024, 1, 2),
        photo: bytes = b"ab",
        first: Item = Item("tea"),  # noqa: B008
    ) -> None:
        """Order.

        Args:
            customer: who
            count: not this, since the type says it
        """

    schema = request(order)
    properties = schema["properties"]
    assert schema["type"] == "object"
    assert schema["required"] == ["customer", "items"]
    assert schema["additionalProperties"] is False
    assert properties["customer"] == {"type": "string", "description": "who"}
    assert properties["count"] == {"type": "integer", "minimum": 1, "description": "how many", "default": 0}
    assert properties["colour"] == {"$ref": "#/$defs/Colour", "default": "red"}
    assert properties["note"]["default"] is None
    assert properties["at"]["default"] == "2024-01-02T00:00:00"
    assert properties["photo"] == {"type": "string", "contentEncoding": "base64", "default": "YWI="}
    assert properties["first"]["default"] == {"name": "tea", "price": "0.00", "tags": []}
    assert properties["items"] == {"type": "array", "items": {"$ref": "#/$defs/Item"}}
    assert schema["$defs"]["Item"]["description"] == "A thing to buy."
    assert schema["$defs"]["Item"]["properties"]["price"]["default"] == "0.00"


def test_two_fields_of_one_type_keep_their_own_docs() -> None:
    def pair(a: str, b: str, c: Item, d: Item) -> None:
        """Pair.

        Args:
            a: first
            b: second
            c: third
            d: fourth
        """

    properties = request(pair)["properties"]
    assert [properties[name]["description"] for name in "abcd"] == ["first", "second", "third", "fourth"]


def test_replies_and_items_have_schemas_of_their_own() -> None:
    def nothing() -> None: ...
    def never() -> NoReturn:
        raise NotImplementedError

    def stream(nodes: Iterator[Node]) -> Iterator[Item]:
        yield from ()

    def bare() -> dict[str, Any]:
        raise NotImplementedError

    assert compile_endpoint(nothing, "x").description.response == {"type": "null"}
    assert compile_endpoint(nothing, "x").description.items is None
    assert compile_endpoint(never, "x").description.response == {"type": "null"}
    assert compile_endpoint(bare, "x").description.response == {"type": "object"}
    description = compile_endpoint(stream, "x").description
    assert description.response["$ref"] == "#/$defs/Item"
    assert description.items is not None
    assert description.items["$ref"] == "#/$defs/Node"
    assert set(description.response["$defs"]) == {"Item"}
    assert description.items["$defs"]["Node"]["properties"]["children"]["items"] == {"$ref": "#/$defs/Node"}
