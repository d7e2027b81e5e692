"""Who asks, under which name and in which namespace, and whether he may."""

from __future__ import annotations

import base64
import ipaddress
import re
from typing import TYPE_CHECKING, Final

import msgspec

from microlite.core import errors
from microlite.core.context import DEFAULT_NAMESPACE, PLATFORM_NAMESPACE
from microlite.core.description.naming import DEFAULT_ENDPOINT
from microlite.web.gateway.refusals import MisdirectedRequest
from microlite.web.gateway.resolver import host_namespace

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.core.auth.authority import Authority
    from microlite.core.clock import Clock
    from microlite.core.context import Account
    from microlite.core.description.structs import ServiceDescription
    from microlite.web.gateway.fast import PlainRequest
    from microlite.web.gateway.head import Head
    from microlite.web.gateway.options import GatewayOptions
    from microlite.web.gateway.table import Target
    from microlite.web.gateway.tenants import Tenants


class Caller:
    """Who asks.

    Attributes:
        account: whom the token stands for; None for nobody.
        token: that was shown, if it holds.
        refusal: why one that was shown does not.
        until: by the monotonic clock, when it is worth looking again.
    """

    __slots__ = ("account", "refusal", "token", "until")

    def __init__(self, account: Account | None, token: str, refusal: str = "", until: float = 0.0) -> None:
        self.account = account
        self.token = token
        self.refusal = refusal
        self.until = until


ANYONE: Final = Caller(None, "")
"""Who shows no token."""

_MAX_STRANGE: Final = 4_096
"""Tokens that mean nothing to the platform and are remembered, so as not to look at them each time."""

_LONGEST_STRANGE: Final = 2_048
"""Characters of those: who shows longer ones has each looked at, and takes no memory by them."""

_STRANGE_FOR: Final = 10.0
"""Seconds for which they are."""

_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?")
_ANY: Final = ("", "0.0.0.0", "::")  # noqa: S104 - compared, not bound
_MAX_HOSTS: Final = 256


class Hosts:
    """The names under which somebody may ask.

    Args:
        options: allowed hosts, and whether they name namespaces.
        tenants: know which further hosts stand for namespaces.
    """

    def __init__(self, options: GatewayOptions, tenants: Tenants | None = None) -> None:
        self._tenants = tenants
        self._hosts = tenants.hosts if tenants is not None else None
        self._exact = {"localhost", "127.0.0.1", "::1"}
        self._exact.update(name.lower() for name in options.allowed_hosts if not name.startswith("*."))
        self._suffixes = tuple(name[1:].lower() for name in options.allowed_hosts if name.startswith("*."))
        self._domains = tuple(suffix[1:] for suffix in self._suffixes) if options.namespace_by_host else ()
        self._any_address = options.host in _ANY
        if not self._any_address:
            self._exact.add(options.host.lower())
        self.plain_hosts: set[bytes] = set()
        """`Host` headers that were found good, and name the gateway itself."""
        if self._hosts is not None:
            self._hosts.subscribe(self.plain_hosts.clear)

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
        if not (
            name in self._exact
            or name.endswith(self._suffixes)
            or (self._any_address and _is_address(name))
            or (self._hosts and self._hosts.find(name))
        ):
            raise MisdirectedRequest(
                f'this gateway does not answer for the host "{name}"; allow the name in its settings (allowed hosts), '
                f"or use localhost",
                id="gateway",
            )
        if len(self.plain_hosts) < _MAX_HOSTS:
            self.plain_hosts.add(value)
        return ""

    def home(self, host: bytes | None) -> str:
        """The namespace in which requests to a host ask that name none.

        It is the one for which an admin has said that the host stands, else the one of its subdomain, if that is set so.
        """
        if host is None or not (self._domains or self._hosts):
            return DEFAULT_NAMESPACE
        match = _HOST.fullmatch(host.decode("latin-1"))
        if match is None:
            return DEFAULT_NAMESPACE
        found = self._hosts.find(match[1].lower().rstrip(".")) if self._hosts else ""
        return found or (host_namespace(match[1], self._domains) if self._domains else "") or DEFAULT_NAMESPACE


