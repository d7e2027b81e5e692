"""A file as a field of a request or of a reply."""

from __future__ import annotations

import msgspec


class File(msgspec.Struct, frozen=True, kw_only=True):
    """A file: what a form uploads, with what the client says of it.

    A field of this type takes a file of a form (`curl -F photo=@cat.png`); as JSON it is an object with these members,
    the content in base64.

    Attributes:
        content: the bytes.
        name: what the client calls it. It is anybody's text: never use it as a path.
        content_type: what the client takes it for.
    """

    content: bytes
    name: str = ""
    content_type: str = "application/octet-stream"
