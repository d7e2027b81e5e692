"""Which metadata of a call that publishes becomes headers of the message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from microlite.core import errors
from microlite.core.context import CLIENT_ADDRESS

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_HEADERS: Final = 64
MAX_HEADER_BYTES: Final = 16 << 10
"""Most bytes of all names and values together."""

_LEFT_OUT: Final = frozenset(
    {
        *("accept", "accept-charset", "accept-encoding", "accept-language", "authorization", "cache-control", "cookie"),
        *("dnt", "etag", "forwarded", "from", "last-event-id", "pragma", "priority", "proxy-authorization", "range"),
        *("referer", "user-agent", "via", "upgrade-insecure-requests", "idempotency-key", "if-match", "if-none-match"),
        *("if-modified-since", "if-range", "if-unmodified-since", "x-real-ip"),
    }
)
"""What speaks of an HTTP request only, or must not travel on."""

_LEFT_OUT_PREFIXES: Final = ("sec-", "x-forwarded-")


def headers_of(metadata: Mapping[str, str], said: Mapping[str, str]) -> dict[str, str]:
    """The headers of a message.

    Args:
        metadata: of the call; what belongs to an HTTP request stays behind.
        said: what the publisher names itself, which goes before.

    Raises:
        BadRequest: they are too many or too long.
    """
    headers = {
        name: value
        for name, value in metadata.items()
        if name not in _LEFT_OUT and name != CLIENT_ADDRESS and not name.startswith(_LEFT_OUT_PREFIXES)
    }
    for name, value in said.items():
        headers[name.lower()] = value
    size = sum(len(name) + len(value) for name, value in headers.items())
    if len(headers) > MAX_HEADERS or size > MAX_HEADER_BYTES:
        raise errors.BadRequest(
            f"a message has at most {MAX_HEADERS} headers with {MAX_HEADER_BYTES:,} characters together; "
            f"these are {len(headers)} with {size:,}"
        )
    return headers
