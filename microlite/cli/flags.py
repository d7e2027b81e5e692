"""The flags of a dynamic command: the fields of a request, named and typed by its schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from microlite.cli.failure import USAGE, CommandError
from microlite.cli.values import ValueRefusal, convert, is_boolean
from microlite.core.description.naming import normalise, normalise_endpoint
from microlite.core.description.type_words import alternatives, kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from microlite.cli.described import Schema

_DEPTH: Final = 3
"""So deep are fields of fields listed as flags of their own. Typed, they may be as deep as they are."""


class Flag(NamedTuple):
    """A flag: the place of a value in the request, and the schema of that value."""

    name: str
    """As it is typed, without the dashes: `options-domain`."""
    path: tuple[str, ...]
    """The same as the request has it: `("options", "domain")`."""
    schema: Schema
    required: bool = False


def list_flags(request: Schema) -> list[Flag]:
    """All flags of a request, fields of nested objects after those that hold them."""
    return list(_list(request, request, (), ()))


def _list(schema: Schema, root: Schema, path: tuple[str, ...], seen: tuple[int, ...]) -> Iterator[Flag]:
    required = schema.get("required", ())
    for name, inner in schema.get("properties", {}).items():
        here = (*path, name)
        flag = "-".join(normalise_endpoint(part) for part in here)
        yield Flag(flag, here, inner, name in required and not path)
        for one in alternatives(inner, root):
            # A type within itself would go on for ever.
            if kind(one) == "object" and len(here) < _DEPTH and id(one) not in seen:
                yield from _list(one, root, here, (*seen, id(one)))


def find_flag(typed: str, request: Schema) -> Flag | None:
    """The flag of this name, however deep; hyphens, underscores and, between a field and its own field, dots."""
    return _find(normalise(typed), typed, request, request, ())


def _find(name: str, typed: str, schema: Schema, root: Schema, path: tuple[str, ...]) -> Flag | None:
    properties: dict[str, Schema] = schema.get("properties", {})
    for field, inner in properties.items():
        if name in (normalise(field), normalise_endpoint(field)):
            return Flag(typed, (*path, field), inner)
    for field, inner in properties.items():
        for written in dict.fromkeys((normalise(field), normalise_endpoint(field))):
            if name.startswith(written) and name[len(written) : len(written) + 1] in ("-", "."):
                rest = len(name) - len(written) - 1
                for one in alternatives(inner, root):
                    found = _find(name[-rest:], typed, one, root, (*path, field)) if rest else None
                    if found is not None:
                        return found
    values = schema.get("additionalProperties")
    if path and kind(schema) == "object" and not properties and values is not False:
        return Flag(typed, (*path, typed[-len(name) :]), values if isinstance(values, dict) else {})
    return None


def read_request(words: Sequence[str], request: Schema) -> dict[str, Any]:
    """The request that flags describe. What is missing in it is for the service to say.

    Args:
        words: `--field=value`, `--field value`, a bare `--field` for true, `--no-field` for false, `--json '{…}'`.
        request: the schema.

    Raises:
        CommandError: a flag is unknown, has no value or one of another type.
    """
    given: dict[tuple[str, ...], tuple[Flag, list[str]]] = {}
    found: dict[str, Any] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--") or word == "--":
            raise CommandError(f"Unexpected argument: {word}; fields are given as flags, --name VALUE", USAGE)
        name, equals, text = word[2:].partition("=")
        if name == "json":
            found |= _document(text if equals else _value(name, "object", rest))
            continue
        flag = find_flag(name, request)
        if flag is None and not equals and name.startswith("no-"):
            flag = find_flag(name[3:], request)
            if flag is not None and is_boolean(flag.schema, request):
                given[flag.path] = (flag, ["false"])
                continue
            flag = None
        if flag is None:
            raise CommandError(_unknown(name, request), USAGE)
        if not equals:
            text = _bare(rest) if is_boolean(flag.schema, request) else _value(name, "value", rest)
        given.setdefault(flag.path, (flag, []))[1].append(text)
    for path in sorted(given, key=len):  # an object as a whole before its fields
        flag, texts = given[path]
        try:
            value = convert(texts, flag.schema, request)
        except ValueRefusal as refusal:
            raise CommandError(f"--{flag.name}: {refusal}", USAGE) from None
        _put(found, path, value)
    return found


def _bare(rest: list[str]) -> str:
    """The value of a boolean flag without an equals sign: true, unless the next word can only be its value."""
    return rest.pop(0) if rest and rest[0].lower() in ("true", "false") else "true"


def _value(name: str, what: str, rest: list[str]) -> str:
    if not rest or rest[0].startswith("--"):
        raise CommandError(f"--{name} needs a {what}: --{name} VALUE, or --{name}=VALUE if it begins with --", USAGE)
    return rest.pop(0)


def _document(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError as error:
        from microlite.core.description.rejection import bad_payload
        from microlite.core.description.structs import Encoding

        said = bad_payload(error, text.encode(), Encoding.JSON, {}, "--json").detail
        raise CommandError(said if said.startswith("--json") else f"--json: {said}", USAGE) from None


def _put(request: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for name in path[:-1]:
        inner = request.get(name)
        if not isinstance(inner, dict):
            inner = request[name] = {}
        request = inner
    present = request.get(path[-1])
    if isinstance(present, dict) and isinstance(value, dict):
        value = {**present, **value}
    request[path[-1]] = value


def _unknown(name: str, request: Schema) -> str:
    from difflib import get_close_matches

    names = [flag.name for flag in list_flags(request)]
    close = get_close_matches(normalise(name), names, 1)
    if close:
        return f"Unknown flag: {name}; did you mean --{close[0]}?"
    known = ", ".join(f"--{one}" for one in names[:8]) + (", …" if len(names) > 8 else "")
    return f"Unknown flag: {name}; there {'are' if len(names) > 1 else 'is'} {known or 'no flag'}"
