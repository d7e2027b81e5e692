"""The field of a streamed item that says where in the stream it stands, so that a client can go on behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from microlite.core.description.schema_path import dereference

if TYPE_CHECKING:
    from microlite.core.description.signature import Signature
    from microlite.core.description.structs import Schema

LAST_EVENT_ID: Final = "last-event-id"
"""The metadata, and so the header, by which a client says behind which item it goes on."""


def check_event_id(field: str, response: Schema, signature: Signature) -> str:
    """The field, if the items of the endpoint's stream have it.

    Raises:
        DeclarationError: the endpoint streams nothing, or its items have no such field.
    """
    if not field:
        return field
    if not signature.streaming.from_server:
        raise signature.place.error("`event_id` is for a function that streams: write `-> AsyncIterator[...]`")
    properties = dereference(response, response).get("properties")
    if properties is None or field not in properties:
        known = ", ".join(properties or ()) or "none"
        raise signature.place.error(f"event_id={field!r} is no field of what it streams; its fields are: {known}")
    return field
