"""Who may ask, and under which name: allowed hosts, the admin's token, namespaces, foreign origins."""

from __future__ import annotations

import hmac
import ipaddress
import re
from typing import TYPE_CHECKING, Final

from microlite.core import errors
from microlite.core.context import DEFAULT_NAMESPACE, Account
from microlite.core.description.structs import Role
from microlite.web.gateway.refusals import MisdirectedRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from microlite.web.gateway.head import Head
    from microlite.web.gateway.options import GatewayOptions
    from microlite.web.gateway.table import Target

ADMIN: Final = Account(id="admin", scopes=("admin",))
"""Whoever shows the platform's admin token."""

_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?")
_ANY: Final = ("", "0.0.0.0", "::")  # noqa: S104 - compared, not bound
_MAX_HOSTS: Final = 256


class Access:
    """The checks that come before a call.

    Args:
        options: allowed hosts and origins.
        admin_token: what `Authorization: Bearer …` must carry for built-in endpoints; empty opens them to nobody.
    """

    def __init__(self, options: GatewayOptions, admin_token: str) -> None:
        self._options = options
        self._token = admin_token.encode()
        self._exact = {"localhost", "127.0.0.1", "::1"}
        self._exact.update(name.lower() for name in options.allowed_hosts if not name.startswith("*."))
        self._suffixes = tuple(name[1:].lower() for name in options.allowed_hosts if name.startswith("*."))
        self._any_address = options.host in _ANY
        if not self._any_address:
            self._exact.add(options.host.lower())
        self.plain_hosts: set[bytes] = set()
        """`Host` headers that were found good, and name the gateway itself."""

    def check_host(self, value: bytes | None) -> str:
        """The name of the HTTP program whose own origin is meant, or nothing for the gateway itself.

        A page of a foreign site can make a browser send requests here under a name that the site had resolved to this
        address; only the `Host` header tells. Addresses cannot be abused that way, so where the gateway listens on all
        of them, any will do.

        Raises:
            BadRequest: there is no `Host`, or it is malformed.
            MisdirectedRequest: the gateway does not answer for this name.
        """
        if value in self.plain_hosts:
            return ""
        match = _HOST.fullmatch((value or b"").decode("latin-1"))
        if value is None or match is None:
            raise errors.BadRequest("the request needs a header Host with the name of this host", id="gateway")
        name = match[1].strip("[]").lower().rstrip(".")
        if name.endswith(".localhost"):
            return name.removesuffix(".localhost")
        if not (name in self._exact or name.endswith(self._suffixes) or (self._any_address and _is_address(name))):
            raise MisdirectedRequest(
                f'this gateway does not answer for the host "{name}"; allow the name in its settings (allowed hosts), '
                f"or use localhost",
                id="gateway",
            )
        if len(self.plain_hosts) < _MAX_HOSTS:
            self.plain_hosts.add(value)
        return ""

    def is_admin(self, authorization: bytes | None) -> bool:
        """Whether a header `Authorization` carries the platform's admin token."""
        if authorization is None or not self._token:
            return False
        scheme, _, token = authorization.partition(b" ")
        return scheme.lower() == b"bearer" and hmac.compare_digest(token.strip(), self._token)

    def authorise(self, target: Target, authorization: bytes | None) -> Account | None:
        """Who calls, if he may; None for nobody in particular.

        Built-in endpoints need the admin's token whatever their role says, until accounts exist. An `Authorization`
        that means nothing to the platform is no obstacle to what is open to all.

        Raises:
            Unauthorized: the endpoint wants an account, and there is no valid token.
        """
        account = ADMIN if self.is_admin(authorization) else None
        role = target.endpoint.role if target.endpoint is not None else Role.PUBLIC
        if account is None and (target.is_builtin or role is not Role.PUBLIC):
            raise errors.Unauthorized(
                "the token is not valid" if authorization else "log in: send Authorization: Bearer with a token",
                id="gateway",
            )
        return account

    def namespace(self, head: Head) -> str:
        """The namespace in which the request asks.

        Raises:
            Forbidden: it names another than its own, and the caller is no admin.
        """
        name = head.text(b"micro-namespace")
        if not name or name == DEFAULT_NAMESPACE:
            return DEFAULT_NAMESPACE
        if not self.is_admin(head.fields.get(b"authorization")):
            raise errors.Forbidden(f'the namespace "{name}" is not yours', id="gateway")
        return name

    def check_origin(self, fields: Mapping[bytes, bytes]) -> None:
        """Let a page open a WebSocket here: one of this origin, or of an allowed one.

        For WebSockets it is the server that has to look: a browser neither asks before it opens one, nor keeps what comes
        from the page (RFC 6455, section 10.2).

        Args:
            fields: of the request. Without `Origin` it comes from no page.

        Raises:
            Forbidden: the page is of another origin.
        """
        origin = fields.get(b"origin")
        if origin is None or origin.lower().partition(b"://")[2] == fields.get(b"host", b"").lower():
            return
        if not self._allows(origin):
            name = origin.decode("latin-1")
            raise errors.Forbidden(
                f'pages of the origin "{name}" may not open WebSockets here; allow it in the settings (CORS origins)',
                id="gateway",
            )

    def _allows(self, origin: bytes) -> bool:
        allowed = self._options.cors_origins
        return "*" in allowed or origin.decode("latin-1") in allowed

    def origin_headers(self, origin: bytes | None) -> list[tuple[bytes, bytes]]:
        """What lets a page of this origin read the answer. Cookies and other credentials are never allowed.

        (https://fetch.spec.whatwg.org/#http-cors-protocol)
        """
        if origin is None:
            return []
        if not self._allows(origin):
            return [(b"vary", b"Origin")]
        return [
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", b"traceparent, retry-after"),
            (b"vary", b"Origin"),
        ]


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
