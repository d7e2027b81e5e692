"""The media type that an endpoint declares for what it returns."""

from __future__ import annotations

import re
import types
import typing
from typing import TYPE_CHECKING, Any, Final

from microlite.core.description.annotations import format_type, unwrap
from microlite.core.description.file_head import FileHead

if TYPE_CHECKING:
    from microlite.core.description.signature import Signature

ANY: Final = "*/*"
"""Declared where only the call itself says which media type it is."""

_MEDIA_TYPE: Final = re.compile(
    r"[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*"
    r"(?:\s*;\s*[a-z0-9-]+=(?:[a-z0-9!#$%&'*+.^_`|~-]+|\"[^\"\\\x00-\x1f\x7f-\U0010ffff]*\"))*",
    re.IGNORECASE,
)
"""Type, subtype and parameters (RFC 9110, section 8.3.1)."""


def is_media_type(text: str) -> bool:
    """Whether a text is a media type, with or without parameters."""
    return _MEDIA_TYPE.fullmatch(text) is not None


def check_media_type(produces: str, signature: Signature) -> str:
    """The declared media type, if it is one and what the function returns can be sent under it.

    Raises:
        DeclarationError: it is malformed, or the function returns neither bytes nor text.
    """
    if not produces:
        return ""
    place = signature.place
    if produces == ANY:
        if not signature.streaming.from_server or not _is_headed(signature.response):
            raise place.error(
                f"produces={ANY!r} wants a stream that says what it is, and the function returns "
                f"`{format_type(signature.response)}`; write `-> AsyncIterator[FileHead | bytes]` and yield the "
                "`FileHead` first"
            )
        return produces
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


def check_consumed(consumes: str, signature: Signature) -> str:
    """The declared media type of a body, if the function takes it.

    Raises:
        DeclarationError: it is another than `*/*`, or there is no stream of bytes that could take the body.
    """
    if not consumes:
        return ""
    if consumes != ANY:
        raise signature.place.error(f"consumes={consumes!r}: only {ANY!r} can be declared, for a body of any type")
    if signature.items is not bytes:
        raise signature.place.error(
            f"consumes={ANY!r} wants a stream of bytes to put the body in; add a parameter `content: AsyncIterator[bytes]`"
        )
    return consumes


def _is_headed(annotation: Any) -> bool:
    """Whether the items of a stream are a `FileHead` and bytes."""
    return set(map(unwrap, typing.get_args(unwrap(annotation)))) == {FileHead, bytes}


def _is_raw(annotation: Any) -> bool:
    """Whether all values of a type are bytes, text, or None, which stands for no content."""
    annotation = unwrap(annotation)
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        choices = [unwrap(choice) for choice in typing.get_args(annotation) if choice is not type(None)]
        return len(choices) == 1 and choices[0] in (bytes, str)
    return annotation in (bytes, str)
