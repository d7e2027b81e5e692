"""An authority for the tests of the gateway: it knows one token, and the rule that grants everything."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from microlite.core import errors
from microlite.core.context import PLATFORM_ADMIN, PLATFORM_NAMESPACE
from microlite.core.policy.identity import Identity
from microlite.core.policy.permits import open_rules

if TYPE_CHECKING:
    from microlite.core.context import Account
    from microlite.core.policy.rules import RuleSet


class Standing:
    """Knows the admin's token, and the rule that grants everything."""

    def __init__(self, admin_token: str) -> None:
        self._token = admin_token.encode()

    def known(self, token: str) -> Account | None:
        """See `authority.Tokens`."""
        return PLATFORM_ADMIN if hmac.compare_digest(token.encode(), self._token) else None

    async def authenticate(self, token: str) -> Identity:
        """See `authority.Tokens`."""
        if self.known(token) is None:
            raise errors.Unauthorized("the token is not valid")
        return Identity(account="admin", namespace=PLATFORM_NAMESPACE, scopes=("admin",), expires=1e12)

    def marks_of(self, account: Account, token: str = "") -> tuple[str, ...]:
        """None: nothing is revoked."""
        return ()

    def token_for(self, account: Account, token: str = "") -> str:
        """See `authority.Tokens`."""
        return ""

    def rules(self, namespace: str) -> RuleSet:
        """See `authority.Rules`."""
        return open_rules(namespace)

    def admit(self, namespace: str) -> None:
        """See `authority.Tenants`."""
