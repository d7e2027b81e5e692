"""What the built-in services ask before they do something to what they keep."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Protocol, TypeAlias

from microlite.core.policy.decision import allows_resource, check_call, check_resource, is_built_in
from microlite.core.policy.rules import DEFAULT_RULE, Resource, ResourceType, Rule, RuleSet

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.core.context import Account
    from microlite.core.description.structs import EndpointDescription


class Asking(Protocol):
    """Who asks: the context of a call is one."""

    @property
    def account(self) -> Account | None:
        """As whom; None for nobody."""
        ...

    @property
    def namespace(self) -> str:
        """About whose things."""
        ...


class Permits:
    """The rules of all namespaces, as the built-in services ask them.

    A stream asks again for each item, so that a changed rule holds for it too.

    Args:
        rules: those of a namespace, as they are now.
    """

    def __init__(self, rules: Callable[[str], RuleSet]) -> None:
        self.rules = rules

    def check(self, asking: Asking, type: ResourceType, name: str, action: str) -> None:
        """Let something be done, or say why not; costs next to nothing where no rule denies anything of this type.

        Raises:
            Forbidden: a rule denies it.
        """
        rules = self.rules(asking.namespace)
        if type in rules.guarded:
            check_resource(rules, asking.account, type, name, action)

    def allows(self, asking: Asking, type: ResourceType, name: str, action: str) -> bool:
        """Whether `check` would let it pass."""
        rules = self.rules(asking.namespace)
        return type not in rules.guarded or allows_resource(rules, asking.account, type, name, action)

    def sieve(self, asking: Asking, type: ResourceType, action: str) -> Sieve | None:
        """Says of each name whether it may be shown; None where all may."""
        if type not in self.rules(asking.namespace).guarded:
            return None
        return lambda name: self.allows(asking, type, name, action)

    def check_call(self, asking: Asking, service: str, description: EndpointDescription) -> None:
        """Let a call pass that does not come through a gate, as one that is made later, or as a part of another.

        Raises:
            Unauthorized: it wants an account, and there is none.
            Forbidden: this account may not.
        """
        role = description.role if is_built_in(service) else None
        rules = self.rules(asking.namespace)
        check_call(rules, asking.account, service, description.name, role, description.scopes)


Sieve: TypeAlias = "Callable[[str], bool]"
"""Says of a name whether it may be shown."""


@lru_cache(maxsize=1_024)
def open_rules(namespace: str) -> RuleSet:
    """The rules of a namespace where nobody has made any: all services are open to everybody."""
    return RuleSet(namespace, (Rule(id=DEFAULT_RULE, resource=Resource()),))
