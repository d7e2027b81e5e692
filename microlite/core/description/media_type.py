"""The media type that an endpoint declares for what it returns."""

from __future__ import annotations

import re
import types
import typing
from typing import TYPE_CHECKING, Any, Final

from microlite.core.description.annotations import format_type, unwrap

if TYPE_CHECKING:
    from microlite.core.description.signature import Signature

_MEDIA_TYPE: Final = re.compile(
    r"[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*"
    r"(?:\s*;\s*[a-z0-9-]+=(?:[a-z0-9!#$%&'*+.^_`|~-]+|\"[^\"\\\x00-\x1f\x7f-\U0010ffff]*\"))*",
    re.IGNORECASE,
)
"""Type, subtype and parameters (RFC 9110, section 8.3.1)."""


def check_media_type(produces: str, signature: Signature) -> str:
    """The declared media type, if it is one and what the function returns can be sent under it.

    Raises:
        DeclarationError: it is malformed, or the function returns neither bytes nor text.
    """
    if not produces:
        return ""
    place = signature.place
    if not _MEDIA_TYPE.fullmatch(produces):
        raise place.error(f"produces={produces!r} is no media type; write one as in 'image/png'")
    if not _is_raw(signature.response):
        one = "AsyncIterator[bytes]" if signature.streaming.from_server else "bytes"
        shown = "nothing that is annotated" if signature.response is Any else f"`{format_type(signature.response)}`"
        raise place.error(
            f"produces={produces!r} wants bytes or text, and the function returns {shown}; "
            f"write `-> {one}` (or `str`), or take `produces` away to answer with JSON"
        )
    return produces


def _is_raw(annotation: Any) -> bool:
    """Whether all values of a type are bytes, text, or None, which stands for no content."""
    annotation = unwrap(annotation)
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        choices = [unwrap(choice) for choice in typing.get_args(annotation) if choice is not type(None)]
        return len(choices) == 1 and choices[0] in (bytes, str)
    return annotation in (bytes, str)
