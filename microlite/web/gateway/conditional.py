"""Entity tags and conditional requests (RFC 9110, sections 8.8.3 and 13)."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Final

_TAG: Final = re.compile(r'(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")')


def etag(body: bytes) -> str:
    """The tag of a body, of its content alone: the same reply has the same tag, also from another node."""
    return f'"{blake2b(body, digest_size=12).hexdigest()}"'


def weak(tag: str) -> str:
    """The tag of the same reply in another form, as compressed: equal in what it says, not byte by byte."""
    return f"W/{tag}"


def is_known(tag: str, if_none_match: str) -> bool:
    """Whether the client has the reply already, in whichever form.

    Args:
        tag: of the reply, strong.
        if_none_match: the header `If-None-Match`.
    """
    return if_none_match.strip() == "*" or any(known == tag for known in _TAG.findall(if_none_match))
