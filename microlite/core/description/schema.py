"""JSON Schemas (draft 2020-12) of requests and replies, made from types."""

from __future__ import annotations

import functools
import typing
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from microlite.core.description import pydantic_models
from microlite.core.description.annotations import format_type
from microlite.core.description.codec import encode_builtin
from microlite.core.description.dates import add_formats, keep_format
from microlite.core.description.schema_path import REF
from microlite.core.description.signature import NONE_GIVEN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from microlite.core.description.declaration import DeclarationError, Place
    from microlite.core.description.signature import Field
    from microlite.core.description.structs import Schema

_PLAIN: Final[dict[type, Schema]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
}
"""What needs no looking into, and so saves most of the time of describing a simple function."""

Mode = Literal["validation", "serialization"]
"""Which way a type travels; a pydantic model may look different on the two."""

_INSTEAD: Final = {
    "object": "`Any`",
    "complex": "a dataclass of two floats",
    "Path": "`str`",
    "PosixPath": "`str`",
    "Callable": "the data that it would need",
    "Iterable": "`list[...]`",
    "range": "two integers",
    "Context": "nothing: the context is the first parameter only",
}


def request_schema(fields: Sequence[Field], place: Place) -> Schema:
    """The schema of an object with these fields, and no others.

    Raises:
        DeclarationError: a field's type, or its default, has no schema.
    """
    try:
        schemas, definitions = _schemas([field.annotation for field in fields], "validation")
    except (TypeError, ValueError):
        for field in fields:  # all together are quicker; one by one shows which it is
            type_schema(field.annotation, place, f"parameter `{field.name}`")
        raise
    properties: dict[str, Schema] = {}
    for field, schema in zip(fields, schemas, strict=True):
        properties[field.name] = schema
        if field.doc:
            schema.setdefault("description", field.doc)
        if field.default is not NONE_GIVEN and field.default is not msgspec.UNSET:
            schema["default"] = _default(field, place)
            keep_format(schema)
    request: Schema = {"type": "object", "properties": properties}
    if required := [field.name for field in fields if field.default is NONE_GIVEN]:
        request["required"] = required
    request["additionalProperties"] = False
    if definitions:
        request["$defs"] = definitions
    return request


def type_schema(annotation: Any, place: Place, label: str, mode: Mode = "validation") -> Schema:
    """The schema of one type.

    Args:
        annotation: the type, resolved.
        place: of the function, for the error.
        label: which part of the function this is, for the error.
        mode: which way values of it travel.

    Raises:
        DeclarationError: the type has no schema.
    """
    try:
        (schema,), definitions = _schemas([annotation], mode)
    except (TypeError, ValueError) as error:
        raise no_schema(annotation, error, place, label) from error
    return {**schema, "$defs": definitions} if definitions else schema


def no_schema(annotation: Any, error: Exception, place: Place, label: str) -> DeclarationError:
    """The error for a type that cannot be read or written, with what to write instead."""
    if isinstance(error, _UnknownTypeError):
        name = getattr(error.type, "__name__", None) or format_type(error.type)
        instead = _INSTEAD.get(name)
        if instead is None and getattr(error.type, "__annotations__", None):
            instead = f"`@dataclass` above `class {name}`, or a `msgspec.Struct`"
        instead = instead or "a builtin type, a dataclass, a `msgspec.Struct`, a `TypedDict` or a pydantic model"
        return place.error(f"{label}: the type `{name}` has no schema; write {instead}")
    reason = str(error).partition("\n")[0].partition(" - type `")[0].rstrip(".")
    text = f"{label}: the type `{format_type(annotation)}` has no schema: {reason}"
    if "union" in reason:
        text += "; to tell classes apart give them a tag, `class A(msgspec.Struct, tag=True)`"
    return place.error(text)


class _UnknownTypeError(TypeError):
    def __init__(self, annotation: Any) -> None:
        super().__init__(f"{annotation} has no schema")
        self.type = annotation


