"""Which fields of a request take the content of a file, read from their schemas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microlite.core.description.schema_path import dereference

if TYPE_CHECKING:
    from microlite.core.description.structs import Schema


def is_bytes(schema: Schema) -> bool:
    """Whether a schema is that of bytes, which JSON carries as base64."""
    return schema.get("type") == "string" and schema.get("contentEncoding") == "base64"


def is_file(schema: Schema, root: Schema) -> bool:
    """Whether a schema is that of `microlite.File`, or of another object that has a field `content` of bytes.

    Args:
        schema: dereferenced.
        root: the schema that holds the definitions.
    """
    return is_bytes(dereference(schema.get("properties", {}).get("content", {}), root))


def takes_files(schema: Schema, root: Schema) -> bool:
    """Whether a field takes a file or, as a list, several: as bytes or as an object."""
    for choice in schema.get("anyOf") or (schema,):
        inner = dereference(choice, root)
        if inner.get("type") == "array":
            inner = dereference(inner.get("items") or {}, root)
        if is_bytes(inner) or is_file(inner, root):
            return True
    return False
