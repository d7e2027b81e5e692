"""Bodies that are not JSON: forms with files, streams of bytes, and replies in a media type of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from microlite.core.description.media_type import ANY
from microlite.core.description.schema_path import dereference
from microlite.core.description.uploads import is_bytes, is_file, takes_files
from microlite.web.openapi.errors import header_references

if TYPE_CHECKING:
    from microlite.core.description.structs import EndpointDescription, Schema

FORM: Final = "multipart/form-data"
OCTETS: Final = "application/octet-stream"

_FILE: Final[Schema] = {"type": "string", "format": "binary", "contentMediaType": OCTETS}


def form_of(body: Schema, root: Schema) -> Schema | None:
    """The schema of a form that sets the same fields as a JSON body; None where none of them takes a file.

    Args:
        body: the schema of the JSON body.
        root: the schema of the request, which holds the definitions.
    """
    fields: dict[str, Schema] = body.get("properties", {})
    files = {name: _file_field(field, root) for name, field in fields.items() if takes_files(field, root)}
    return {**body, "properties": {**fields, **files}} if files else None


def stream_media(items: Schema) -> dict[str, Any]:
    """The further media types of a client's stream: of bytes, which are sent as they are or as the file of a form."""
    if not is_bytes(dereference(items, items)):
        return {}
    file = {"type": "object", "properties": {"file": _FILE}, "required": ["file"]}
    return {OCTETS: {"schema": {"type": "string", "format": "binary"}}, FORM: {"schema": file}}


def raw_body() -> dict[str, Any]:
    """The content of a body that is a stream of bytes whatever its media type, or the file of a form."""
    file = {"type": "object", "properties": {"file": _FILE}, "required": ["file"]}
    return {ANY: {"schema": {"type": "string", "format": "binary"}}, FORM: {"schema": file}}


def file_answers() -> dict[str, Any]:
    """The answers of an endpoint that says by the call what it sends."""
    content = {ANY: {"schema": {"type": "string", "format": "binary"}}}
    tag = {"ETag": {"description": "What changes with the content.", "schema": {"type": "string"}}}
    span = {"Content-Range": {"description": "Which part of how much.", "schema": {"type": "string"}}}
    return {
        "200": {
            "description": "The file. An error on the way cuts the connection.",
            "headers": {**header_references(), **tag},
            "content": content,
        },
        "206": {
            "description": "The part that `Range` asks for.",
            "headers": {**header_references(), **tag, **span},
            "content": content,
        },
        "304": {
            "description": "The file is the one that `If-None-Match` names.",
            "headers": {**header_references(), **tag},
        },
    }


def reply_media(endpoint: EndpointDescription) -> dict[str, Any]:
    """The content of a reply whose endpoint declares its media type; nothing where it declares none."""
    if not endpoint.produces:
        return {}
    choices = endpoint.response.get("anyOf") or (endpoint.response,)
    binary = any(is_bytes(choice) for choice in choices)
    return {endpoint.produces: {"schema": {"type": "string", "format": "binary"} if binary else {"type": "string"}}}


def _file_field(field: Schema, root: Schema) -> Schema:
    """The schema of a field that takes a file, or several, as a form has it."""
    told = {key: field[key] for key in ("description",) if key in field}
    for choice in field.get("anyOf") or (field,):
        inner = dereference(choice, root)
        element = dereference(inner.get("items") or {}, root)
        if inner.get("type") == "array" and (is_bytes(element) or is_file(element, root)):
            return {"type": "array", "items": _FILE, **told}
    return {**_FILE, **told}
