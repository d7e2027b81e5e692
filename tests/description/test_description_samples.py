"""Values that a schema allows."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from microlite.core.description.samples import NoSample, sample

TREE = {
    "$ref": "#/$defs/Tree",
    "$defs": {
        "Tree": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/Tree"}},
            },
            "required": ["name", "children"],
        }
    },
}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "text"),
        ({"type": "string", "examples": ["one", "two"], "default": "three"}, "one"),
        ({"type": "string", "default": "three"}, "three"),
        ({"type": "integer", "default": None}, 1),
        ({"type": "string", "format": "date-time"}, "2026-01-31T12:00:00Z"),
        ({"type": "string", "minLength": 6, "maxLength": 7}, "texttext"[:6]),
        ({"type": "string", "maxLength": 2}, "te"),
        ({"type": "string", "pattern": "^[0-9]+$"}, "1"),
        ({"type": "integer", "minimum": 5}, 5),
        ({"type": "integer", "exclusiveMaximum": -3}, -4),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.5}, 0.25),
        ({"type": "integer", "multipleOf": 7, "minimum": 8}, 14),
        ({"enum": [None, "a"]}, "a"),
        ({"const": 3}, 3),
        ({"anyOf": [{"type": "null"}, {"type": "boolean"}]}, True),
        ({"type": ["null", "integer"]}, 1),
        ({"type": "array", "items": {"type": "integer"}}, [1]),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 3}, [1, 1, 1]),
        ({"type": "array", "maxItems": 0}, []),
        ({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False}, [1, "text"]),
        ({"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 2}, {"text": 1, "text2": 1}),
        ({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}}, "required": ["a"]}, {"a": 1}),
    ],
)  # fmt: skip
def test_a_sample_is_what_the_author_says_or_else_the_simplest_value(schema: Any, value: Any) -> None:
    assert sample(schema) == value
    Draft202012Validator(schema).validate(value)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": "^(?:xy){3}$"},
        {"type": "string", "pattern": "["},
        {"type": "integer", "minimum": 3, "maximum": 2},
        {"type": "array", "items": {"type": "integer"}, "uniqueItems": True, "minItems": 2},
        {"type": "array", "items": False, "minItems": 1},
        {"type": "object", "properties": {"a": {"type": "string", "pattern": "^(?:xy){3}$"}}, "required": ["a"]},
        {"type": "string", "minLength": 1_000_000},
        {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"anyOf": [{"$ref": "#/$defs/A"}]}}},
    ],
)
def test_where_none_is_known_that_is_said(schema: Any) -> None:
    with pytest.raises(NoSample):
        sample(schema)


def test_a_type_that_holds_itself_ends_somewhere() -> None:
    value = sample(TREE)
    Draft202012Validator(TREE).validate(value)
    assert value["children"][0]["children"]


def test_a_field_without_a_sample_is_left_out_where_it_may_be() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": "^(?:xy){3}$"}, "b": {"const": 1}}}
    assert sample(schema, complete=True) == {"b": 1}
