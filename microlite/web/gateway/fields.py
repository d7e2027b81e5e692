"""From the text of a query, a form or a path to the fields of a request, guided by its schema."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import parse_qsl

import msgspec

from microlite.core import errors
from microlite.core.description.schema_path import dereference

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from microlite.core.description.structs import Schema

T = TypeVar("T")

MAX_FIELDS: Final = 1000
MAX_DEPTH: Final = 16
"""How deep `a.b.c=1` may nest."""

_INTEGER: Final = re.compile(r"-?(?:0|[1-9]\d{0,308})")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?")
_BOOLEANS: Final = {"true": True, "false": False}

_decode = msgspec.json.decode


def parse_query(query: bytes, schema: Schema, what: str = "query") -> dict[str, Any]:
    """The fields that a query, or a form in the same notation, sets: `a.b=1` nests, a repeated key makes a list.

    A value becomes what the schema of its field asks for; where it does not fit, it stays text, and the service says what
    is wrong with it. Where the schema says nothing, numbers and booleans are recognised.

    Args:
        query: without its question mark.
        schema: of the request, as in an `EndpointDescription`.
        what: what to call it in an error.

    Raises:
        BadRequest: it is not UTF-8, has too many fields, nests too deep, or gives one name a value and fields.
    """
    if not query:
        return {}
    try:
        pairs = parse_qsl(query.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
    except UnicodeError:
        raise errors.BadRequest(f"the {what} is not UTF-8, percent-encoded", id="gateway") from None
    except ValueError:
        raise errors.BadRequest(f"the {what} has more than {MAX_FIELDS:,} fields", id="gateway") from None
    texts: dict[str, list[str]] = {}
    for name, text in pairs:
        texts.setdefault(name, []).append(text)
    fields: dict[str, Any] = {}
    for name, values in texts.items():
        set_field(fields, name, values, schema, convert, what)
    return fields


def convert_params(params: Mapping[str, str], schema: Schema) -> dict[str, Any]:
    """The fields that the parameters of a route set."""
    properties = dereference(schema, schema).get("properties", {})
    return {name: convert([text], properties.get(name, {}), schema) for name, text in params.items()}


def set_field(
    fields: dict[str, Any],
    name: str,
    values: list[T],
    root: Schema,
    convert: Callable[[list[T], Schema, Schema], Any],
    what: str,
) -> None:
    """Put what was given for one name into the fields, each dot of the name a step into an object.

    Args:
        fields: of the request, to be added to.
        name: as it was given.
        values: all that was given for it, in order.
        root: the schema of the request.
        convert: makes the field's value of `values`, the field's schema and `root`.
        what: what to call the source in an error.

    Raises:
        BadRequest: it nests too deep, or the name has both a value and fields.
    """
    steps = name.split(".")
    if len(steps) > MAX_DEPTH:
        raise errors.BadRequest(f"the {what} nests deeper than {MAX_DEPTH} levels", id="gateway")
    schema = dereference(root, root)
    for step in steps[:-1]:
        fields = fields.setdefault(step, {})
        if not isinstance(fields, dict):
            raise errors.BadRequest(f'the {what} gives "{step}" a value, and fields as well', id="gateway")
        schema = dereference(_property(schema, step), root)
    last = steps[-1]
    if last in fields:
        raise errors.BadRequest(f'the {what} gives "{last}" a value, and fields as well', id="gateway")
    fields[last] = convert(values, _property(schema, last), root)


def _property(schema: Schema, name: str) -> Schema:
    """The schema of a field; an empty one where nothing is known of it."""
    inner = schema.get("properties", {}).get(name)
    if inner is None:
        inner = schema.get("additionalProperties")
    return inner if isinstance(inner, dict) else {}


def convert(texts: list[str], schema: Schema, root: Schema) -> Any:
    """What one or more texts are worth under a schema."""
    nullable = any(choice.get("type") == "null" for choice in schema.get("anyOf", ()))
    schema = dereference(schema, root)
    if nullable and texts == ["null"] and schema.get("type") != "string":
        return None
    if schema.get("type") == "array":
        if len(texts) == 1 and texts[0].startswith("["):
            return _document(texts[0])
        items = schema.get("items")
        return [convert([text], items if isinstance(items, dict) else {}, root) for text in texts]
    if len(texts) > 1:
        choices = (dereference(choice, root) for choice in schema.get("anyOf", ()))
        array = next((choice for choice in choices if choice.get("type") == "array"), None)
        if array is not None:
            return convert(texts, array, root)
        return [convert([text], schema, root) for text in texts]
    return _scalar(texts[0], schema, root)


def _scalar(text: str, schema: Schema, root: Schema) -> Any:
    choices = [dereference(choice, root) for choice in schema.get("anyOf", ())]
    kinds = schema.get("type") or [choice.get("type") for choice in choices]
    kinds = [kinds] if isinstance(kinds, str) else kinds
    allowed = schema.get("enum") or [schema["const"] for _ in "1" if "const" in schema]
    if allowed:
        return next((value for value in allowed if _text(value) == text), text)
    if not schema:
        kinds = ["integer", "number", "boolean"]
    if "integer" in kinds and _INTEGER.fullmatch(text):
        return int(text)
    if "number" in kinds and _NUMBER.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    if "boolean" in kinds and text in _BOOLEANS:
        return _BOOLEANS[text]
    if ("object" in kinds and text.startswith("{")) or ("array" in kinds and text.startswith("[")):
        return _document(text)
    if "array" in kinds and "string" not in kinds:
        return convert([text], next(choice for choice in choices if choice.get("type") == "array"), root)
    return text


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _document(text: str) -> Any:
    """A JSON document within a query; the text itself where it is none."""
    try:
        return _decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text
