"""Whether a value fits a JSON Schema, for the keywords that descriptions are made of.

It checks plain values, as a payload gives them when it is read without a type: what a service declares by its types is
enforced here where those types are not at hand. Bytes and times, which JSON writes as text, count as text.
"""

from __future__ import annotations

import datetime as dt
import math
import re
import uuid
from typing import TYPE_CHECKING, Any, Final

import msgspec

from microlite.core.description.patience import OutOfPatienceError, Patience
from microlite.core.description.schema_path import REF
from microlite.core.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from microlite.core.description.structs import Schema

MAX_DEPTH: Final = 64
"""Levels of a value, and references one after the other, that are followed."""

MAX_STEPS: Final = 200_000
"""Schemas that one check looks at; a value that needs more counts as a misfit."""

MAX_PATTERN: Final = 500
"""Characters of a pattern."""

_NOTES: Final = frozenset(
    {
        *("$schema", "$id", "$comment", "$defs", "title", "description", "default", "examples", "deprecated"),
        *("readOnly", "writeOnly", "discriminator", "contentEncoding", "contentMediaType"),
    }
)
"""Keywords that say nothing about which values fit."""

_DATES: Final[dict[str, Any]] = {
    "date-time": dt.datetime,
    "date": dt.date,
    "time": dt.time,
    "duration": dt.timedelta,
    "uuid": uuid.UUID,
}
"""Formats that whoever reads the value as its type insists on."""


class Checker:
    """Checks values against one schema.

    Args:
        schema: self-contained: what it refers to stands in its `$defs`.

    Raises:
        BadRequest: it is no schema, or uses keywords that are not checked here.
    """

    def __init__(self, schema: Schema) -> None:
        self._root = schema
        self._patterns: dict[str, re.Pattern[str]] = {}
        definitions = _mapping(schema.get("$defs", {}), "schema.$defs")
        self._survey(schema, "schema", 0)
        for name, inner in definitions.items():
            self._survey(inner, f"schema.$defs.{name}", 0)

    def misfit(self, value: Any) -> str | None:
        """What is wrong with a value, in words that name the place; None where it fits."""
        try:
            complaint = next(_Run(self._root, self._patterns).complaints(self._root, value, "payload", 0), None)
        except RecursionError:
            return "payload: nested too deeply"
        except OutOfPatienceError:
            return "payload: a pattern takes too long to match"
        except _TooMuchError:
            return "payload: too much to check"
        return complaint

    def _survey(self, node: Any, place: str, depth: int) -> None:
        """Look at all of a schema once, so that a check meets nothing that it does not know."""
        if isinstance(node, bool):
            return
        if not isinstance(node, dict):
            raise BadRequest(f"{place}: a schema is an object")
        if depth > MAX_DEPTH:
            raise BadRequest(f"{place}: nested too deeply")
        for keyword, content in node.items():
            where = f"{place}.{keyword}"
            if keyword in _NOTES:
                continue
            if keyword == "$ref":
                self._resolve(content, where)
            elif keyword == "pattern":
                self._compile(content, where)
            elif keyword in ("properties", "patternProperties"):
                for name, inner in _mapping(content, where).items():
                    if keyword == "patternProperties":
                        self._compile(name, where)
                    self._survey(inner, f"{where}.{name}", depth + 1)
            elif keyword in ("anyOf", "oneOf", "allOf", "prefixItems"):
                if not isinstance(content, list):
                    raise BadRequest(f"{where}: expected a list of schemas")
                for number, inner in enumerate(content):
                    self._survey(inner, f"{where}[{number}]", depth + 1)
            elif keyword in ("items", "additionalProperties", "propertyNames", "not"):
                self._survey(content, where, depth + 1)
            elif keyword not in _KEYWORDS:
                raise BadRequest(f"{place}: the keyword {keyword!r} is not checked here; leave it out")
            elif not _KEYWORDS[keyword](content):
                raise BadRequest(f"{where}: {content!r} is no value for it")

    def _resolve(self, reference: Any, place: str) -> None:
        if not isinstance(reference, str) or not (reference == "#" or reference.startswith(REF)):
            raise BadRequest(f"{place}: a reference is '#/$defs/Name'")
        if reference != "#" and not isinstance(self._root.get("$defs", {}).get(reference.removeprefix(REF)), dict):
            raise BadRequest(f"{place}: {reference!r} is not in $defs")

    def _compile(self, pattern: Any, place: str) -> None:
        if not isinstance(pattern, str) or len(pattern) > MAX_PATTERN:
            raise BadRequest(f"{place}: a pattern is a text of at most {MAX_PATTERN} characters")
        try:
            self._patterns[pattern] = Patience().compile(pattern)
        except re.error as error:
            raise BadRequest(f"{place}: {pattern!r} is no pattern: {error}") from None
        except OutOfPatienceError:
            raise BadRequest(f"{place}: {pattern!r} takes too long to read; write a simpler pattern") from None


