"""From what a user typed to the value that a JSON Schema asks for, and the word for what it asks for.

Only what the text must become is decided here; whether the value is allowed (ranges, patterns) is the service's to say.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import msgspec

from microlite.core.description.type_words import alternatives, choices, kind, type_word
from microlite.core.description.uploads import is_bytes, is_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from microlite.cli.described import Schema

_TRUE: Final = ("true", "1", "yes", "on")
_FALSE: Final = ("false", "0", "no", "off")

# In a union the text decides: what reads as the narrower type is one.
_NARROWEST_FIRST: Final = ("enum", "null", "integer", "number", "boolean", "array", "object", "string", "any")


class ValueRefusal(Exception):
    """The text is no value of the type; the message says what was expected."""


def is_boolean(schema: Schema, root: Schema) -> bool:
    """Whether the bare flag says true."""
    return {kind(one) for one in alternatives(schema, root)} - {"null"} == {"boolean"}


def convert(texts: Sequence[str], schema: Schema, root: Schema) -> Any:
    """The value for a flag.

    Args:
        texts: what it was given, in order; more than one makes a list or a map longer, else the last one holds.
        schema: of the value.
        root: the schema that holds the definitions.

    Raises:
        ValueRefusal: the text is no such value.
    """
    found = alternatives(schema, root)
    found.sort(key=lambda one: _NARROWEST_FIRST.index(kind(one)))
    if len(texts) > 1:  # what can be several comes before what the last one alone would be
        found.sort(key=lambda one: kind(one) not in ("array", "object"))
    for one in found:
        try:
            return _convert(texts, one, root)
        except ValueRefusal as refusal:
            last = refusal
    if len(found) > 1:
        raise ValueRefusal(f"expected {type_word(schema, root)}, got {texts[-1]!r}")
    raise last


def _convert(texts: Sequence[str], schema: Schema, root: Schema) -> Any:
    text = texts[-1]
    match kind(schema):
        case "string":
            return _read_file(text[1:])[1] if is_bytes(schema) and text.startswith("@") else text
        case "integer":
            return _number(int, text, "int")
        case "number":
            return _number(float, text, "number")
        case "boolean":
            return _boolean(text)
        case "null":
            if text != "null":
                raise ValueRefusal(f"expected null, got {text!r}")
            return None
        case "enum":
            return _choice(text, schema)
        case "array":
            return _list(texts, schema, root)
        case "object":
            return {name: value for each in texts for name, value in _object(each, schema, root).items()}
        case _:
            try:
                return msgspec.json.decode(text)
            except msgspec.DecodeError:
                return text


def _number(read: type[int] | type[float], text: str, word: str) -> int | float:
    try:
        value = read(text)
    except ValueError:
        raise ValueRefusal(f"expected {word}, got {text!r}") from None
    if not math.isfinite(value):
        raise ValueRefusal(f"expected {word}, got {text!r}, which JSON cannot carry")
    return value


def _boolean(text: str) -> bool:
    word = text.lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueRefusal(f"expected true or false, got {text!r}")


def _choice(text: str, schema: Schema) -> Any:
    values = schema["enum"] if "enum" in schema else [schema["const"]]
    words = choices(schema)
    if text not in words:
        raise ValueRefusal(f"expected one of {', '.join(words)}, got {text!r}")
    return values[words.index(text)]


def _list(texts: Sequence[str], schema: Schema, root: Schema) -> list[Any]:
    parts = schema.get("prefixItems") or []
    rest = schema.get("items") or {}
    plain = not parts and {kind(one) for one in alternatives(rest, root)}.isdisjoint({"array", "object"})
    found: list[Any] = []
    for text in texts:
        if text.startswith("["):
            elements = _read(text, "a list")
            if not isinstance(elements, list):
                raise ValueRefusal(f"expected a list, got {text!r}")
            found += elements
        elif plain or parts:
            for word in text.split(",") if text else []:
                element = parts[len(found)] if len(found) < len(parts) else rest
                found.append(convert([word], element, root))
        else:
            found.append(convert([text], rest, root))
    return found


def _object(text: str, schema: Schema, root: Schema) -> dict[str, Any]:
    if text.startswith("@") and is_file(schema, root):
        return _file(text[1:], schema)
    key, equals, value = text.partition("=")
    values = schema.get("additionalProperties")
    if equals and not text.startswith("{") and "properties" not in schema and values is not False:
        return {key: convert([value], values if isinstance(values, dict) else {}, root)}
    found = _read(text, "a JSON object")
    if not isinstance(found, dict):
        raise ValueRefusal(f"expected a JSON object, got {text!r}")
    return found


def _file(path: str, schema: Schema) -> dict[str, Any]:
    """A file as the object that a request holds, with as much as the object has members for."""
    from mimetypes import guess_type  # 10 ms that few commands need

    name, content = _read_file(path)
    said = {"name": name, "content_type": guess_type(name)[0]}
    return {"content": content, **{key: value for key, value in said.items() if value and key in schema["properties"]}}


def _read_file(path: str) -> tuple[str, str]:
    """Name and content of a file, the content as JSON carries it."""
    import base64
    from pathlib import Path

    try:
        return Path(path).name, base64.b64encode(Path(path).read_bytes()).decode()
    except OSError as error:
        raise ValueRefusal(f"the file {path!r} cannot be read: {error.strerror}") from None


def _read(text: str, what: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise ValueRefusal(f"expected {what}, got {text!r}: {error}") from None
