"""Who may ask, and under which name: allowed hosts, the admin's token, namespaces."""

from __future__ import annotations

import hmac
import ipaddress
import re
from typing import TYPE_CHECKING, Final

from microlite.core import errors
from microlite.core.context import DEFAULT_NAMESPACE, PLATFORM_ADMIN
from microlite.core.description.structs import Role
from microlite.web.gateway.refusals import MisdirectedRequest
from microlite.web.gateway.resolver import host_namespace

if TYPE_CHECKING:
    from microlite.core.context import Account
    from microlite.web.gateway.head import Head
    from microlite.web.gateway.options import GatewayOptions
    from microlite.web.gateway.table import Target

ADMIN: Final = PLATFORM_ADMIN
"""Whoever shows the platform's admin token."""

_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?")
_ANY: Final = ("", "0.0.0.0", "::")  # noqa: S104 - compared, not bound
_MAX_HOSTS: Final = 256


class Access:
    """The checks that come before a call.

    Args:
        options: allowed hosts, and whether they name namespaces.
        admin_token: what `Authorization: Bearer …` must carry for built-in endpoints; empty opens them to nobody.
    """

    def __init__(self, options: GatewayOptions, admin_token: str) -> None:
        self._token = admin_token.encode()
        self._exact = {"localhost", "127.0.0.1", "::1"}
        self._exact.update(name.lower() for name in options.allowed_hosts if not name.startswith("*."))
        self._suffixes = tuple(name[1:].lower() for name in options.allowed_hosts if name.startswith("*."))
        self._domains = tuple(suffix[1:] for suffix in self._suffixes) if options.namespace_by_host else ()
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

    def home(self, host: bytes | None) -> str:
        """The namespace in which requests to a host ask that name none: the one of its subdomain, if that is set so."""
        if not self._domains or host is None:
            return DEFAULT_NAMESPACE
        match = _HOST.fullmatch(host.decode("latin-1"))
        return (host_namespace(match[1], self._domains) if match else "") or DEFAULT_NAMESPACE

    def namespace(self, head: Head) -> str:
        """The namespace in which the request asks.

        Raises:
            Forbidden: it names another than its own, and the caller is no admin.
        """
        home = self.home(head.fields.get(b"host"))
        name = head.text(b"micro-namespace")
        if not name or name == home:
            return home
        if not self.is_admin(head.fields.get(b"authorization")):
            raise errors.Forbidden(f'the namespace "{name}" is not yours', id="gateway")
        return name


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
