"""What stands in for the parts of `auth` that are put in its place."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from microlite.core import errors
from microlite.core.auth.api import Identity
from microlite.core.context import PLATFORM_ADMIN, PLATFORM_NAMESPACE
from microlite.core.policy.rules import Rule, RuleSet

if TYPE_CHECKING:
    from microlite.core.context import Account


class Standing:
    """Knows the admin's token, and the rule that grants everything."""

    def __init__(self, admin_token: str) -> None:
        self._token = admin_token.encode()

    def known(self, token: str) -> Account | None:
        """See `Tokens`."""
        return PLATFORM_ADMIN if hmac.compare_digest(token.encode(), self._token) else None

    async def authenticate(self, token: str) -> Identity:
        """See `Tokens`."""
        if self.known(token) is None:
            raise errors.Unauthorized("the token is not valid")
        return Identity(account="admin", namespace=PLATFORM_NAMESPACE, scopes=("admin",), expires=1e12)

    def token_for(self, account: Account, token: str = "") -> str:
        """See `Tokens`."""
        return ""

    def rules(self, namespace: str) -> RuleSet:
        """See `Rules`."""
        return RuleSet(namespace, [Rule(id="default")])

    def admit(self, namespace: str) -> None:
        """See `Tenants`."""
