"""Whether a call is allowed: the least role of the endpoint, the rules of its namespace, and the scopes that it demands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from microlite.core import errors
from microlite.core.description.naming import BUILT_IN_SERVICES
from microlite.core.policy.rules import ResourceType, Rule

if TYPE_CHECKING:
    from collections.abc import Collection

    from microlite.core.context import Account
    from microlite.core.description.structs import Role
    from microlite.core.policy.rules import RuleSet


class Decision(msgspec.Struct, frozen=True):
    """Whether a call is allowed, and why.

    Attributes:
        granted: whether it is.
        reason: in words.
        rule: the rule that decided, if it was one.
    """

    granted: bool
    reason: str
    rule: Rule | None = None


def check_call(
    rules: RuleSet, account: Account | None, service: str, endpoint: str, role: Role | None, scopes: Collection[str]
) -> None:
    """Let a call pass, or say why not. The cheap form of `explain_call`.

    Args:
        rules: of the namespace of the call.
        account: who calls; None for nobody.
        service: as it is registered.
        endpoint: by its full name.
        role: the least role, of a built-in endpoint; None of a user's.
        scopes: that the endpoint demands.

    Raises:
        Unauthorized: it wants an account, and there is none.
        Forbidden: this account may not.
    """
    if account is not None and account.is_platform_admin:
        return
    if (role is None or role.admits(account, rules.namespace)) and _carries(account, scopes, rules.namespace):
        verdict = rules.decide(account, "service", service, endpoint, otherwise=role is not None)
        if verdict.granted:
            return
    decision = explain_call(rules, account, service, endpoint, role, scopes)
    if account is None:
        raise errors.Unauthorized(f"{decision.reason}; log in, or send a token", id=f"{service}.{endpoint}")
    raise errors.Forbidden(decision.reason, id=f"{service}.{endpoint}")


def explain_call(
    rules: RuleSet, account: Account | None, service: str, endpoint: str, role: Role | None, scopes: Collection[str]
) -> Decision:
    """Whether a call would pass, and what decided. See `check_call`."""
    who = account.id if account is not None else "nobody"
    target = f"{service}.{endpoint}"
    if account is not None and account.is_platform_admin:
        return Decision(True, f"{who} operates the platform, whom no rule keeps out")
    if role is not None and not role.admits(account, rules.namespace):
        if account is None:
            return Decision(False, f"{target} needs an account")
        return Decision(False, refusal(role, account, rules.namespace, target))
    missing = [scope for scope in scopes if not _carries(account, (scope,), rules.namespace)]
    if missing:
        lack = f", which {who} lacks" if account is not None else ""
        return Decision(False, f"{target} demands the scope {missing[0]!r}{lack}")
    verdict = rules.decide(account, ResourceType.SERVICE, service, endpoint, otherwise=role is not None)
    if verdict.rule is not None:
        word = "grants" if verdict.granted else "denies"
        return Decision(verdict.granted, f"the rule {verdict.rule.id!r} {word} {target} to {who}", verdict.rule)
    if verdict.granted:
        return Decision(True, f"no rule speaks of {target}, which is built in: its least role decides")
    return Decision(False, f"no rule grants {target} to {who}")


def refusal(role: Role, account: Account, namespace: str, target: str) -> str:
    """Why an account that a least role does not admit may not call something."""
    if not account.belongs_to(namespace):
        return f"{account.id} is an account of another namespace than {namespace!r}"
    return f"{target} is for {role.people}, and {account.id} is none of them"


def check_resource(rules: RuleSet, account: Account | None, type: str, name: str, action: str) -> None:
    """Let something be done to what a built-in service keeps, or say why not. The cheap form of `explain_resource`.

    Args:
        rules: of the namespace.
        account: who does it; None for nobody.
        type: what it is.
        name: of the topic, table (`database/table`), blob (`database/blobs/name`) or configuration (its canonical path).
        action: as `ResourceType` lists them.

    Raises:
        Forbidden: a rule denies it.
    """
    if not allows_resource(rules, account, type, name, action):
        decision = explain_resource(rules, account, type, name, action)
        raise errors.Forbidden(decision.reason)


def allows_resource(rules: RuleSet, account: Account | None, type: str, name: str, action: str) -> bool:
    """Whether `check_resource` would let it pass."""
    return (
        type not in rules.guarded
        or (account is not None and (account.is_platform_admin or _is_own(rules, account, type, name)))
        or rules.decide(account, type, name, action, otherwise=True).granted
    )


def explain_resource(rules: RuleSet, account: Account | None, type: str, name: str, action: str) -> Decision:
    """Whether something may be done to what a built-in service keeps, and what decided. See `check_resource`."""
    who = account.id if account is not None else "nobody"
    target = f"{type}:{name}:{action}"
    if account is not None and account.is_platform_admin:
        return Decision(True, f"{who} operates the platform, whom no rule keeps out")
    if account is not None and _is_own(rules, account, type, name):
        return Decision(True, f"the database is that of {who} itself, which no rule keeps out of it")
    verdict = rules.decide(account, type, name, action, otherwise=True)
    if verdict.rule is None:
        return Decision(True, f"no rule speaks of {target}, which is open to whoever may call its service")
    word = "grants" if verdict.granted else "denies"
    return Decision(verdict.granted, f"the rule {verdict.rule.id!r} {word} {target} to {who}", verdict.rule)


def _is_own(rules: RuleSet, account: Account, type: str, name: str) -> bool:
    """Whether it lies in the database of the service that acts."""
    return (
        type == ResourceType.TABLE
        and account.is_service
        and account.namespace == rules.namespace
        and name.startswith(f"{account.id}/")
    )


def is_built_in(service: str) -> bool:
    """Whether a service ships with the platform."""
    return service in BUILT_IN_SERVICES


def _carries(account: Account | None, scopes: Collection[str], namespace: str) -> bool:
    if not scopes:
        return True
    return account is not None and account.belongs_to(namespace) and all(scope in account.scopes for scope in scopes)
