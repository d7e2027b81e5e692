"""The formats of dates and times in schemas, so that faces know a date from any other text.

msgspec leaves them out where a type allows values with a time zone as well as without, as `datetime` does: JSON Schema's
`date-time` (RFC 3339) has one. We say `date-time` all the same: a caller who keeps to it is understood, and replies keep to
it where the author keeps to aware datetimes. Of a plain `time`, most values have no zone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import inspect

from microlite.core.description.schema_path import REF

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from microlite.core.description.structs import Schema


def add_formats(types: Iterable[Any], schemas: Iterable[Schema], definitions: dict[str, Schema]) -> None:
    """Add the formats to the schemas of these types, and to the definitions that they refer to."""
    seen: set[str] = set()
    waiting = list(zip(inspect.multi_type_info(types), schemas, strict=True))
    while waiting:
        found, schema = waiting.pop()
        while isinstance(found, inspect.Metadata):
            found = found.type
        name = schema.get("$ref", "").removeprefix(REF)
        if name in seen:
            continue
        if name in definitions:
            seen.add(name)
            schema = definitions[name]
        if isinstance(found, inspect.DateTimeType) and found.tz is None:
            _add(schema, "date-time")
        elif isinstance(found, inspect.TimeType) and found.tz is None:
            _add(schema, "partial-time")
        else:
            waiting += _inner(found, schema)


def keep_format(schema: Schema) -> None:
    """Take the format away again where the default has no time zone: then the author's values have none."""
    default = schema.get("default")
    if schema.get("format") == "date-time" and isinstance(default, str) and not _is_aware(default):
        del schema["format"]


def _add(schema: Schema, format: str) -> None:
    schema.setdefault("format", format)
    keep_format(schema)


def _is_aware(text: str) -> bool:
    return text.endswith("Z") or "+" in text or text.count("-") > 2


def _inner(found: inspect.Type, schema: Schema) -> Iterator[tuple[inspect.Type, Schema]]:
    """The types within a type, each with its schema."""
    if isinstance(found, inspect.UnionType):
        members = [inner for one in schema.get("anyOf", ()) for inner in one.get("anyOf", (one,))]
        yield from zip(sorted(found.types, key=_place_in_union), members, strict=False)
    elif isinstance(found, inspect.CollectionType):
        yield from _pair(found.item_type, schema.get("items"))
    elif isinstance(found, inspect.DictType):
        yield from _pair(found.value_type, schema.get("additionalProperties"))
    elif isinstance(found, inspect.TupleType):
        yield from zip(found.item_types, schema.get("prefixItems", ()), strict=False)
    elif isinstance(found, inspect.StructType | inspect.DataclassType | inspect.TypedDictType | inspect.NamedTupleType):
        if "prefixItems" in schema:
            parts = schema["prefixItems"][-len(found.fields) :] if found.fields else ()
            yield from zip((field.type for field in found.fields), parts, strict=False)
        for field in found.fields:
            yield from _pair(field.type, schema.get("properties", {}).get(field.encode_name))


def _place_in_union(found: inspect.Type) -> int:
    """Where msgspec writes a member of a union: structs that a tag tells apart after the others, None last."""
    while isinstance(found, inspect.Metadata):
        found = found.type
    if isinstance(found, inspect.NoneType):
        return 2
    return 1 if isinstance(found, inspect.StructType) and not found.array_like else 0


def _pair(found: inspect.Type, schema: object) -> Iterator[tuple[inspect.Type, Schema]]:
    if isinstance(schema, dict):
        yield found, schema
