"""The words for what a schema asks for, on every face that shows types to people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from microlite.core.description.schema_path import dereference
from microlite.core.description.uploads import is_bytes

if TYPE_CHECKING:
    from microlite.core.description.structs import Schema

_FORMATS: Final = {
    "date-time": "datetime",
    "date": "date",
    "time": "time",
    "partial-time": "time",
    "duration": "duration",
    "uuid": "uuid",
}
_MOST_CHOICES: Final = 8
"""So many values of an enum are listed; more would fill the screen."""


def alternatives(schema: Schema, root: Schema) -> list[Schema]:
    """What a value can be: the schemas of a union, each dereferenced; one for what is no union."""
    union = schema.get("anyOf") or schema.get("oneOf")
    if union:
        return [found for choice in union for found in alternatives(choice, root)]
    if "$ref" in schema:
        return alternatives(dereference(schema, root), root)
    types = schema.get("type")
    if isinstance(types, list):
        return [{**schema, "type": one} for one in types]
    return [schema]


def kind(schema: Schema) -> str:
    """The type of a schema that is no union: a JSON type, `enum`, or `any`."""
    if "enum" in schema or "const" in schema:
        return "enum"
    if "properties" in schema:
        return "object"
    return str(schema.get("type", "any"))


def type_word(schema: Schema, root: Schema) -> str:
    """The type for help texts: `string`, `int`, `list[number]`, `red|blue`, `Item`."""
    words = [_word(one, root) for one in alternatives(schema, root) if kind(one) != "null"]
    return "|".join(dict.fromkeys(words)) or "null"


def objects(schema: Schema, root: Schema) -> list[Schema]:
    """The objects with named fields that a value is made of: itself, what it is a list or map of, or what it can be."""
    found: list[Schema] = []
    for one in alternatives(schema, root):
        if "properties" in one:
            found.append(one)
            continue
        parts = [*one.get("prefixItems", ()), one.get("items"), one.get("additionalProperties")]
        for part in parts:
            if isinstance(part, dict):
                found += [inner for inner in objects(part, root) if inner not in found]
    return found


def _word(schema: Schema, root: Schema) -> str:
    match kind(schema):
        case "enum":
            values = choices(schema)
            return "|".join(values[:_MOST_CHOICES]) + ("|…" if len(values) > _MOST_CHOICES else "")
        case "integer":
            return "int"
        case "boolean":
            return "bool"
        case "string":
            return "base64" if is_bytes(schema) else _FORMATS.get(schema.get("format", ""), "string")
        case "array":
            parts = schema.get("prefixItems") or [schema.get("items") or {}]
            return f"list[{', '.join(type_word(part, root) for part in parts)}]"
        case "object" if "properties" not in schema and isinstance(schema.get("additionalProperties"), dict):
            return f"map[{type_word(schema['additionalProperties'], root)}]"
        case "object":
            return str(schema.get("title", "object"))
        case "any":
            return "json"
        case other:
            return other


def choices(schema: Schema) -> list[str]:
    """The values of an enum, as people write them."""
    values = schema["enum"] if "enum" in schema else [schema["const"]]
    return [value if isinstance(value, str) else msgspec.json.encode(value).decode() for value in values]
