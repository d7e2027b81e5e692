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
LOCKED: Final = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
"""Of answers that are data: should a browser be made to show one as a page, nothing in it does anything, and no other page
can show it within itself."""

_DATA: Final = (JSON, NDJSON, EVENT_STREAM, b"text/plain")
_OWN_LINES: Final = b"%b: %b\r\n%b: %b\r\n" % (*NO_SNIFF, *LOCKED)

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
    if error.code == 426:
        headers += [(b"upgrade", b"websocket"), (b"sec-websocket-version", b"13")]
    allow = getattr(error, "allow", None)
    if allow:
        headers.append((b"allow", ", ".join((*allow, "OPTIONS")).encode()))
    return headers


def is_data(headers: Headers) -> bool:
    """Whether an answer with these headers is data that no page is made of, and says nothing else about that."""
    types = [value for name, value in headers if name == b"content-type"]
    has_policy = any(name == LOCKED[0] for name, _ in headers)
    return len(types) == 1 and types[0].startswith(_DATA) and not has_policy


class Answers:
    """The beginnings of answers, renewed when the second changes.

    Attributes:
        ok: a JSON answer with status 200, up to the header `content-length`.
        common: the headers that every answer has, as lines.

    Args:
        now: in seconds since the Unix epoch.
        hsts: seconds for which browsers are told to come by TLS only; 0 tells them nothing.
    """

    def __init__(self, now: float, hsts: int = 0) -> None:
        self.common = b""
        self._always = b"strict-transport-security: max-age=%d\r\n" % hsts if hsts else b""
        self.ok = b""
        self.tick(now)

    def tick(self, now: float) -> None:
        """Set the date. `now` is in seconds since the Unix epoch."""
        self.common = b"date: " + formatdate(now, usegmt=True).encode() + b"\r\n" + self._always
        self.ok = STATUS_LINES[200] + self.common + b"content-type: application/json\r\n" + _OWN_LINES

    def error(self, error: errors.Error, *more: tuple[bytes, bytes]) -> bytes:
        """A whole error answer, with `more` headers."""
        body = error_body(error)
        return b"".join(
            (
                STATUS_LINES[error.code],
                self.common,
                b"content-type: application/json\r\n",
                _OWN_LINES,
                content_length(len(body)),
                *(b"%b: %b\r\n" % header for header in (*error_headers(error), *more)),
                b"\r\n",
                body,
            )
        )
