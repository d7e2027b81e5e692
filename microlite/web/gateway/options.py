"""What can be set about the gateway."""

from __future__ import annotations

import msgspec


class GatewayOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of one gateway. Sizes are in bytes, times in seconds.

    Args:
        host: the address to bind; loopback unless the user says otherwise.
        port: the port to bind; 0 takes any free one.
        allowed_hosts: further names that a `Host` header may carry; `*.example.org` allows all below it.
        cors_origins: origins whose pages may read answers, as in `https://example.org`; `*` for all. Only pages of an
            origin that is listed by name may send forms. Credentials are never allowed.
        namespace_by_host: take the subdomain below an allowed `*.example.org` for the namespace:
            `staging.shop.example.org` means `shop-staging`; `api` and `www` mean none.
        trusted_proxies: addresses whose `X-Forwarded-…` headers are passed on to programs.
        dashboard_url: where `/` sends a browser; empty for nowhere.
        dashboard_cookie: the cookie that is taken out of all that is passed on.
        hsts: seconds for which browsers are told to come by TLS only; 0 tells them nothing.
        access_log: write a line for each answer to the logger `microlite.access`.
        fast: answer plain calls from the parser's callbacks; off, the ASGI application answers all.
        max_body: the largest body of a request, expanded where it is compressed, line of a streamed one, and message of a
            WebSocket.
        max_held: of all bodies and messages together that are in memory; further large ones get 503.
        max_head: the largest head of a request: request line, headers, and trailers.
        max_headers: header lines of a request.
        max_url: the longest request target.
        max_requests: requests that are being answered at a time; further ones get 503.
        max_connections: connections that are open at a time; further ones get 503.
        max_pipeline: requests that may wait behind the one being answered on the same connection.
        head_timeout: from the first byte of a request to the end of its head.
        body_timeout: without a byte of a body that is still to come.
        write_timeout: without a byte taken by a client for which bytes are waiting.
        keep_alive: that a connection may rest between requests, and a WebSocket before its first message.
        linger: that what a refused client still sends is read and dropped, so that it sees the answer; and that a
            WebSocket's client has to answer when it is closed.
        call_timeout: of a call whose client sends no `Timeout`.
        max_timeout: the longest `Timeout` that is granted.
        ping: between the comments that keep a silent event stream open, and between the pings of a WebSocket.
        pong: that a WebSocket may be silent, pongs included, before its client counts as gone.
        opening: how long the head of a streamed answer waits for the first item, which decides about the status.
        connect_timeout: until a program has accepted a connection.
        program_timeout: until a program has sent the head of its answer.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    allowed_hosts: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ("*",)
    namespace_by_host: bool = False
    trusted_proxies: tuple[str, ...] = ()
    dashboard_url: str = ""
    dashboard_cookie: str = "microlite-session"
    hsts: int = 0
    access_log: bool = False
    fast: bool = True
    max_body: int = 10 * 1024 * 1024
    max_held: int = 256 * 1024 * 1024
    max_head: int = 64 * 1024
    max_headers: int = 100
    max_url: int = 8 * 1024
    max_requests: int = 4096
    max_connections: int = 8192
    max_pipeline: int = 256
    head_timeout: float = 10.0
    body_timeout: float = 30.0
    write_timeout: float = 120.0
    keep_alive: float = 75.0
    linger: float = 2.0
    call_timeout: float = 30.0
    max_timeout: float = 3600.0
    ping: float = 15.0
    pong: float = 60.0
    opening: float = 0.1
    connect_timeout: float = 5.0
    program_timeout: float = 60.0
