"""The headers of what is passed on to an HTTP program, and of what comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from microlite.core.context import TRACEPARENT
from microlite.web.gateway.head import HOP_BY_HOP
from microlite.web.gateway.sandbox import SANDBOX, needs_sandbox
from microlite.web.gateway.subprotocols import Subprotocols

if TYPE_CHECKING:
    from collections.abc import Iterable

    from microlite.web.gateway.access import Access
    from microlite.web.gateway.answers import Headers
    from microlite.web.gateway.exchange import Exchange

_NOT_ON: Final = HOP_BY_HOP | {b"expect", b"micro-namespace", TRACEPARENT.encode()}
_FORWARDED: Final = frozenset(
    {b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port"}
)
_PREFIX: Final = b"x-forwarded-prefix"


def request_headers(exchange: Exchange, prefix: bytes) -> list[tuple[str, str]]:
    """The headers that a program gets.

    What concerns one connection stays out, and so do credentials of the platform: tokens of its accounts, wherever they
    stand, with which the program could ask in the caller's name, and the cookie of the dashboard.
    """
    edge = exchange.edge
    dropped = _NOT_ON | _named_by_connection(exchange.scope["headers"])
    trusted = exchange.client in edge.options.trusted_proxies
    headers: list[tuple[bytes, bytes]] = []
    for name, value in exchange.scope["headers"]:
        if name in dropped or name == _PREFIX or (name in _FORWARDED and not trusted):
            continue
        if name == b"authorization" and edge.access.means_somebody(value):
            continue
        if name == b"cookie":
            value = _without_cookies(value, _dashboard_cookies(exchange))
            if not value:
                continue
        if name == b"sec-websocket-protocol":
            value = _without_own_token(value, edge.access)
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

    Redirections to the program's own address lead here. Below a path, where a program shares its origin with the API and
    all other programs, they stay below it, as cookies do, and what may be a page is put into a sandbox.
    """
    here = exchange.scope["scheme"].encode() + b"://" + exchange.head.fields.get(b"host", b"localhost")
    lowered = [(name.lower(), value) for name, value in received]
    dropped = HOP_BY_HOP | _named_by_connection(lowered) | {b"date", TRACEPARENT.encode()}
    cookies = _dashboard_cookies(exchange)
    headers: Headers = []
    for name, value in lowered:
        if name in dropped or (name == b"set-cookie" and _name_in_header(value) in cookies):
            continue
        if name == b"location":
            value = _below(value, prefix, (base_url, here))
        if name == b"set-cookie" and prefix:
            value = _cookie_below(value, prefix, at_prefix=exchange.path == prefix)
        headers.append((name, value))
    if prefix and needs_sandbox([value for name, value in headers if name == b"content-type"]):
        headers.append((b"content-security-policy", SANDBOX))
    return headers


def _named_by_connection(headers: Iterable[tuple[bytes, bytes]]) -> frozenset[bytes]:
    """The headers that `Connection` declares to be for this connection only."""
    return frozenset(
        token.strip().lower() for name, value in headers if name == b"connection" for token in value.split(b",")
    ) - {b"host", b"content-length", b"content-type", b"authorization"}


def _dashboard_cookies(exchange: Exchange) -> tuple[bytes, ...]:
    """The names that the dashboard's cookie has: without TLS, and over it."""
    name = exchange.edge.options.dashboard_cookie.encode()
    return name, b"__Host-" + name


def _without_cookies(value: bytes, cookies: tuple[bytes, ...]) -> bytes:
    """A header `Cookie` without the cookies of these names."""
    pairs = (pair.strip() for pair in value.split(b";"))
    return b"; ".join(pair for pair in pairs if pair and pair.partition(b"=")[0].strip() not in cookies)


def _name_in_header(cookie: bytes) -> bytes:
    """The name under which a header `Set-Cookie` comes back: one without a name comes back as its value alone."""
    return cookie.partition(b";")[0].lstrip(b"= \t").partition(b"=")[0].strip()


def _without_own_token(value: bytes, access: Access) -> bytes:
    """A header `Sec-WebSocket-Protocol` without the subprotocol that carries a token of the platform, if one does."""
    protocols = Subprotocols(value)
    if not access.means_somebody(b"Bearer " + protocols.token.encode()):
        return value
    return ", ".join(protocols.without_token()).encode()


def _append(headers: Headers, name: bytes, value: bytes) -> Headers:
    """The headers with one more value at the end of a list that may be there already."""
    earlier = [given for key, given in headers if key == name]
    rest = [header for header in headers if header[0] != name]
    return [*rest, (name, b", ".join((*earlier, value)))]


def _below(location: bytes, prefix: bytes, origins: Iterable[bytes]) -> bytes:
    """The target of a redirection, moved below the prefix unless it lies there already or elsewhere.

    Args:
        location: as the program wrote it.
        prefix: empty at the program's own origin.
        origins: what the program may take for its own: its address, and the host that it was asked for.
    """
    path = location
    for origin in origins:
        if location.startswith(origin + b"/"):
            path = location.removeprefix(origin)
    if not path.startswith(b"/") or path.startswith(b"//"):
        return location
    if path == prefix or path.startswith(prefix + b"/"):
        return path
    return prefix + path


def _cookie_below(cookie: bytes, prefix: bytes, *, at_prefix: bool) -> bytes:
    """A header `Set-Cookie` whose path is below the prefix, so that no other program gets the cookie.

    Without a path it counts for the folder of what was asked for (RFC 6265, section 5.1.4). That lies below the prefix
    too, except where the prefix itself was asked for. One that is named `__Host-` is left alone, since it would be none
    with a path.
    """
    first, *attributes = cookie.split(b";")
    if first.lstrip().startswith(b"__Host-"):
        return cookie
    parts = [first]
    has_path = False
    for attribute in attributes:
        name, _, value = attribute.partition(b"=")
        if name.strip().lower() == b"path":
            path = value.strip()
            has_path = path.startswith(b"/")
            if has_path and path != prefix and not path.startswith(prefix + b"/"):
                attribute = b"%b=%b" % (name, prefix + path)
        parts.append(attribute)
    if at_prefix and not has_path:
        parts.append(b" Path=" + prefix)
    return b";".join(parts)


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
