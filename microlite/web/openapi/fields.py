"""The fields of a request as HTTP carries them: parameters of the path and the query, and what is left for the body."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from microlite.core.description.samples import NoSample, sample
from microlite.core.description.schema_path import dereference

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from microlite.core.description.structs import Schema

_TEXT: Final = frozenset({"string", "integer", "number", "boolean"})
_DEPTH: Final = 4
"""Fields of fields are parameters of their own, `address.city`, so deep; below, they are JSON."""

_IN_PATH: Final = r"^[^/\\\x00-\x1f\x7f-\x9f]+$"
"""What a text in a path cannot be: empty, or with slashes or control characters, which are refused also encoded."""


class Parameter(NamedTuple):
    """One parameter, with schemas as they stand in the description."""

    name: str
    schema: Schema
    required: bool
    is_json: bool = False
    """Whether its text is a JSON document, as of lists of objects."""
    description: str = ""


def path_parameters(request: Schema, names: Sequence[str]) -> Iterator[Parameter]:
    """The parameters of a route."""
    properties = request.get("properties", {})
    for name in names:
        field = _without_null(properties.get(name, {}))
        inner = dereference(field, request)
        if inner.get("type") == "string" and not inner.keys() & {"pattern", "format", "enum", "const"}:
            field = {**field, "pattern": _IN_PATH}
        yield Parameter(name, field, required=True, description=_doc(field))


def query_parameters(request: Schema, left_out: Sequence[str] = ()) -> Iterator[Parameter]:
    """The fields of a request, as a query says them."""
    required = request.get("required", ())
    for name, field in request.get("properties", {}).items():
        if name not in left_out:
            yield from _parameters(name, field, request, required=name in required, depth=0)


def body_schema(request: Schema, left_out: Sequence[str]) -> Schema | None:
    """The schema of a JSON body: the fields that the path does not say. None where there are no others."""
    properties = {name: field for name, field in request.get("properties", {}).items() if name not in left_out}
    if not properties and request.get("additionalProperties") is False:
        return None
    required = [name for name in request.get("required", ()) if name not in left_out]
    body: Schema = {key: value for key, value in request.items() if key not in ("properties", "required", "$defs")}
    body["properties"] = properties
    if required:
        body["required"] = required
    return body


def example_of(schema: Schema, root: Schema, name: str = "", *, complete: bool = False) -> dict[str, Any]:
    """`{"example": …}` for a schema; nothing where none is known."""
    try:
        return {"example": sample(schema, root, name, complete=complete)}
    except NoSample:
        return {}


def _parameters(name: str, field: Schema, root: Schema, *, required: bool, depth: int) -> Iterator[Parameter]:
    plain = _without_null(field)
    inner = dereference(plain, root)
    if _is_textual(plain, root):
        yield Parameter(name, plain, required, description=_doc(field))
    elif not inner:
        anything = {key: value for key, value in plain.items() if key in ("description", "default")}
        yield Parameter(name, {"type": sorted(_TEXT), **anything}, required, description=_doc(field))
    elif _is_flat(inner, required=required, depth=depth) and plain.get("default") in (None, {}):
        needed = inner.get("required", ())
        for step, one in inner["properties"].items():
            yield from _parameters(f"{name}.{step}", one, root, required=step in needed, depth=depth + 1)
    elif texts := [one for one in plain.get("anyOf", ()) if _is_textual(one, root)]:
        choice = texts[0] if len(texts) == 1 else {"anyOf": texts}
        kept = {key: value for key, value in plain.items() if key not in ("anyOf", "discriminator")}
        yield Parameter(name, {**kept, **choice}, required, description=_doc(field))
    else:
        yield Parameter(name, plain, required, is_json=True, description=_doc(field))


def _is_flat(schema: Schema, *, required: bool, depth: int) -> bool:
    """Whether an object can be said field by field, so that it is left out exactly where no field needs to be said."""
    properties = schema.get("properties")
    if not properties or depth >= _DEPTH or any("." in name for name in properties):
        return False
    return required is bool(schema.get("required"))


def _is_textual(schema: Any, root: Schema) -> bool:
    """Whether a value is one text, or a list of texts, which is the same name several times."""
    if not isinstance(schema, dict):
        return False
    choices = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
    if len(choices) > 1:
        return all(_is_textual(one, root) for one in choices)
    inner = dereference(schema, root)
    if inner is not schema and inner.get("anyOf"):
        return _is_textual(inner, root)
    if inner.get("type") == "array":
        return "prefixItems" not in inner and _is_scalar(inner.get("items"), root)
    return _is_scalar(inner, root)


def _is_scalar(schema: Any, root: Schema) -> bool:
    if not isinstance(schema, dict):
        return False
    choices = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
    if len(choices) > 1:
        return all(_is_scalar(one, root) for one in choices)
    inner = dereference(schema, root)
    return inner.get("type") in _TEXT or "enum" in inner or "const" in inner


def _without_null(schema: Schema) -> Schema:
    """The schema of a value that is given: to say null one leaves the parameter out."""
    kept: Schema = {key: value for key, value in schema.items() if key != "default" or value is not None}
    choices = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
    if len(choices) == 1:
        kept.pop("anyOf")
        kept = {**choices[0], **kept}
    elif choices:
        kept["anyOf"] = choices
    elif None in schema.get("enum", ()):
        kept["enum"] = [one for one in schema["enum"] if one is not None]
    return kept


def _doc(schema: Schema) -> str:
    return str(schema.get("description", ""))