def _schemas(annotations: Sequence[Any], mode: Mode) -> tuple[list[Schema], dict[str, Schema]]:
    """A schema for each type, and the definitions that they refer to.

    Most types stand in several endpoints, and to look into one takes longer than all the rest of describing a function. So
    each is looked into by itself, once. Where two types have definitions of one name they are looked into together, which
    gives each a name of its own.
    """
    schemas: list[Schema] = []
    definitions: dict[str, Schema] = {}
    for annotation in annotations:
        if isinstance(annotation, type) and annotation in _PLAIN:
            schemas.append(dict(_PLAIN[annotation]))
            continue
        try:
            schema, own = msgspec.json.decode(_known(annotation, mode))
        except _UncertainError:
            return _look_into(annotations, mode)
        if any(definitions.get(name, meaning) != meaning for name, meaning in own.items()):
            return _look_into(annotations, mode)
        schemas.append(schema)
        definitions.update(own)
    return schemas, dict(sorted(definitions.items()))


class _UncertainError(Exception):
    """A type cannot be remembered."""


def _known(annotation: Any, mode: Mode) -> bytes:
    """A schema and its definitions, as JSON: whoever gets them may change them."""
    try:
        return _remembered(annotation, mode)
    except TypeError:
        try:
            hash(annotation)
        except TypeError:
            raise _UncertainError from None
        raise


@functools.lru_cache(maxsize=1024)
def _remembered(annotation: Any, mode: Mode) -> bytes:
    (schema,), definitions = _look_into([annotation], mode)
    return msgspec.json.encode([schema, definitions])


def _look_into(annotations: Sequence[Any], mode: Mode) -> tuple[list[Schema], dict[str, Schema]]:
    models: dict[type, Schema] = {}

    def hook(annotation: Any) -> Schema:
        if not pydantic_models.is_model(annotation):
            raise _UnknownTypeError(annotation)
        models[annotation] = annotation.model_json_schema(ref_template=REF + "{model}", mode=mode)
        return {"$ref": f"{REF}{_model_key(annotation)}"}

    # NoReturn says of a function what None says of its reply
    types = [None if item is typing.NoReturn or item is typing.Never else item for item in annotations]
    components = msgspec.json.schema_components(types, schema_hook=hook, ref_template=REF + "{name}")
    schemas, definitions = msgspec.json.decode(msgspec.json.encode(components))  # defaults may be tuples
    add_formats(types, schemas, definitions)
    if not models:
        return list(schemas), definitions
    names: dict[str, str] = {}
    for model, schema in models.items():
        names[REF + _model_key(model)] = REF + _adopt(model.__name__, schema, definitions)
    renamed: dict[str, Schema] = _rename({"schemas": list(schemas), "definitions": definitions}, names)
    return typing.cast("list[Schema]", renamed["schemas"]), renamed["definitions"]


def _model_key(model: type) -> str:
    return f"{model.__module__}.{model.__qualname__}#{id(model)}"


def _adopt(name: str, schema: Schema, definitions: dict[str, Schema]) -> str:
    """Put a pydantic schema and its own definitions beside the others, under names still free; return its name."""
    inner = schema.pop("$defs", {})
    if set(schema) == {"$ref"}:  # a model that holds itself
        name = schema["$ref"].removeprefix(REF)
    else:
        inner[name] = schema
    names: dict[str, str] = {}
    for key, value in inner.items():
        free, number = key, 2
        while free in definitions and definitions[free] != value:
            free, number = f"{key}{number}", number + 1
        names[REF + key] = REF + free
    for key, value in inner.items():
        definitions[names[REF + key].removeprefix(REF)] = _rename(value, names)
    return names[REF + name].removeprefix(REF)


def _rename(node: Any, names: dict[str, str]) -> Any:
    if isinstance(node, dict):
        return {
            key: names.get(value, value) if key == "$ref" and isinstance(value, str) else _rename(value, names)
            for key, value in node.items()
        }
    return [_rename(value, names) for value in node] if isinstance(node, list) else node


def _default(field: Field, place: Place) -> Any:
    try:
        return msgspec.json.decode(msgspec.json.encode(field.default, enc_hook=encode_builtin))
    except (TypeError, ValueError, OverflowError) as error:
        raise place.error(
            f"parameter `{field.name}`: its default {field.default!r} cannot be written in a description; "
            "write `None` and put the value in the function"
        ) from error
