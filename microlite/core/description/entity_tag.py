"""The field of a reply that an endpoint declares to be its entity tag."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microlite.core.description.schema_path import dereference

if TYPE_CHECKING:
    from microlite.core.description.signature import Signature
    from microlite.core.description.structs import Schema

_KINDS = {"string", "integer"}


def check_etag(etag: str, signature: Signature, response: Schema) -> str:
    """The declared field, if the reply has it and it can be a tag.

    Raises:
        DeclarationError: the endpoint streams, or its reply has no such field of whole numbers or text.
    """
    if not etag:
        return ""
    place = signature.place
    if signature.streaming.from_server:
        raise place.error(f"etag={etag!r}: a stream has no tag; take it away")
    fields = dereference(response, response).get("properties", {})
    if etag not in fields:
        known = ", ".join(fields) or "none"
        raise place.error(f"etag={etag!r} is no field of the reply; its fields are: {known}")
    field = dereference(fields[etag], response)
    kinds = {dereference(one, response).get("type") for one in field.get("anyOf") or (field,)}
    if not kinds - {"null"} <= _KINDS or kinds <= {"null"}:
        raise place.error(f"etag={etag!r}: the field must be text or a whole number, so that it can be a tag")
    return etag
