"""What the headers of a request say, read once and alike for both ways of answering."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from microlite.core import errors
from microlite.core.context import TRACEPARENT, Trace, new_traceparent, parse_traceparent
from microlite.core.durations import parse_duration

if TYPE_CHECKING:
    from collections.abc import Iterable

HOP_BY_HOP: Final = frozenset(
    {
        *(b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te"),
        *(b"trailer", b"transfer-encoding", b"upgrade", b"http2-settings"),
    }
)
"""Headers that concern one connection only (RFC 9110, section 7.6.1)."""

_OWN: Final = HOP_BY_HOP | {
    *(b"host", b"authorization", b"cookie", b"expect", b"timeout", b"micro-namespace", b"origin"),
    *(b"access-control-request-method", b"access-control-request-headers"),
    *(b"access-control-request-private-network", TRACEPARENT.encode()),
}
"""Headers that the gateway reads itself or keeps from services."""

_ONCE: Final = frozenset(
    {b"host", b"authorization", b"content-type", b"timeout", b"micro-namespace", b"origin", TRACEPARENT.encode()}
)
_NUMBER: Final = re.compile(r"\d+(?:\.\d+)?")
_MAX_KEYS: Final = 1024

_keys: dict[bytes, str] = {}
"""The metadata key of a header that was seen before; empty where it is the gateway's own."""


class Head:
    """The headers of one request, sorted into the gateway's own and the metadata of the call.

    Attributes:
        fields: own headers by lower-case name; repeated ones are joined by commas.
        metadata: all others, by lower-case name, which the service gets.
    """

    __slots__ = ("fields", "metadata")

    def __init__(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Sort the headers; their names must be in lower case.

        Raises:
            BadRequest: a header that may stand once is there twice.
        """
        self.fields: dict[bytes, bytes] = {}
        self.metadata: dict[str, str] = {}
        fields, metadata = self.fields, self.metadata
        for name, value in headers:
            key = _keys.get(name)
            if key is None:
                key = _learn(name)
            if not key:
                if name in fields:
                    if name in _ONCE:
                        raise errors.BadRequest(f"the header {name.decode('latin-1')} is there twice", id="gateway")
                    value = fields[name] + b", " + value
                fields[name] = value
            else:
                text = value.decode("latin-1")
                metadata[key] = f"{metadata[key]}, {text}" if key in metadata else text

    def text(self, name: bytes) -> str:
        """One of the own headers, empty where it is missing."""
        return self.fields.get(name, b"").decode("latin-1").strip()

    def trace(self) -> Trace | None:
        """The span of the caller, if it named a valid one."""
        return parse_traceparent(self.text(TRACEPARENT.encode()))

    def timeout(self, default: float | None, limit: float) -> float | None:
        """Seconds that the call may take.

        Args:
            default: where the client says nothing.
            limit: the most that is granted.

        Raises:
            BadRequest: `Timeout` is no length of time, or none that is positive.
        """
        text = self.text(b"timeout")
        if not text:
            return default
        try:
            seconds = float(text) if _NUMBER.fullmatch(text) else parse_duration(text)
        except ValueError as error:
            raise errors.BadRequest(f"Timeout: {error}", id="gateway") from None
        if seconds <= 0:
            raise errors.BadRequest("Timeout: it must be longer than nothing", id="gateway")
        return min(seconds, limit)


def next_traceparent(parent: Trace | None) -> str:
    """The header of a span of the gateway's own: below the caller's, or the first of a new trace."""
    return new_traceparent() if parent is None else str(parent.child())


def _learn(name: bytes) -> str:
    """The metadata key of a header's name, remembered for the next request."""
    own = name in _OWN or name.startswith((b"content-", b"microlite-"))
    key = "" if own else name.decode("latin-1")
    if len(_keys) < _MAX_KEYS:
        _keys[name] = key
    return key
