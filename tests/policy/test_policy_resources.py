"""Rules about what the built-in services keep: open until a rule denies, and a service's own database is its own."""

from __future__ import annotations

import timeit
from types import SimpleNamespace
from typing import Any

import pytest

from microlite.core import errors
from microlite.core.context import PLATFORM_ADMIN, Account
from microlite.core.policy.decision import check_resource, explain_resource
from microlite.core.policy.permits import Permits, open_rules
from microlite.core.policy.rules import Access, Resource, ResourceType, Rule, RuleSet

ANN = Account(id="ann", namespace="shop", scopes=("clerk",))
ADMIN = Account(id="root", namespace="shop", scopes=("admin",))
ORDERS = Account(id="orders", type="service", namespace="shop", scopes=("service",))
BILLING = Account(id="billing", type="service", namespace="shop", scopes=("service",))
IMPOSTOR = Account(id="orders", namespace="shop", scopes=("clerk",))
FOREIGN = Account(id="orders", type="service", namespace="other", scopes=("service",))


def rule(id: str, scope: str, resource: str, access: Access = Access.DENIED, priority: int = 0) -> Rule:
    kind, name, endpoint = resource.split(":")
    return Rule(
        id=id,
        scope=scope,
        resource=Resource(type=kind, name=name, endpoint=endpoint),
        access=access,
        priority=priority,
    )


CLOSED = RuleSet(
    "shop",
    (
        Rule(id="default"),
        rule("own-only", "service", "table:*:*", priority=1),
        rule("shared", "service", "table:shared/*:read", Access.GRANTED, priority=2),
        rule("no-clerks", "clerk", "topic:payroll.*:*"),
        rule("secret", "", "config:keys.*:read"),
    ),
)


@pytest.mark.parametrize(
    ("account", "type", "name", "action", "granted"),
    [
        (ORDERS, "table", "orders/default", "write", True),  # its own, whatever the rules say
        (ORDERS, "table", "orders/blobs/a.pdf", "delete", True),
        (ORDERS, "table", "orders2/default", "read", False),  # begins alike, and is another
        (ORDERS, "table", "billing/default", "read", False),
        (ORDERS, "table", "shared/prices", "read", True),
        (ORDERS, "table", "shared/prices", "write", False),
        (IMPOSTOR, "table", "orders/default", "read", True),  # a user: the rule is about services
        (FOREIGN, "table", "orders/default", "read", True),  # no rule of this namespace applies; its role keeps it out
        (ANN, "topic", "payroll.june", "publish", False),
        (ANN, "topic", "payrolls", "publish", True),
        (ADMIN, "topic", "payroll.june", "publish", True),
        (ADMIN, "config", "keys.mail", "read", False),
        (ADMIN, "config", "keys.mail", "write", True),
        (PLATFORM_ADMIN, "config", "keys.mail", "read", True),
        (None, "config", "keys.mail", "read", False),
        (None, "config", "limits.max", "read", True),
    ],
)
def test_what_the_rules_say(account: Account | None, type: str, name: str, action: str, granted: bool) -> None:
    """Check, allows and explain agree, and a denial names the rule."""
    decision = explain_resource(CLOSED, account, ResourceType(type), name, action)
    assert decision.granted is granted
    asking: Any = SimpleNamespace(account=account, namespace="shop")
    permits = Permits(lambda _: CLOSED)
    assert permits.allows(asking, ResourceType(type), name, action) is granted
    if granted:
        permits.check(asking, ResourceType(type), name, action)
        check_resource(CLOSED, account, ResourceType(type), name, action)
    else:
        with pytest.raises(errors.Forbidden, match="the rule '"):
            permits.check(asking, ResourceType(type), name, action)


def test_a_service_of_another_namespace_has_no_database_here() -> None:
    """The exception is for the namespace's own services."""
    closed = RuleSet("shop", (rule("closed", "", "table:*:*"),))
    with pytest.raises(errors.Forbidden):
        check_resource(closed, FOREIGN, ResourceType.TABLE, "orders/default", "read")
    check_resource(closed, ORDERS, ResourceType.TABLE, "orders/default", "read")


def test_only_denials_make_a_type_worth_asking_about() -> None:
    """A rule that grants everything leaves all open, and asks nothing of anybody."""
    granting = RuleSet("shop", (rule("all", "", "*:*:*", Access.GRANTED),))
    assert not granting.guarded
    assert RuleSet("shop", (rule("none", "guest", "*:*:*"),)).guarded == frozenset(ResourceType)
    assert CLOSED.guarded == {ResourceType.TABLE, ResourceType.TOPIC, ResourceType.CONFIG}


def test_a_check_costs_next_to_nothing_without_rules_about_data() -> None:
    """Far below the time of a call: a generous bound, for a machine under load."""
    permits = Permits(open_rules)
    asking: Any = SimpleNamespace(account=ANN, namespace="shop")
    check, topic = permits.check, ResourceType.TOPIC
    count = 20_000
    best = min(timeit.repeat(lambda: check(asking, topic, "orders.created", "publish"), number=count, repeat=5))
    assert best / count < 2e-6


def test_a_sieve_is_there_only_where_something_is_denied() -> None:
    """Whoever lists many things pays for rules only where there are some."""
    asking: Any = SimpleNamespace(account=ADMIN, namespace="shop")
    assert Permits(open_rules).sieve(asking, ResourceType.CONFIG, "read") is None
    sieve = Permits(lambda _: CLOSED).sieve(asking, ResourceType.CONFIG, "read")
    assert sieve is not None
    assert [name for name in ("keys.mail", "limits.max") if sieve(name)] == ["limits.max"]
