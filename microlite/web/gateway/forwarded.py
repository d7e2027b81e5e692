"""The headers of what is passed on to an HTTP program, and of what comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from microlite.core.context import TRACEPARENT
from microlite.web.gateway.head import HOP_BY_HOP

if TYPE_CHECKING:
    from collections.abc import Iterable

    from microlite.web.gateway.answers import Headers
    from microlite.web.gateway.exchange import Exchange

SANDBOX: Final = b"sandbox allow-downloads allow-forms allow-modals allow-popups allow-scripts"
"""Below a path, a program shares its origin with the API and with all other programs. The sandbox gives its pages an
origin of their own, from which they reach neither (https://www.w3.org/TR/CSP3/#directive-sandbox)."""

MARKUP: Final = (b"text/html", b"application/xhtml+xml", b"image/svg+xml", b"text/xml", b"application/xml")
_NOT_ON: Final = HOP_BY_HOP | {b"expect", b"micro-namespace", TRACEPARENT.encode()}
_FORWARDED: Final = frozenset(
    {b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port"}
)
_PREFIX: Final = b"x-forwarded-prefix"


def request_headers(exchange: Exchange, prefix: bytes) -> list[tuple[str, str]]:
    """The headers that a program gets.

    What concerns one connection stays out, and so do the platform's own credentials: the admin's token, and the cookie
    of the dashboard.
    """
    edge = exchange.edge
    dropped = _NOT_ON | _named_by_connection(exchange.scope["headers"])
    trusted = exchange.client in edge.options.trusted_proxies
    headers: list[tuple[bytes, bytes]] = []
    for name, value in exchange.scope["headers"]:
        if name in dropped or name == _PREFIX or (name in _FORWARDED and not trusted):
            continue
        if name == b"authorization" and edge.access.is_admin(value):
            continue
        if name == b"cookie":
            value = _without_cookie(value, edge.options.dashboard_cookie.encode())
            if not value:
                continue
        headers.append((name, value))
    present = {name for name, _ in headers}
    if exchange.client:
        headers = _append(headers, b"x-forwarded-for", exchange.client.encode())
    if b"x-forwarded-proto" not in present:
        headers.append((b"x-forwarded-proto", exchange.scope["scheme"].encode()))
    if b"x-forwarded-host" not in present:
        headers.append((b"x-forwarded-host", exchange.head.fields.get(b"host", b"localhost")))
    if prefix:
        headers.append((_PREFIX, prefix))
    headers.append((TRACEPARENT.encode(), exchange.traceparent.encode()))
    return [(name.decode("latin-1"), _text(value)) for name, value in headers]


def answer_headers(
    exchange: Exchange, received: Iterable[tuple[bytes, bytes]], prefix: bytes, base_url: bytes
) -> Headers:
    """The headers of a program's answer, as the client gets them.

    Below a path, redirections stay below it, and markup is put into a sandbox.
    """
    lowered = [(name.lower(), value) for name, value in received]
    dropped = HOP_BY_HOP | _named_by_connection(lowered) | {b"date", TRACEPARENT.encode()}
    cookie = exchange.edge.options.dashboard_cookie.encode()
    headers: Headers = []
    kind = b""
    for name, value in lowered:
        if name in dropped or (name == b"set-cookie" and value.partition(b"=")[0].strip() == cookie):
            continue
        if name == b"content-type":
            kind = value.partition(b";")[0].strip().lower()
        if name == b"location" and prefix:
            value = _below(value, prefix, base_url)
        headers.append((name, value))
    if prefix and (not kind or kind in MARKUP):
        headers.append((b"content-security-policy", SANDBOX))
    return headers


def _named_by_connection(headers: Iterable[tuple[bytes, bytes]]) -> frozenset[bytes]:
    """The headers that `Connection` declares to be for this connection only."""
    return frozenset(
        token.strip().lower() for name, value in headers if name == b"connection" for token in value.split(b",")
    ) - {b"host", b"content-length", b"content-type", b"authorization"}


def _without_cookie(value: bytes, cookie: bytes) -> bytes:
    """A header `Cookie` without the cookie of this name."""
    pairs = (pair.strip() for pair in value.split(b";"))
    return b"; ".join(pair for pair in pairs if pair and pair.partition(b"=")[0].strip() != cookie)


def _append(headers: Headers, name: bytes, value: bytes) -> Headers:
    """The headers with one more value at the end of a list that may be there already."""
    earlier = [given for key, given in headers if key == name]
    rest = [header for header in headers if header[0] != name]
    return [*rest, (name, b", ".join((*earlier, value)))]


def _below(location: bytes, prefix: bytes, base_url: bytes) -> bytes:
    """The target of a redirection, moved below the prefix unless it lies there already or elsewhere."""
    path = location.removeprefix(base_url)
    if not path.startswith(b"/") or path.startswith(b"//"):
        return location
    if path == prefix or path.startswith(prefix + b"/"):
        return path
    return prefix + path


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
