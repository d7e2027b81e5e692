"""Queries and path parameters become fields of the types that the request has."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microlite.core import errors
from microlite.web.gateway.fields import convert_params, parse_query
from tests.gateway.gateway_bench import NUMBERS, Wire

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "count": {"type": "integer"},
        "price": {"type": "number"},
        "paid": {"type": "boolean"},
        "name": {"type": "string"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "sizes": {"type": "array", "items": {"type": "integer"}},
        "customer": {"$ref": "#/$defs/Customer"},
        "maybe": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "either": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        "people": {"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "null"}]},
        "mixed": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "integer"}}]},
        "grade": {"enum": [1, 2, 3]},
        "kind": {"enum": ["1", "2"]},
        "labels": {"type": "object", "additionalProperties": {"type": "integer"}},
        "any": {},
    },
    "$defs": {
        "Customer": {
            "type": "object",
            "properties": {"age": {"type": "integer"}, "zip": {"type": "string"}, "boss": {"$ref": "#/$defs/Customer"}},
        }
    },
}


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("", {}),
        ("count=7&price=1.5&paid=true&name=7", {"count": 7, "price": 1.5, "paid": True, "name": "7"}),
        ("count=-7&price=2", {"count": -7, "price": 2.0}),
        ("count=07", {"count": "07"}),
        ("count=x&paid=maybe&price=1e999", {"count": "x", "paid": "maybe", "price": "1e999"}),
        ("name=", {"name": ""}),
        ("name=a%20b+c%C3%A9", {"name": "a b cé"}),
        ("tags=a", {"tags": ["a"]}),
        ("tags=a&tags=1", {"tags": ["a", "1"]}),
        ('tags=["a","b"]', {"tags": ["a", "b"]}),
        ("sizes=1&sizes=2", {"sizes": [1, 2]}),
        ("customer.age=40&customer.zip=10115", {"customer": {"age": 40, "zip": "10115"}}),
        ("customer.boss.age=50", {"customer": {"boss": {"age": 50}}}),
        ('customer={"age":41}', {"customer": {"age": 41}}),
        ("maybe=3", {"maybe": 3}),
        ("maybe=null", {"maybe": None}),
        ("either=3", {"either": 3}),
        ("either=x", {"either": "x"}),
        ("people=1&people=2", {"people": [1, 2]}),
        ("people=1", {"people": [1]}),
        ("mixed=1", {"mixed": "1"}),
        ("mixed=1&mixed=2", {"mixed": [1, 2]}),
        ("grade=2&kind=2", {"grade": 2, "kind": "2"}),
        ("labels.a=1&labels.b=2", {"labels": {"a": 1, "b": 2}}),
        ("any=1&other=true&text=x&float=1.5", {"any": 1, "other": True, "text": "x", "float": 1.5}),
        ("name=1&name=2", {"name": ["1", "2"]}),
    ],
)
def test_a_query_becomes_fields(query: str, fields: dict[str, Any]) -> None:
    result = parse_query(query.encode(), SCHEMA)
    assert result == fields
    assert repr(result) == repr(fields)  # 1, 1.0 and True are equal, and not the same


@pytest.mark.parametrize(
    "query",
    [
        "name=%ff",
        "a=1&a.b=2",
        "a.b=2&a=1",
        ".".join("abcdefghijklmnopqrstuvwxyz") + "=1",
        "&".join(f"f{number}=1" for number in range(1001)),
    ],
)
def test_a_query_that_makes_no_sense_is_refused(query: str) -> None:
    with pytest.raises(errors.BadRequest):
        parse_query(query.encode(), SCHEMA)


def test_parameters_of_a_route() -> None:
    assert convert_params({"count": "7", "name": "7", "unknown": "x"}, SCHEMA) == {
        "count": 7,
        "name": "7",
        "unknown": "x",
    }


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40))
def test_any_query_becomes_json_or_an_error(query: str) -> None:
    try:
        msgspec.json.encode(parse_query(query.encode(), SCHEMA))
    except errors.BadRequest:
        pass


async def test_query_body_and_path_are_merged(wire: Wire) -> None:
    """The body wins over the query, the path over both."""
    assert NUMBERS["type"] == "object"
    answer = await wire.request("POST", "/echo?count=1&price=2&customer.age=3", b'{"count":5}')
    assert answer.json() == {"count": 5, "price": 2.0, "customer": {"age": 3}}
    answer = await wire.request("GET", "/echo/items/17?id=18&count=1")
    assert answer.json() == {"id": "17", "count": 1}
    answer = await wire.request("GET", "/echo/items/special?count=2")
    assert answer.json() == {"count": 2}


async def test_only_objects_can_be_merged(wire: Wire) -> None:
    assert (await wire.request("POST", "/echo?count=1", b"[1]")).status == 400
    assert (await wire.request("POST", "/echo?count=1", b"{")).status == 400
    assert (await wire.request("POST", "/echo?count=1", b"[" * 100_000)).status == 400
    assert (await wire.request("POST", "/echo", b"[1]")).json() == [1]
