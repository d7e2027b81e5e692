"""How an answer looks on the wire: status lines, the headers that all carry, and the JSON of errors."""

from __future__ import annotations

from email.utils import formatdate
from http import HTTPStatus
from typing import Final

import msgspec

from microlite.core import errors

JSON: Final = b"application/json"
NDJSON: Final = b"application/x-ndjson"
EVENT_STREAM: Final = b"text/event-stream"

NO_SNIFF: Final = (b"x-content-type-options", b"nosniff")
_NO_SNIFF_LINE: Final = b"%b: %b\r\n" % NO_SNIFF

VARY_CODING: Final = (b"vary", b"Accept-Encoding")
"""Of an answer that would look different to a client that takes it compressed, or does not."""

Headers = list[tuple[bytes, bytes]]

_encode = msgspec.json.Encoder().encode


def _phrase(code: int) -> str:
    if code == errors.Canceled.code:
        return errors.Canceled.status
    try:
        return HTTPStatus(code).phrase
    except ValueError:
        return ""


STATUS_LINES: Final = {code: f"HTTP/1.1 {code} {_phrase(code)}\r\n".encode() for code in range(100, 600)}
LENGTHS: Final = tuple(b"content-length: %d\r\n" % size for size in range(2048))
"""The header of the sizes that are frequent, ready made."""


def content_length(size: int) -> bytes:
    """The line of the header, with its end."""
    return LENGTHS[size] if size < len(LENGTHS) else b"content-length: %d\r\n" % size


def error_body(error: errors.Error) -> bytes:
    """`{"id", "code", "detail", "status"}`."""
    return _encode(error.as_dict())


def error_headers(error: errors.Error) -> Headers:
    """What an error says beside its body: when to try again, how to log in, which methods there are."""
    headers: Headers = []
    if error.code == 429 or (error.code == 503 and not isinstance(error, errors.OutcomeUnknown)):
        headers.append((b"retry-after", b"1"))
    if error.code == 401:
        headers.append((b"www-authenticate", b'Bearer realm="microlite"'))
    allow = getattr(error, "allow", None)
    if allow:
        headers.append((b"allow", ", ".join((*allow, "OPTIONS")).encode()))
    return headers


class Answers:
    """The beginnings of answers, renewed when the second changes.

    Attributes:
        ok: a JSON answer with status 200, up to the header `content-length`.
        common: the header that every answer has, as a line.
    """

    def __init__(self, now: float) -> None:
        self.common = b""
        self.ok = b""
        self.tick(now)

    def tick(self, now: float) -> None:
        """Set the date. `now` is in seconds since the Unix epoch."""
        self.common = b"date: " + formatdate(now, usegmt=True).encode() + b"\r\n"
        self.ok = STATUS_LINES[200] + self.common + b"content-type: application/json\r\n" + _NO_SNIFF_LINE

    def error(self, error: errors.Error, *more: tuple[bytes, bytes]) -> bytes:
        """A whole error answer, with `more` headers."""
        body = error_body(error)
        return b"".join(
            (
                STATUS_LINES[error.code],
                self.common,
                b"content-type: application/json\r\n",
                _NO_SNIFF_LINE,
                content_length(len(body)),
                *(b"%b: %b\r\n" % header for header in (*error_headers(error), *more)),
                b"\r\n",
                body,
            )
        )
