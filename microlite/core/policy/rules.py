"""Rules, and what they say about one call."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from microlite.core.context import Account

ANYBODY: Final = ""
"""The scope of a rule that applies to everybody, without an account too."""

ANY_ACCOUNT: Final = "*"
"""The scope of a rule that applies to all accounts of the namespace."""

ANY_NAMESPACE: Final = "+"
"""The scope of a rule that applies to all accounts of all namespaces."""

DEFAULT_RULE: Final = "default"
"""The id of the rule that each namespace begins with: everything is granted to everybody."""

MAX_DECISIONS: Final = 16_384
"""Decisions that a set of rules remembers before it begins anew."""


class Access(StrEnum):
    """What a rule says."""

    GRANTED = "granted"
    DENIED = "denied"


class ResourceType(StrEnum):
    """What can be reached.

    Of a `service`, name and endpoint are those of a call. The others are what the built-in services keep: they are open
    as far as the services are, until a rule speaks of them.
    """

    SERVICE = "service"
    TOPIC = "topic"
    """Of events and of broker; the endpoints are `publish`, `subscribe` and `manage`: its settings, groups, dead letters."""
    TABLE = "table"
    """Of the store, by `database/table`, a blob by `database/blobs/name`; the endpoints are `read`, `write` and `delete`."""
    CONFIG = "config"
    """By path; the endpoints are `read` and `write`."""


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule is about. In each part `*` at the end stands for anything that follows.

    Attributes:
        type: a `ResourceType`, or `*` for all.
        name: of the service, topic or table.
        endpoint: what is done there.
    """

    type: str = ResourceType.SERVICE
    name: str = "*"
    endpoint: str = "*"

    def __str__(self) -> str:
        return f"{self.type}:{self.name}:{self.endpoint}"

    def covers(self, type: str, name: str, endpoint: str) -> bool:
        """Whether this is about that one."""
        return _matches(self.type, type) and _matches(self.name, name) and _matches(self.endpoint, endpoint)


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule of a namespace.

    Attributes:
        scope: of the accounts that it applies to: nothing for everybody, `*` for all of this namespace, `+` for all of any
            namespace, else the accounts of this namespace that carry that scope.
        priority: of the rules that apply, the highest decides; of equal ones, a denial.
        created: when, in seconds since the Unix epoch.
        created_by: the account that has made it.
    """

    id: str
    scope: str = ANYBODY
    resource: Resource = Resource()
    access: Access = Access.GRANTED
    priority: int = 0
    created: float = 0.0
    created_by: str = ""

    def applies_to(self, account: Account | None, namespace: str) -> bool:
        """Whether it applies to this caller, in the rule's namespace."""
        if self.scope == ANYBODY:
            return True
        if account is None:
            return False
        if self.scope == ANY_NAMESPACE:
            return True
        return account.belongs_to(namespace) and self.scope in (ANY_ACCOUNT, *account.scopes)


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """What a node needs in order to decide by itself about calls on direct connections.

    Attributes:
        version: grows with each change; a node confirms that it decides by it.
        rules: of its namespace.
        revoked: accounts, families of tokens and tickets that hold no more although they have not expired.
    """

    version: int
    rules: tuple[Rule, ...]
    revoked: tuple[str, ...] = ()


class Verdict(msgspec.Struct, frozen=True):
    """What the rules say.

    Attributes:
        granted: whether it is allowed.
        rule: the rule that decided; None where no rule applies.
    """

    granted: bool
    rule: Rule | None = None


class RuleSet:
    """The rules of one namespace, to be asked. Immutable: a changed rule makes another set.

    A decision depends on the namespace and the scopes of an account and on the resource, so that is what it is remembered
    by.

    Args:
        namespace: whose rules they are.
        rules: all of them, in any order.

    Attributes:
        guarded: of what the built-in services keep, the types of which some rule denies something: of all others nothing
            need be asked, since they are open until a rule denies.
    """

    def __init__(self, namespace: str, rules: Iterable[Rule]) -> None:
        self.namespace = namespace
        self.rules = tuple(sorted(rules, key=_rank))
        self.guarded = frozenset(
            kind
            for kind in ResourceType
            if any(rule.access is Access.DENIED and _matches(rule.resource.type, kind) for rule in self.rules)
        )
        self._decisions: dict[tuple[object, ...], Verdict] = {}

    def decide(self, account: Account | None, type: str, name: str, endpoint: str, *, otherwise: bool) -> Verdict:
        """What holds for a call.

        Args:
            otherwise: what holds where no rule applies.
        """
        key: tuple[object, ...]
        if account is None:
            key = (type, name, endpoint, otherwise)
        else:
            key = (account.namespace, account.scopes, type, name, endpoint, otherwise)
        verdict = self._decisions.get(key)
        if verdict is None:
            if len(self._decisions) >= MAX_DECISIONS:
                self._decisions.clear()
            verdict = self._decisions[key] = self._decide(account, type, name, endpoint, otherwise)
        return verdict

    def applicable(self, account: Account | None, type: str, name: str, endpoint: str) -> Iterator[Rule]:
        """The rules that apply to a call, the one that decides first."""
        for rule in self.rules:
            if rule.resource.covers(type, name, endpoint) and rule.applies_to(account, self.namespace):
                yield rule

    def _decide(self, account: Account | None, type: str, name: str, endpoint: str, otherwise: bool) -> Verdict:
        for rule in self.applicable(account, type, name, endpoint):
            return Verdict(rule.access is Access.GRANTED, rule)
        return Verdict(otherwise)


def _rank(rule: Rule) -> tuple[int, bool, str]:
    return (-rule.priority, rule.access is Access.GRANTED, rule.id)


def _matches(pattern: str, value: str) -> bool:
    return value.startswith(pattern[:-1]) if pattern.endswith("*") else pattern == value