class _TooMuchError(Exception):
    """The check takes too many steps."""


class _Run:
    """One check of one value."""

    def __init__(self, root: Schema, patterns: dict[str, re.Pattern[str]]) -> None:
        self._root = root
        self._patterns = patterns
        self._patience = Patience()
        self._steps = 0

    def complaints(self, node: Any, value: Any, place: str, depth: int) -> Iterator[str]:
        """What is wrong, the first thing first."""
        self._steps += 1
        if self._steps > MAX_STEPS or depth > MAX_DEPTH:
            raise _TooMuchError
        if node is True or node == {}:
            return
        if node is False:
            yield f"{place}: nothing is allowed here"
            return
        if "$ref" in node:
            name = node["$ref"]
            target = self._root if name == "#" else self._root["$defs"][name.removeprefix(REF)]
            yield from self.complaints(target, value, place, depth + 1)
        kind = _kind(value)
        if "type" in node and not _is_of(value, kind, node["type"]):
            wanted = node["type"] if isinstance(node["type"], str) else " or ".join(node["type"])
            yield f"{place}: expected {wanted}, got {kind}"
            return
        if "const" in node and not _same(value, node["const"]):
            yield f"{place}: expected {node['const']!r}, got {_short(value)}"
        if "enum" in node and not any(_same(value, one) for one in node["enum"]):
            yield f"{place}: {_short(value)} is none of {', '.join(map(repr, node['enum'][:20]))}"
        if kind == "string":
            yield from self._text(node, value, place)
        elif kind in ("integer", "number"):
            yield from _number(node, value, place)
        elif kind == "array":
            yield from self._array(node, value, place, depth)
        elif kind == "object":
            yield from self._object(node, value, place, depth)
        yield from self._combined(node, value, place, depth)

    def _fits(self, node: Any, value: Any, place: str, depth: int) -> bool:
        return next(self.complaints(node, value, place, depth + 1), None) is None

    def _combined(self, node: Schema, value: Any, place: str, depth: int) -> Iterator[str]:
        for inner in node.get("allOf", ()):
            yield from self.complaints(inner, value, place, depth + 1)
        choices = node.get("anyOf")
        if choices is not None and not any(self._fits(inner, value, place, depth) for inner in choices):
            yield self._none_of(choices, value, place, depth)
        choices = node.get("oneOf")
        if choices is not None:
            fitting = sum(self._fits(inner, value, place, depth) for inner in choices)
            if not fitting:
                yield self._none_of(choices, value, place, depth)
            elif fitting > 1:
                yield f"{place}: fits more than one of the types that it may have"
        if "not" in node and self._fits(node["not"], value, place, depth):
            yield f"{place}: {_short(value)} is not allowed"

    def _none_of(self, choices: list[Any], value: Any, place: str, depth: int) -> str:
        """The complaint of the choice that comes nearest: one that is wrong further inside."""
        found = [next(self.complaints(inner, value, place, depth + 1), "") for inner in choices]
        inside = [complaint for complaint in found if not complaint.startswith(f"{place}:")]
        if len(inside) == 1 or len(found) == 1:
            return (inside or found)[0]
        return f"{place}: {_short(value)} fits none of the types that it may have"

    def _text(self, node: Schema, value: Any, place: str) -> Iterator[str]:
        if not isinstance(value, str):
            return
        if len(value) < node.get("minLength", 0):
            yield f"{place}: expected at least {node['minLength']} characters, got {len(value)}"
        if len(value) > node.get("maxLength", math.inf):
            yield f"{place}: expected at most {node['maxLength']} characters, got {len(value)}"
        if "pattern" in node and not self._patience.finds(self._patterns[node["pattern"]], value):
            yield f"{place}: {_short(value)} does not match {node['pattern']!r}"
        wanted = _DATES.get(node.get("format", ""))
        if wanted is not None:
            try:
                msgspec.convert(value, wanted)
            except msgspec.ValidationError:
                yield f"{place}: {_short(value)} is no {node['format']}"

    def _array(self, node: Schema, value: Any, place: str, depth: int) -> Iterator[str]:
        if len(value) < node.get("minItems", 0):
            yield f"{place}: expected at least {node['minItems']} items, got {len(value)}"
        if len(value) > node.get("maxItems", math.inf):
            yield f"{place}: expected at most {node['maxItems']} items, got {len(value)}"
        first = node.get("prefixItems", ())
        for number, item in enumerate(value):
            if number < len(first):
                yield from self.complaints(first[number], item, f"{place}[{number}]", depth + 1)
            elif "items" in node:
                yield from self.complaints(node["items"], item, f"{place}[{number}]", depth + 1)
        if node.get("uniqueItems"):
            self._steps += len(value) ** 2 // 2
            if self._steps > MAX_STEPS:
                raise _TooMuchError
            if any(_same(item, other) for number, item in enumerate(value) for other in value[:number]):
                yield f"{place}: the same item is in it twice"

    def _object(self, node: Schema, value: dict[Any, Any], place: str, depth: int) -> Iterator[str]:
        properties = node.get("properties", {})
        patterns = node.get("patternProperties", {})
        for name in node.get("required", ()):
            if name not in value:
                yield f"{_inside(place, name)}: required field is missing"
        if len(value) < node.get("minProperties", 0):
            yield f"{place}: expected at least {node['minProperties']} fields, got {len(value)}"
        if len(value) > node.get("maxProperties", math.inf):
            yield f"{place}: expected at most {node['maxProperties']} fields, got {len(value)}"
        for key, item in value.items():
            name = key if isinstance(key, str) else str(key)
            if "propertyNames" in node:
                yield from self.complaints(node["propertyNames"], name, f"name of {_inside(place, name)}", depth + 1)
            matched = name in properties
            if matched:
                yield from self.complaints(properties[name], item, _inside(place, name), depth + 1)
            for pattern, inner in patterns.items():
                if self._patience.finds(self._patterns[pattern], name):
                    matched = True
                    yield from self.complaints(inner, item, _inside(place, name), depth + 1)
            if not matched and "additionalProperties" in node:
                if node["additionalProperties"] is False:
                    yield f"{_inside(place, name)}: unknown field"
                else:
                    yield from self.complaints(node["additionalProperties"], item, _inside(place, name), depth + 1)


