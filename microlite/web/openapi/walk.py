"""Copying a JSON Schema with other references in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ONE: Final = frozenset(
    {
        *("items", "additionalProperties", "contains", "propertyNames", "contentSchema", "not", "if", "then", "else"),
        *("unevaluatedItems", "unevaluatedProperties"),
    }
)
_LIST: Final = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_MAP: Final = frozenset({"properties", "patternProperties", "dependentSchemas"})
"""Keywords under which schemas stand. All others hold data (`default`, `enum`, `examples`), which is left as it is."""

DEFINITIONS: Final = "$defs"


def replace_refs(schema: Any, replace: Callable[[str], str | None]) -> Any:
    """A copy of a schema without its own definitions, whose references are what `replace` says.

    Args:
        schema: an object, or `true` or `false`, which are schemas as well.
        replace: gives the new reference for an old one, or None where that leads nowhere; the schema then allows
            anything.
    """
    if not isinstance(schema, dict):
        return schema
    copy: dict[str, Any] = {}
    for keyword, value in schema.items():
        if keyword == "$ref" and isinstance(value, str):
            reference = replace(value)
            if reference is not None:
                copy[keyword] = reference
        elif keyword == "items" and value is False and schema.get("maxItems") == len(schema.get("prefixItems", ())):
            continue  # says the same again, in a way that some generators do not read
        elif keyword in _ONE:
            copy[keyword] = replace_refs(value, replace)
        elif keyword in _LIST and isinstance(value, list):
            copy[keyword] = [replace_refs(one, replace) for one in value]
        elif keyword in _MAP and isinstance(value, dict):
            copy[keyword] = {name: replace_refs(one, replace) for name, one in value.items()}
        elif keyword == "discriminator" and isinstance(value, dict) and isinstance(value.get("mapping"), dict):
            mapping = {tag: replace(reference) for tag, reference in value["mapping"].items()}
            copy[keyword] = {**value, "mapping": {tag: reference for tag, reference in mapping.items() if reference}}
        elif keyword != DEFINITIONS:
            copy[keyword] = value
    return copy


def references(schema: Any) -> Iterator[str]:
    """All references in a schema, those in its definitions aside, in the order in which they stand there."""
    found: list[str] = []

    def note(reference: str) -> str:
        found.append(reference)
        return reference

    replace_refs(schema, note)
    yield from dict.fromkeys(found)
