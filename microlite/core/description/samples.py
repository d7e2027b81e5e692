"""Values that a schema allows, for examples: the same ones each time."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final

from microlite.core.description.schema_path import dereference

if TYPE_CHECKING:
    from microlite.core.description.structs import Schema

_DEPTH: Final = 6
"""Lists have an item, and objects what is optional in them, so deep."""

_MAX_DEPTH: Final = 40
"""What is required is followed so deep."""

_FORMATS: Final = {
    "date-time": "2026-01-31T12:00:00Z",
    "date": "2026-01-31",
    "time": "12:00:00Z",
    "partial-time": "12:00:00",
    "duration": "PT10S",
    "uuid": "6ba7b810-9dad-41d1-80b4-00c04fd430c8",
    "decimal": "9.99",
    "email": "ann@example.org",
    "uri": "https://example.org/",
    "hostname": "example.org",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
}
_WORDS: Final = (
    "text",
    "Ann",
    "a",
    "A",
    "abc",
    "ABC",
    "1",
    "42",
    "abc123",
    "a-b",
    "a@b.org",
    "+491234567",
    "2026-01-31",
)
"""What is tried where a text has to match a pattern."""

_MAX_LENGTH: Final = 1_000
"""Characters or items that a sample has at most."""


class NoSample(Exception):
    """No value is known that the schema allows: it asks for a pattern that is hard to guess, or contradicts itself."""


def sample(schema: Schema, root: Schema | None = None, name: str = "", *, complete: bool = False) -> Any:
    """A value that the schema allows.

    What the author says goes first: an example (`Meta(examples=[…])`), then a default.

    Args:
        schema: of the value.
        root: the schema in whose `$defs` its references lead; itself without it.
        name: of the field, which may tell what a text is.
        complete: whether objects have all their fields, as replies do; else the required ones, and those whose default
            says something.

    Raises:
        NoSample: none is known.
    """
    return _Sampler(schema if root is None else root, complete=complete).value(schema, name, 0)


class _Sampler:
    def __init__(self, root: Schema, *, complete: bool) -> None:
        self._root = root
        self._complete = complete

    def value(self, schema: Schema | bool, name: str, depth: int) -> Any:
        if not isinstance(schema, dict):
            if schema is False:
                raise NoSample("nothing is allowed")
            return name or "text"
        given = [*schema.get("examples", ()), *([schema["default"]] if schema.get("default") is not None else ())]
        if given:
            return given[0]
        if depth > _MAX_DEPTH:
            raise NoSample("it nests without an end")
        if schema.get("anyOf") or schema.get("oneOf"):
            return self._any(schema, name, depth)
        inner = dereference(schema, self._root)
        if "$ref" in schema and not inner:
            raise NoSample("its reference leads nowhere")
        if inner is not schema:
            return self.value(inner, name, depth + 1)
        return self._plain(schema, name, depth)

    def _any(self, schema: Schema, name: str, depth: int) -> Any:
        choices = schema.get("anyOf") or schema["oneOf"]
        for choice in sorted(choices, key=lambda one: isinstance(one, dict) and one.get("type") == "null"):
            try:
                return self.value(choice, name, depth + 1)
            except NoSample:
                continue
        raise NoSample("none of the alternatives has a sample")

    def _plain(self, schema: Schema, name: str, depth: int) -> Any:
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return next((one for one in schema["enum"] if one is not None), None)
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((one for one in kind if one != "null"), "null")
        match kind:
            case "string":
                return _text(schema, name)
            case "integer" | "number":
                return _number(schema, whole=kind == "integer")
            case "boolean":
                return True
            case "null":
                return None
            case "array":
                return self._array(schema, name, depth)
            case "object":
                return self._object(schema, depth)
            case None if "properties" in schema:
                return self._object(schema, depth)
            case None if not set(schema) & {"allOf", "not", "if"}:
                return name or "text"
            case _:
                raise NoSample(f"no sample of {kind}")

    def _array(self, schema: Schema, name: str, depth: int) -> list[Any]:
        fixed = schema.get("prefixItems", ())
        items = [self.value(one, name, depth + 1) for one in fixed]
        least = schema.get("minItems", 0)
        wanted = max(least, 1) if not fixed and depth < _DEPTH else least
        wanted = min(wanted, schema.get("maxItems", wanted), _MAX_LENGTH)
        while len(items) < wanted:
            try:
                one = self.value(schema.get("items", True), name, depth + 1)
            except NoSample:
                if len(items) >= least:
                    break
                raise
            if schema.get("uniqueItems") and one in items:
                raise NoSample("its items must differ")
            items.append(one)
        if len(items) < least:
            raise NoSample("it must be longer than a sample is")
        return items

    def _object(self, schema: Schema, depth: int) -> dict[str, Any]:
        properties: dict[str, Schema] = schema.get("properties", {})
        required = schema.get("required", ())
        found: dict[str, Any] = {}
        for name, one in properties.items():
            if name in required:
                found[name] = self.value(one, name, depth + 1)
            elif depth < _DEPTH and (
                self._complete or one.get("default") not in (None, "", [], {}) or "examples" in one
            ):
                try:
                    found[name] = self.value(one, name, depth + 1)
                except NoSample:
                    continue
        return {**found, **self._entries(schema, found, depth)}

    def _entries(self, schema: Schema, found: dict[str, Any], depth: int) -> dict[str, Any]:
        """Entries beside the declared ones: one where there are no others, or as many as must be."""
        least = schema.get("minProperties", 0)
        extra = schema.get("additionalProperties", True)
        wanted = least - len(found)
        if isinstance(extra, dict) and not schema.get("properties") and depth < _DEPTH:
            wanted = max(wanted, 1)
        entries: dict[str, Any] = {}
        keys = schema.get("propertyNames", True)
        for number in range(min(wanted, _MAX_LENGTH)):
            key = _text(keys if isinstance(keys, dict) else {}, "key")
            key = key if number == 0 else f"{key}{number + 1}"
            try:
                entries[key] = self.value(extra, key, depth + 1)
            except NoSample:
                if len(entries) < least:
                    raise
                break
        if len(found) + len(entries) < least:
            raise NoSample("it must have more entries than a sample has")
        return entries


def _text(schema: Schema, name: str) -> str:
    if "contentEncoding" in schema:
        return "aGVsbG8="
    found = _FORMATS.get(schema.get("format", ""))
    if found is None:
        found = "Ann" if name.lower() in ("name", "customer", "user") or name.lower().endswith("_name") else "text"
    least, most = schema.get("minLength", 0), schema.get("maxLength", _MAX_LENGTH)
    pattern = schema.get("pattern")
    for word in (found, *_WORDS) if pattern is not None else (found,):
        text = word
        if least > len(text):
            text = (text * math.ceil(min(least, _MAX_LENGTH) / len(text)))[:least]
        text = text[:most] if not schema.get("format") else text
        if not least <= len(text) <= most:
            continue
        try:
            if pattern is None or re.search(pattern, text):
                return text
        except re.error:
            break  # patterns of JSON Schema are those of JavaScript
    raise NoSample("no text is known that fits")


def _number(schema: Schema, *, whole: bool) -> int | float:
    least, above = schema.get("minimum", -math.inf), schema.get("exclusiveMinimum", -math.inf)
    most, below = schema.get("maximum", math.inf), schema.get("exclusiveMaximum", math.inf)
    step = schema.get("multipleOf") or 0
    low, high = max(least, above), min(most, below)
    starts = [1 if whole else 1.5, 0, low, high, low + 1, high - 1, (low + high) / 2]
    for start in filter(math.isfinite, starts):
        for value in (math.ceil(start / step) * step, math.floor(start / step) * step) if step else (start,):
            fits = least <= value <= most and above < value < below
            if fits and (not whole or value == int(value)):
                return int(value) if whole else float(value)
    raise NoSample("no number is known that fits")