def _number(node: Schema, value: Any, place: str) -> Iterator[str]:
    if "minimum" in node and value < node["minimum"]:
        yield f"{place}: expected at least {node['minimum']}, got {value}"
    if "maximum" in node and value > node["maximum"]:
        yield f"{place}: expected at most {node['maximum']}, got {value}"
    if "exclusiveMinimum" in node and value <= node["exclusiveMinimum"]:
        yield f"{place}: expected more than {node['exclusiveMinimum']}, got {value}"
    if "exclusiveMaximum" in node and value >= node["exclusiveMaximum"]:
        yield f"{place}: expected less than {node['exclusiveMaximum']}, got {value}"
    if "multipleOf" in node and not _is_multiple(value, node["multipleOf"]):
        yield f"{place}: expected a multiple of {node['multipleOf']}, got {value}"


def _is_multiple(value: Any, of: Any) -> bool:
    if isinstance(of, float) or isinstance(value, float):
        try:
            quotient = value / of
            return bool(int(quotient) == quotient)
        except (OverflowError, ValueError):  # infinite, or no number at all
            return False
    return bool(value % of == 0)


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    if isinstance(value, dict):
        return "object"
    if isinstance(value, list | tuple):
        return "array"
    return "string"


def _is_of(value: Any, kind: str, wanted: str | list[str]) -> bool:
    kinds = (wanted,) if isinstance(wanted, str) else wanted
    if kind in kinds or (kind == "integer" and "number" in kinds):
        return True
    return kind == "number" and "integer" in kinds and float(value).is_integer()


def _same(value: Any, other: Any) -> bool:
    """Whether two values are one in JSON: 1 and 1.0 are, 1 and true are not."""
    if isinstance(value, bool) or isinstance(other, bool):
        return value is other
    if isinstance(value, list | tuple) and isinstance(other, list | tuple):
        return len(value) == len(other) and all(map(_same, value, other))
    if isinstance(value, dict) and isinstance(other, dict):
        return value.keys() == other.keys() and all(_same(item, other[key]) for key, item in value.items())
    return bool(value == other)


def _inside(place: str, name: str) -> str:
    return name if place == "payload" else f"{place}.{name}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _mapping(node: Any, place: str) -> dict[str, Any]:
    if not isinstance(node, dict):
        raise BadRequest(f"{place}: expected an object")
    return node


def _is_choice(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, str) and one in _TYPES for one in value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_TYPES: Final = ("null", "boolean", "integer", "number", "string", "array", "object")

_KEYWORDS: Final[dict[str, Callable[[Any], bool]]] = {
    "type": lambda value: value in _TYPES if isinstance(value, str) else _is_choice(value),
    "const": lambda _: True,
    "format": lambda value: isinstance(value, str),
    "enum": lambda value: isinstance(value, list),
    "required": lambda value: isinstance(value, list) and all(isinstance(one, str) for one in value),
    "uniqueItems": lambda value: isinstance(value, bool),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"), _is_count),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _is_number),
    "multipleOf": lambda value: _is_number(value) and value > 0,
}
"""The further keywords that are checked, and whether a value is one for them."""