class Access(Hosts):
    """The checks that come before a call.

    Args:
        options: see `Hosts`.
        authority: knows who asks, and decides.
        clock: for how long a strange token is remembered.
        tenants: see `Hosts`; they know which namespaces there are, too.
    """

    def __init__(
        self, options: GatewayOptions, authority: Authority, clock: Clock, tenants: Tenants | None = None
    ) -> None:
        super().__init__(options, tenants)
        self._authority = authority
        self._clock = clock
        self._strange: dict[str, Caller] = {}

    # -- who asks ------------------------------------------------------------------------------------------------------

    def known(self, authorization: bytes | None) -> Caller | None:
        """Who asks by this header `Authorization`, as far as that is known already; None where it has to be looked at."""
        if authorization is None:
            return ANYONE
        token = _token(authorization)
        if not token:
            return ANYONE
        account = self._authority.known(token)
        if account is not None:
            return Caller(account, token)
        strange = self._strange.get(token)
        return strange if strange is not None and strange.until > self._clock.monotonic() else None

    async def identify(self, authorization: bytes | None) -> Caller:
        """Who asks by this header `Authorization`.

        One that means nothing to the platform is no obstacle to what is open to all: a service may have its own.
        """
        caller = self.known(authorization)
        if caller is not None or authorization is None:
            return caller or ANYONE
        token = _token(authorization)
        try:
            await self._authority.tokens.authenticate(token)
        except errors.Unauthorized as error:
            caller = Caller(None, "", error.detail, self._clock.monotonic() + _STRANGE_FOR)
            if len(token) <= _LONGEST_STRANGE:
                if len(self._strange) >= _MAX_STRANGE:
                    self._strange.clear()
                self._strange[token] = caller
            return caller
        return Caller(self._authority.known(token), token)

    def authorise(self, target: Target, caller: Caller) -> str:
        """Let a call pass, or say why not.

        Returns:
            the token that travels with the call; nothing for nobody.

        Raises:
            Unauthorized: the endpoint wants an account, and there is no valid token.
            Forbidden: this account may not.
            NotFound: there is no such namespace.
            TooManyRequests: the namespace has made as many calls as it may.
        """
        endpoint = target.endpoint
        name, scopes = (endpoint.name, endpoint.scopes) if endpoint is not None else (DEFAULT_ENDPOINT, ())
        try:
            self._authority.check(caller.account, target.namespace, target.service, name, scopes)
        except errors.Unauthorized as error:
            if caller.refusal:
                raise errors.Unauthorized(caller.refusal, id=error.id) from None
            raise
        return self._authority.travelling(caller.account, caller.token, target.service)

    def stands(
        self, target: Target, caller: Caller, end: Callable[[errors.Error], None], is_over: Callable[[], bool]
    ) -> None:
        """A stream was authorised: it ends when that is taken back. See `Authority.stands`."""
        endpoint = target.endpoint
        if endpoint is not None:
            address = (target.namespace, target.service, endpoint.name)
            self._authority.stands(caller.account, caller.token, *address, end, is_over, endpoint.scopes)

    def callable_of(self, account: Account | None, namespace: str, service: ServiceDescription) -> ServiceDescription:
        """A service with those of its endpoints that somebody may call."""
        allows, name = self._authority.allows, service.name
        endpoints = tuple(one for one in service.endpoints if allows(account, namespace, name, one.name, one.scopes))
        return msgspec.structs.replace(service, endpoints=endpoints)

    def rules(self, namespace: str) -> object:
        """What stands for the rules of a namespace as they are now: another object with each change."""
        return self._authority.rules(namespace)

    def holds(self, request: PlainRequest) -> bool:
        """Whether a request that was authorised before may be made once more; see `authorise` for what it counts.

        It was authorised for one account by one set of rules: with another of either it has to be looked at anew.
        """
        authority = self._authority
        if authority.rules(request.target.namespace) is not request.rules:
            return False
        if request.shown and authority.known(request.shown) is not request.account:
            return False
        try:
            authority.admit(request.target.namespace)
        except errors.Error:
            return False
        return True

    def means_somebody(self, authorization: bytes) -> bool:
        """Whether a header `Authorization` is that of an account of this platform, as far as that was looked at already."""
        caller = self.known(authorization)
        return caller is not None and caller.account is not None

    def is_admin(self, authorization: bytes | None) -> bool:
        """Whether a header `Authorization` is that of somebody who operates the platform."""
        caller = self.known(authorization)
        return caller is not None and caller.account is not None and caller.account.is_platform_admin

    # -- in which namespace --------------------------------------------------------------------------------------------

    def namespace(self, head: Head, caller: Caller) -> str:
        """The namespace in which the request asks: that of the account, else the one that is named, else that of the host.

        Raises:
            Forbidden: another than the account's is named, and it does not operate the platform; or the platform's own.
            NotFound: there is no such namespace.
        """
        found = self._namespace(head, caller)
        if self._tenants is not None and found != DEFAULT_NAMESPACE:
            self._tenants.check(found)
        return found

    def _namespace(self, head: Head, caller: Caller) -> str:
        home = self.home(head.fields.get(b"host"))
        named = head.text(b"micro-namespace") or (home if home != DEFAULT_NAMESPACE else "")
        account = caller.account
        if account is None or account.namespace == PLATFORM_NAMESPACE:
            return named or home
        if named and named != account.namespace:
            raise errors.Forbidden(f'the namespace "{named}" is not that of your account', id="gateway")
        return account.namespace


def _token(authorization: bytes) -> str:
    """The token that a header carries: as `Bearer`, or as the password of `Basic`; nothing where it is neither."""
    scheme, _, value = authorization.decode("latin-1").partition(" ")
    scheme = scheme.lower()
    if scheme == "bearer":
        return value.strip()
    if scheme == "basic":
        try:
            return base64.b64decode(value.strip(), validate=True).decode("latin-1").partition(":")[2]
        except ValueError:
            return ""
    return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
