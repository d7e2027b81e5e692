"""What is wrong with a payload, in words that name the field."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from microlite.core.description import pydantic_models
from microlite.core.description.schema_path import find
from microlite.core.errors import BadRequest

if TYPE_CHECKING:
    from microlite.core.description.codec import Payload
    from microlite.core.description.structs import Schema

_LOCATED: Final = re.compile(r"(?P<text>.*?)(?: - at (?P<key>`key` in )?`\$(?P<path>[^`]*)`)?", re.DOTALL)
_MISSING: Final = re.compile(r"Object missing required field `([^`]*)`")
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MALFORMED: Final = re.compile(r"(?:JSON|MessagePack data) is malformed: (.*) \(byte (\d+)\)")
_MAX_GUESSED: Final = 64
"""Characters of a field's name for which a near one is looked for; the time that takes grows with their square."""

_WRITTEN: Final = {
    "invalid RFC3339 encoded datetime": "2026-01-31T12:00:00Z",
    "invalid RFC3339 encoded date": "2026-01-31",
    "invalid RFC3339 encoded time": "12:00:00",
    "invalid ISO8601 duration": "PT1H30M",
    "invalid UUID": "6ba7b810-9dad-41d1-80b4-00c04fd430c8",
    "invalid decimal string": "9.99",
    "invalid base64 encoded string": "aGVsbG8=",
}
"""What a text that cannot be read should have looked like."""

MAX_DETAIL: Final = 500
"""Characters of an error's detail: what a caller sends may be long, and some of it is repeated there."""

_FORMATS: Final = ("MessagePack", "JSON")


def bad_payload(error: Exception, payload: Payload, encoding: int, schema: Schema, root: str = "request") -> BadRequest:
    """The error for a payload that could not be decoded, naming the field.

    Args:
        error: what a decoder raised.
        payload: what it was given.
        encoding: how that is written, an `Encoding`.
        schema: of the type that was expected; it knows which fields and values there are.
        root: what to call the whole of it, where no field is to blame.
    """
    if isinstance(error, msgspec.ValidationError):
        detail = _invalid(error, schema, root)
        return BadRequest(detail if len(detail) <= MAX_DETAIL else f"{detail[: MAX_DETAIL - 1]}…")
    format_name = _FORMATS[encoding]
    if isinstance(error, RecursionError):
        return BadRequest(f"{root}: nested too deeply")
    if isinstance(error, UnicodeDecodeError):
        return BadRequest(f"malformed {format_name} at byte {_first_broken(payload, error)}: not UTF-8")
    if match := _MALFORMED.fullmatch(str(error)):
        return BadRequest(f"malformed {format_name} at byte {match[2]}: {match[1]}")
    if "truncated" in str(error):
        return BadRequest(f"malformed {format_name} at byte {len(payload)}: it ends too soon")
    return BadRequest(f"malformed {format_name}: {error}")


def _invalid(error: msgspec.ValidationError, schema: Schema, root: str) -> str:
    match = _LOCATED.fullmatch(str(error))
    text, path = (match["text"], match["path"] or "") if match else (str(error), "")
    if complaints := pydantic_models.complaints(error.__cause__):
        return "; ".join(f"{_field(path + inner, root)}: {complaint}" for inner, complaint in complaints)
    if error.__cause__ is not None:  # what the user's own __post_init__ says, word by word
        return f"{_field(path, root)}: {text}"
    if missing := _MISSING.fullmatch(text):
        path = f"{path}.{missing[1]}"
        return f"{_field(path, root)}: required field is missing{_one_of(path, schema)}"
    if unknown := _UNKNOWN.fullmatch(text):
        return f"{_field(f'{path}.{unknown[1]}', root)}: unknown field; {_known(unknown[1], path, schema)}"
    text = text[:1].lower() + text[1:].replace("`", "")
    if match and match["key"]:
        return f"{_field(path, root)}: a key: {text}"
    if text in _WRITTEN:
        text += f"; write it as in {_WRITTEN[text]}"
    return f"{_field(path, root)}: {text}{_one_of(path, schema)}"


def _one_of(path: str, schema: Schema) -> str:
    """`; one of a, b` where the values at a path are known: of an enum, or of the tag that tells classes apart."""
    owner, _, name = path.rpartition(".")
    tags = find(schema, owner).get("discriminator", {}) if name else {}
    choices = tags.get("mapping", ()) if tags.get("propertyName") == name else find(schema, path).get("enum", ())
    return f"; one of {', '.join(map(str, choices))}" if choices else ""


def _field(path: str, root: str) -> str:
    """`.items[0].price` as `items[0].price`, `[0]` as `request[0]`, and a field without a name as `""`."""
    return path[1:] or '""' if path.startswith(".") else f"{root}{path}"


def _known(name: str, path: str, schema: Schema) -> str:
    import difflib  # seldom needed, and 5 ms to import

    fields = sorted(find(schema, path).get("properties", ()))
    if len(name) <= _MAX_GUESSED and (near := difflib.get_close_matches(name, fields, n=1)):
        return f"did you mean '{near[0]}'?"
    return f"the fields are {', '.join(fields)}" if fields else "there are no fields"


def _first_broken(payload: Payload, error: UnicodeDecodeError) -> int:
    """The offset in the payload; the error's own counts from the start of one string."""
    try:
        bytes(payload).decode()
    except UnicodeDecodeError as whole:
        return whole.start
    return error.start
