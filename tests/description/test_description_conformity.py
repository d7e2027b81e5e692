"""What fits a schema, and words for what does not."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microlite.core.description.conformity import misfit
from microlite.core.description.declaration import Place
from microlite.core.description.schema import type_schema


class Inner(msgspec.Struct):
    name: str
    size: int | None = None


class Closed(msgspec.Struct, forbid_unknown_fields=True):
    inner: list[Inner] = []
    kind: Literal["a", "b"] = "a"


class Left(msgspec.Struct, tag="left"):
    x: int


class Right(msgspec.Struct, tag="right"):
    y: str


TYPES: list[Any] = [
    int,
    str | None,
    list[int],
    dict[str, float],
    tuple[int, str],
    Closed,
    Left | Right,
    Annotated[int, msgspec.Meta(ge=0, lt=3)],
    Annotated[str, msgspec.Meta(min_length=1, max_length=2, pattern="^x")],
    Literal[1, 2],
]

names = st.sampled_from(["name", "size", "inner", "kind", "x", "y", "type", "other"])
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 4)
    | st.just(0.5)
    | st.sampled_from(["a", "x", "xyz", "left", "right", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)


def schema_of(kind: Any) -> dict[str, Any]:
    return type_schema(kind, Place("test"), "a value")


@pytest.mark.parametrize("kind", TYPES, ids=str)
@given(value=values)
def test_it_refuses_what_a_validator_refuses(kind: Any, value: Any) -> None:
    """Fields that a schema does not name aside, which are refused here: they are typing errors."""
    schema = schema_of(kind)
    wrong = misfit(value, [schema], schema)
    errors = list(jsonschema.Draft202012Validator(schema).iter_errors(value))
    if errors:
        assert wrong
    elif "unknown field" not in wrong:
        assert not wrong


@pytest.mark.parametrize(
    ("kind", "value", "says"),
    [
        (int, "3", "expected int, got str"),
        (int | None, [], "expected int or null, got list"),
        (Closed, {"inner": [{"name": 1}]}, ".inner[0].name: expected str, got int"),
        (Closed, {"kind": "c"}, ".kind: expected one of a, b"),
        (Inner, {}, "required field name is missing"),
        (Inner, {"name": "a", "sise": 1}, "unknown field sise; the fields are name, size"),
        (TYPES[7], 5, "expected less than 3"),
        (TYPES[8], "xyz", "expected at most 2 characters"),
    ],
)
def test_the_words_name_place_and_type_and_not_the_value(kind: Any, value: Any, says: str) -> None:
    """For errors that a user reads."""
    schema = schema_of(kind)
    assert misfit(value, [schema], schema) == says


def test_a_pattern_that_would_take_for_ever_is_given_up() -> None:
    assert misfit("a" * 40 + "b", [{"type": "string", "pattern": "^(a+)+$"}], {}) == "a pattern takes too long to match"
