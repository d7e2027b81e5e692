"""Values are checked against a schema as the usual validator does, for the keywords that descriptions are made of."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microlite.core.description.checking import Checker
from microlite.core.description.codec import Codec, encode_msgpack
from microlite.core.description.declaration import Place
from microlite.core.description.schema import type_schema
from microlite.core.errors import BadRequest

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from(["", "a", "ab", "x1"])
    | st.sampled_from([0.5, 1.0, -2.0])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "c1"]), inner, max_size=3),
    max_leaves=6,
)


def _schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = st.lists(inner, min_size=1, max_size=3)
    return st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["null", "boolean", "integer", "number", "string", "array", "object"])
            | st.lists(st.sampled_from(["null", "integer", "string"]), min_size=1, max_size=2, unique=True),
            "properties": st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
            "patternProperties": st.dictionaries(st.sampled_from(["^c", "1$"]), inner, max_size=1),
            "required": st.lists(st.sampled_from(["a", "b"]), max_size=2, unique=True),
            "additionalProperties": st.booleans() | inner,
            "propertyNames": st.fixed_dictionaries({"maxLength": st.integers(0, 2)}),
            "items": inner | st.just(False),
            "prefixItems": lists,
            "minItems": st.integers(0, 2),
            "maxItems": st.integers(0, 2),
            "uniqueItems": st.booleans(),
            "minProperties": st.integers(0, 2),
            "maxProperties": st.integers(0, 2),
            "minLength": st.integers(0, 2),
            "maxLength": st.integers(0, 2),
            "pattern": st.sampled_from(["a", "^x", "[0-9]$"]),
            "minimum": st.integers(-2, 2),
            "maximum": st.integers(-2, 2),
            "exclusiveMinimum": st.integers(-2, 2),
            "exclusiveMaximum": st.integers(-2, 2),
            "multipleOf": st.sampled_from([2, 0.5, 3]),
            "enum": st.lists(VALUES, min_size=1, max_size=3),
            "const": VALUES,
            "anyOf": lists,
            "oneOf": lists,
            "allOf": lists,
            "not": inner,
            "$ref": st.sampled_from(["#/$defs/One", "#/$defs/Two"]),
            "title": st.just("t"),
        },
    )


SCHEMAS: st.SearchStrategy[Any] = st.recursive(st.just({}) | st.just(True), _schemas, max_leaves=6).filter(
    lambda schema: isinstance(schema, dict)
)


@given(schema=SCHEMAS, one=SCHEMAS, value=VALUES)
def test_it_agrees_with_the_usual_validator(schema: dict[str, Any], one: dict[str, Any], value: Any) -> None:
    def without_references(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: without_references(inner) for key, inner in node.items() if key != "$ref"}
        return [without_references(inner) for inner in node] if isinstance(node, list) else node

    whole = {**schema, "$defs": {"One": without_references(one), "Two": {"$ref": "#/$defs/One"}}}
    right = jsonschema.Draft202012Validator(whole).is_valid(value)
    complaint = Checker(whole).misfit(value)
    assert (complaint is None) == right, complaint


class Size(Enum):
    SMALL = "s"
    LARGE = "l"


@dataclass
class Item:
    name: str
    price: float = 1.0
    sizes: list[Size] = field(default_factory=list)


class Cat(msgspec.Struct, tag=True):
    lives: int


class Dog(msgspec.Struct, tag=True):
    name: str


TYPES: list[Any] = [
    int,
    float | None,
    Literal["a", "b", 3],
    list[Item],
    dict[str, int],
    tuple[int, str],
    set[int],
    Cat | Dog,
    dt.datetime,
    dt.date,
    dt.timedelta,
    UUID,
    Decimal,
    bytes,
    Annotated[int, msgspec.Meta(ge=1, le=3)],
    Annotated[str, msgspec.Meta(min_length=1, pattern="^a")],
]


@pytest.mark.parametrize("declared", TYPES, ids=str)
@given(
    value=VALUES.filter(lambda value: "1.0" not in repr(value) and "-2.0" not in repr(value))
    | st.sampled_from([[{"name": "a"}], {"type": "Cat", "lives": 9}, [1, "a"], "2026-01-31", "PT1H"])
)
def test_what_a_type_refuses_its_schema_does_not_let_pass(declared: Any, value: Any) -> None:
    """Apart from what JSON Schema cannot say: which texts are decimal numbers, or base64; and 1.0 is an integer there.

    A list with the same item twice, which becomes a set without complaint, does not fit the schema of one.
    """
    checker = Checker(type_schema(declared, Place.of(test_it_agrees_with_the_usual_validator), "it"))
    try:
        Codec(declared).decode_msgpack(encode_msgpack(value))
    except msgspec.ValidationError:
        if declared not in (Decimal, bytes):
            assert checker.misfit(value) is not None
    else:
        if declared not in (Decimal, set[int]) and not (declared is UUID and isinstance(value, bytes)):
            assert checker.misfit(value) is None or isinstance(value, float | int)


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ([{"name": 1}], "payload[0].name: expected string, got integer"),
        ([{}], "payload[0].name: required field is missing"),
        ([{"name": "a", "sizes": ["m"]}], "payload[0].sizes[0]: 'm' is none of 'l', 's'"),
        ({}, "payload: expected array, got object"),
    ],
)
def test_a_complaint_names_the_place(value: Any, complaint: str) -> None:
    assert Checker(type_schema(list[Item], Place.of(test_a_complaint_names_the_place), "it")).misfit(value) == complaint


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        (dt.datetime(2026, 1, 31, tzinfo=dt.UTC), True),
        ("2026-01-31T12:00:00Z", True),
        ("yesterday", False),
        (b"", True),
    ],
)
def test_times_may_come_as_times_or_as_text(value: Any, fits: bool) -> None:
    schema = type_schema(dt.datetime, Place.of(test_a_complaint_names_the_place), "it")
    assert (Checker(schema).misfit(value) is None) is fits


@pytest.mark.parametrize(
    "schema",
    [
        {"if": {}},
        {"type": "text"},
        {"$ref": "#/$defs/Missing"},
        {"$ref": "http://elsewhere"},
        {"properties": []},
        {"anyOf": {}},
        {"pattern": "("},
        {"minimum": "a"},
        {"$defs": {"A": 3}},
        {"items": [3]},
    ],
    ids=str,
)
def test_what_is_no_schema_is_refused_at_once(schema: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match="schema"):
        Checker(schema)


def _nested(make: Callable[[Any], Any]) -> Any:
    value: Any = 1
    for _ in range(500):
        value = make(value)
    return value


def test_a_check_is_bounded() -> None:
    """Neither a deep value nor a schema that goes in a circle keeps it busy."""
    deep: dict[str, Any] = {"$ref": "#/$defs/A", "$defs": {"A": {"type": "array", "items": {"$ref": "#/$defs/A"}}}}
    assert "payload: too much to check" in str(Checker(deep).misfit(_nested(lambda inner: [inner])))
    circle: dict[str, Any] = {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}}
    assert Checker(circle).misfit(1) == "payload: too much to check"
    wide = {"type": "array", "items": {"anyOf": [*({"type": "string"} for _ in range(50)), {"type": "integer"}]}}
    assert Checker(wide).misfit([1] * 100) is None
    assert Checker(wide).misfit([1] * 10_000) == "payload: too much to check"


@pytest.mark.parametrize("schema", [{"pattern": "^(a+)+$"}, {"patternProperties": {"^(a+)+$": {}}}])
def test_a_pattern_that_would_take_for_ever_is_given_up(schema: dict[str, Any]) -> None:
    """Whoever writes the schema of a topic does not hold up the platform that checks it."""
    text = "a" * 40 + "b"
    value = text if "pattern" in schema else {text: 1}
    assert Checker(schema).misfit(value) == "payload: a pattern takes too long to match"
    assert Checker(schema).misfit("a" * 40 if "pattern" in schema else {"a" * 40: 1}) is None


def test_patience_is_for_all_texts_of_a_value() -> None:
    """Many texts that are each a little slow are together too slow."""
    checker = Checker({"items": {"pattern": "^(a+)+$"}})
    assert checker.misfit(["a" * 20 + "b"]) == "payload[0]: 'aaaaaaaaaaaaaaaaaaaab' does not match '^(a+)+$'"
    assert checker.misfit([*["a" * 20] * 10, "a" * 40 + "b"]) == "payload: a pattern takes too long to match"


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": 5}, "schema.type: 5 is no value for it"),
        ({"type": [["string"]]}, "schema.type: [['string']] is no value for it"),
        ({"format": ["date"]}, "schema.format: ['date'] is no value for it"),
        ({"$ref": "#/$defs/x", "$defs": []}, "schema.$defs: expected an object"),
        ({"pattern": "a{1,99999999999}"}, "schema.pattern: 'a{1,99999999999}' is no pattern: "),
    ],
)
def test_what_is_no_schema_is_a_bad_request_whatever_it_is(schema: dict[str, Any], words: str) -> None:
    with pytest.raises(BadRequest) as caught:
        Checker(schema)
    assert caught.value.detail.startswith(words)


def test_no_number_is_a_multiple_of_nothing() -> None:
    """MessagePack has numbers that JSON lacks."""
    assert Checker({"multipleOf": 0.5}).misfit(float("nan")) == "payload: expected a multiple of 0.5, got nan"
