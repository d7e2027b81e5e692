"""What can be set about the dashboard."""

from __future__ import annotations

import msgspec


class DashboardOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of one dashboard. Sizes are in bytes, times in seconds.

    Args:
        host: the address to bind, the gateway's.
        port: the port to bind; 0 takes any free one.
        allowed_hosts: further names that a `Host` header may carry.
        cookie: the name of the cookie that carries a session.
        secure: whether the cookie is for TLS only, because there is nothing else here.
        hsts: seconds for which browsers are told to come by TLS only; 0 tells them nothing.
        max_body: the largest body of a request; what the explorer sends included.
        ping: between the comments that keep a silent event stream open, and between two looks whether its session lasts.
        grace: that requests under way may still take when the platform ends.
    """

    host: str = "127.0.0.1"
    port: int = 8082
    allowed_hosts: tuple[str, ...] = ()
    cookie: str = "microlite-session"
    secure: bool = False
    hsts: int = 0
    max_body: int = 10 * 1024 * 1024
    ping: float = 15.0
    grace: float = 2.0
