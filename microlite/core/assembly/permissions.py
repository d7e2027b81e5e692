"""What an account may do with the built-in services, for those who offer only that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microlite.core import errors
from microlite.core.policy.decision import explain_call
from microlite.core.policy.rules import RuleSet

if TYPE_CHECKING:
    from microlite.core.context import Account
    from microlite.core.registry.registry import Registry


async def nobody_logs_in(namespace: str, account: str, secret: str, address: str) -> Account:
    raise errors.Unauthorized("no")


class Permissions:
    """Decides without a call.

    Args:
        registry: has the descriptions.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def permits(self, account: Account | None, namespace: str, service: str, endpoint: str) -> bool:
        """Whether an account may call a built-in endpoint in a namespace; one that there is not, nobody may."""
        description = self._registry.built_in(service)
        for one in description.endpoints if description is not None else ():
            if one.name == endpoint:
                rules = RuleSet(namespace, ())
                return explain_call(rules, account, service, endpoint, one.role, one.scopes).granted
        return False
