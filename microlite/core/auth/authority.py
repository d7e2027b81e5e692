"""The decision about a call, the same for gateway, wire and dashboard: who asks, in which namespace, and whether he may."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final, Protocol

from microlite.core import errors
from microlite.core.auth.standing import Standing, Stream
from microlite.core.context import PLATFORM_NAMESPACE
from microlite.core.description.naming import endpoint_of
from microlite.core.description.structs import Role
from microlite.core.policy.decision import Decision, check_call, explain_call, is_built_in

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from microlite.core.context import Account
    from microlite.core.description.structs import ServiceDescription
    from microlite.core.policy.identity import Identity
    from microlite.core.policy.rules import RuleSet

resolved = functools.lru_cache(maxsize=4096)(endpoint_of)
"""The full name of an endpoint, by service and whatever form of its name the caller has used."""

_SIGNED: Final = "ey"
"""What a signed token begins with, and no other kind does."""


class Tokens(Protocol):
    """Tells whom a token stands for."""

    def known(self, token: str) -> Account | None:
        """Whom, if it was looked at before and still holds."""
        ...

    async def authenticate(self, token: str) -> Identity:
        """Whom, whatever it takes to find out; from then on it is known.

        Raises:
            Unauthorized: it is none of this platform's, or holds no more.
        """
        ...

    def marks_of(self, account: Account, token: str = "") -> tuple[str, ...]:
        """What ends, when it is revoked, what was begun as this account by a token that it has shown."""
        ...

    def token_for(self, account: Account, token: str = "") -> str:
        """A token that stands for this account for a while, in place of what it has shown, to travel with its calls."""
        ...


class Rules(Protocol):
    """Has the rules of each namespace at hand."""

    def rules(self, namespace: str) -> RuleSet:
        """The rules as they are now."""
        ...


class Tenants(Protocol):
    """Knows which namespaces there are, and what they may use."""

    def admit(self, namespace: str) -> None:
        """Count a call of a namespace.

        Raises:
            NotFound: there is no such namespace.
            TooManyRequests: it has made as many calls as it may.
        """
        ...


class Authority:
    """Decides about calls.

    Args:
        tokens: tell who asks.
        book: has the rules.
        built_in: the description of a built-in service by its name; None for all others.
        tenants: know the namespaces.
    """

    def __init__(
        self, tokens: Tokens, book: Rules, built_in: Callable[[str], ServiceDescription | None], tenants: Tenants
    ) -> None:
        self._book = book
        self._built_in = built_in
        self._tenants = tenants
        self._roles: dict[str, dict[str, Role]] = {}
        self.tokens = tokens
        self.known = tokens.known
        self.standing = Standing(self._check)

    def check(
        self, account: Account | None, namespace: str, service: str, endpoint: str, scopes: Collection[str] = ()
    ) -> None:
        """Let a call pass, or say why not.

        Args:
            account: who asks; None for nobody.
            namespace: of the call.
            service: as it is registered.
            endpoint: by its full name.
            scopes: that the endpoint demands, of a user's service. A node demands them once more.

        Raises:
            NotFound: there is no such namespace.
            TooManyRequests: the namespace has made as many calls as it may.
            Unauthorized: it wants an account, and there is none.
            Forbidden: this account may not.
        """
        if namespace == PLATFORM_NAMESPACE:
            self._check_platform(account, service)
        else:
            self._tenants.admit(namespace)
        self._check(account, namespace, service, endpoint, scopes)

    def _check(
        self, account: Account | None, namespace: str, service: str, endpoint: str, scopes: Collection[str]
    ) -> None:
        check_call(self._book.rules(namespace), account, service, endpoint, self.role(service, endpoint), scopes)

    def stands(
        self,
        account: Account | None,
        token: str,
        namespace: str,
        service: str,
        endpoint: str,
        end: Callable[[errors.Error], None],
        is_over: Callable[[], bool],
        scopes: Collection[str] = (),
    ) -> None:
        """A stream was allowed: it ends when that is taken back. See `check` for whose it is.

        Args:
            token: that was shown; empty where it was none: then the connection speaks for itself, and is cut off itself.
            end: ends it from outside.
            is_over: whether it has ended.
        """
        marks = self.tokens.marks_of(account, token) if account is not None and token else ()
        self.standing.add(Stream(account, marks, namespace, service, endpoint, scopes, end, is_over))

    def allows(
        self, account: Account | None, namespace: str, service: str, endpoint: str, scopes: Collection[str] = ()
    ) -> bool:
        """Whether a call would pass; nothing is counted."""
        return self.explain(account, namespace, service, endpoint, scopes).granted

    def explain(
        self, account: Account | None, namespace: str, service: str, endpoint: str, scopes: Collection[str] = ()
    ) -> Decision:
        """Whether a call would pass, and what decides that."""
        role = self.role(service, endpoint)
        return explain_call(self._book.rules(namespace), account, service, endpoint, role, scopes)

    def rules(self, namespace: str) -> RuleSet:
        """The rules of a namespace as they are now."""
        return self._book.rules(namespace)

    def role(self, service: str, endpoint: str) -> Role | None:
        """The least role of a built-in endpoint; None for a user's. One that is not there wants what `ADMIN` wants."""
        roles = self._roles.get(service)
        if roles is None:
            description = self._built_in(service)
            if description is None:
                return None
            roles = self._roles[service] = {one.name: one.role for one in description.endpoints}
        role = roles.get(endpoint)
        return Role.ADMIN if role is None else role

    def travelling(self, account: Account | None, token: str, service: str) -> str:
        """The token that goes on with a call: the caller's own, if any node can have it looked at, else one in its place.

        None goes to a built-in service, which shows it to nobody; but `auth` is told what was shown.
        """
        if account is None or (is_built_in(service) and not (service == "auth" and token)):
            return ""
        return token if token.startswith(_SIGNED) else self.tokens.token_for(account, token)

    def admit(self, namespace: str) -> None:
        """Count one more call that is known to be allowed; see `check`.

        Raises:
            NotFound: there is no such namespace any more.
            TooManyRequests: it has made as many calls as it may.
        """
        if namespace != PLATFORM_NAMESPACE:
            self._tenants.admit(namespace)

    def _check_platform(self, account: Account | None, service: str) -> None:
        if service != "auth":
            raise errors.Forbidden(
                f"the namespace {PLATFORM_NAMESPACE!r} is the platform's own: it has accounts, and nothing else; "
                "name another one, such as default"
            )
