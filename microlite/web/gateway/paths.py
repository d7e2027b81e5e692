"""The path of a request, from bytes to segments: decoded once, and refused where two readers could differ about it."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from microlite.core import errors

_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_SLASH: Final = re.compile(rb"%2f|%5c|\\", re.IGNORECASE)
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")


def split_path(path: bytes) -> tuple[str, ...]:
    """The decoded segments of a path; none for `/`. One slash at the end is allowed and means nothing.

    Args:
        path: as it stood in the request, without query.

    Raises:
        BadRequest: it does not begin with a slash, has an empty or dot segment, an encoded slash, a backslash, a control
            character, or an escape that is none.
    """
    if not path.startswith(b"/"):
        raise errors.BadRequest("a path begins with a slash", id="gateway")
    if _SLASH.search(path):
        raise errors.BadRequest("a path has no encoded slash (%2f) and no backslash", id="gateway")
    if _ESCAPE.search(path):
        raise errors.BadRequest("a % in a path is followed by two hexadecimal digits", id="gateway")
    try:
        text = unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        raise errors.BadRequest("a path is UTF-8", id="gateway") from None
    if _CONTROL.search(text):
        raise errors.BadRequest("a path has no control characters", id="gateway")
    segments = text[1:].split("/")
    if not segments[-1]:
        segments.pop()
    for segment in segments:
        if segment in ("", ".", ".."):
            raise errors.BadRequest("a path has no empty segment (//) and no . or .. in it", id="gateway")
    return tuple(segments)
