"""Entity tags and conditional requests (RFC 9110, sections 8.8.3 and 13)."""

from __future__ import annotations

import functools
import re
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

INLINE: Final = 256 * 1024
"""Bytes of the largest body that is hashed on the loop, which it holds for a quarter of a millisecond at most."""

_IN_TAG: Final = re.compile(r"[\x21\x23-\x7e]{1,256}")
_TAG: Final = re.compile(r'(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")')


def etag(body: bytes) -> str:
    """The tag of a body, of its content alone: the same reply has the same tag, also from another node."""
    return f'"{blake2b(body, digest_size=12).hexdigest()}"'


def weak(tag: str) -> str:
    """The tag of the same reply in another form, as compressed: equal in what it says, not byte by byte."""
    return f"W/{tag}"


def declared_etag(reply: bytes, field: str) -> str:
    """The tag that a reply carries in a field of its own; empty where it has none there.

    Args:
        reply: JSON.
        field: of text or a whole number.
    """
    try:
        value = _reader(field)(reply).etag
    except msgspec.DecodeError:
        return ""
    text = str(value) if value is not None else ""
    return f'"{text}"' if text and _IN_TAG.fullmatch(text) else ""


@functools.lru_cache(maxsize=256)
def _reader(field: str) -> Callable[[bytes], Any]:
    reply = msgspec.defstruct("Reply", [("etag", int | str | None, None)], rename={"etag": field}, gc=False)
    return msgspec.json.Decoder(reply).decode


def is_known(tag: str, if_none_match: str) -> bool:
    """Whether the client has the reply already, in whichever form.

    Args:
        tag: of the reply, strong.
        if_none_match: the header `If-None-Match`.
    """
    return if_none_match.strip() == "*" or any(known == tag for known in _TAG.findall(if_none_match))
