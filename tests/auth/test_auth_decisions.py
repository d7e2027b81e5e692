"""What rules decide: micro's own cases, and a plain model that always agrees."""

from __future__ import annotations

import time
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microlite.core import errors
from microlite.core.context import PLATFORM_ADMIN, PLATFORM_NAMESPACE, SERVICE, Account
from microlite.core.description.structs import Role
from microlite.core.policy.decision import check_call, check_resource, explain_call
from microlite.core.policy.rules import Access, Resource, ResourceType, Rule, RuleSet

HOME = "shop"
NOBODY = None
SOMEBODY = Account(id="ann", namespace=HOME)
BUYER = Account(id="bob", namespace=HOME, scopes=("buyer",))
STRANGER = Account(id="eve", namespace="elsewhere", scopes=("buyer",))
ALL = Resource(type="*")
CREATE = Resource(name="orders", endpoint="create")


def rule(scope: str, resource: Resource, access: Access = Access.GRANTED, priority: int = 0, id: str = "") -> Rule:
    return Rule(
        id=id or f"{scope}{resource}{access}{priority}",
        scope=scope,
        resource=resource,
        access=access,
        priority=priority,
    )


class Case(NamedTuple):
    """Whether somebody may call `orders.create` (or another endpoint of it) under some rules."""

    name: str
    rules: tuple[Rule, ...]
    account: Account | None
    granted: bool
    endpoint: str = "create"


DENY = Access.DENIED

CASES = [
    Case("without rules nobody may do anything", (), NOBODY, False),
    Case("a public rule for all is for accounts", (rule("", ALL),), SOMEBODY, True),
    Case("a public rule for all is for nobody in particular too", (rule("", ALL),), NOBODY, True),
    Case("a rule for accounts takes any of the namespace", (rule("*", ALL),), SOMEBODY, True),
    Case("a rule for accounts does not take nobody", (rule("*", ALL),), NOBODY, False),
    Case("a rule for a service covers its endpoints", (rule("*", Resource(name="orders")),), SOMEBODY, True),
    Case("a rule for another service does not", (rule("*", Resource(name="stock")),), SOMEBODY, False),
    Case("an account with the scope may", (rule("buyer", CREATE),), BUYER, True),
    Case("an account with another scope may not", (rule("seller", CREATE),), BUYER, False),
    Case("what is denied to accounts is denied", (rule("*", ALL, DENY),), SOMEBODY, False),
    Case("what is denied to accounts is not granted to nobody by that", (rule("*", ALL, DENY),), NOBODY, False),
    Case("the higher priority grants", (rule("*", ALL, priority=1), rule("*", ALL, DENY)), SOMEBODY, True),
    Case("the higher priority denies", (rule("*", ALL), rule("*", ALL, DENY, priority=1)), SOMEBODY, False),
    Case("an exact endpoint", (rule("*", Resource(name="orders", endpoint="lines.add")),), SOMEBODY, True, "lines.add"),
    Case("another endpoint", (rule("*", Resource(name="orders", endpoint="else")),), SOMEBODY, False, "lines.add"),
    Case("any endpoint", (rule("*", Resource(name="orders", endpoint="*")),), SOMEBODY, True, "lines.add"),
    Case("those below", (rule("*", Resource(name="orders", endpoint="lines.*")),), SOMEBODY, True, "lines.add"),
    Case("those below another", (rule("*", Resource(name="orders", endpoint="tags.*")),), SOMEBODY, False, "lines.add"),
    Case("an account of another namespace is none of this one", (rule("*", ALL),), STRANGER, False),
    Case("nor is its scope", (rule("buyer", ALL),), STRANGER, False),
    Case("a rule for all namespaces takes it", (rule("+", ALL),), STRANGER, True),
    Case("a rule for all namespaces does not take nobody", (rule("+", ALL),), NOBODY, False),
    Case("a public rule takes it too", (rule("", ALL),), STRANGER, True),
    Case("at equal priority a denial wins", (rule("*", ALL), rule("*", ALL, DENY)), SOMEBODY, False),
    Case(
        "a denial for a scope leaves others alone",
        (rule("", ALL), rule("buyer", CREATE, DENY, priority=1)),
        SOMEBODY,
        True,
    ),
    Case("and takes those with it", (rule("", ALL), rule("buyer", CREATE, DENY, priority=1)), BUYER, False),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_micro_decides_so_and_we_do(case: Case) -> None:
    """A table of the decisions that micro's own test of rules makes, and those next to them."""
    rules = RuleSet(HOME, case.rules)
    if case.granted:
        check_call(rules, case.account, "orders", case.endpoint, None, ())
    else:
        wanted = errors.Unauthorized if case.account is None else errors.Forbidden
        with pytest.raises(wanted):
            check_call(rules, case.account, "orders", case.endpoint, None, ())
    decision = explain_call(rules, case.account, "orders", case.endpoint, None, ())
    assert decision.granted is case.granted


# -- a plain model -----------------------------------------------------------------------------------------------------

SCOPES = ("admin", "buyer", "seller")
NAMES = ("orders", "orders-old", "stock")
ENDPOINTS = ("create", "lines.add", "lines", "list")


def patterns(words: tuple[str, ...]) -> st.SearchStrategy[str]:
    prefixes = [word[:size] + "*" for word in words for size in range(len(word) + 1)]
    return st.sampled_from([*words, *prefixes])


resources = st.builds(
    Resource,
    type=st.sampled_from(["*", "service", "topic", "serv*"]),
    name=patterns(NAMES),
    endpoint=patterns(ENDPOINTS),
)
rules = st.lists(
    st.builds(
        Rule,
        id=st.text("abc", min_size=1, max_size=3),
        scope=st.sampled_from(["", "*", "+", *SCOPES]),
        resource=resources,
        access=st.sampled_from(Access),
        priority=st.integers(-2, 2),
    ),
    max_size=8,
)
accounts = st.none() | st.builds(
    Account,
    id=st.just("x"),
    namespace=st.sampled_from([HOME, "elsewhere", PLATFORM_NAMESPACE]),
    scopes=st.lists(st.sampled_from(SCOPES), unique=True).map(tuple),
)


def model(all_rules: list[Rule], account: Account | None, type: str, name: str, endpoint: str, otherwise: bool) -> bool:
    """The same in the plainest words."""

    def fits(pattern: str, word: str) -> bool:
        return word.startswith(pattern.removesuffix("*")) if "*" in pattern else pattern == word

    applying = []
    for one in all_rules:
        what = one.resource
        if not (fits(what.type, type) and fits(what.name, name) and fits(what.endpoint, endpoint)):
            continue
        if one.scope == "":
            applies = True
        elif account is None:
            applies = False
        elif one.scope == "+":
            applies = True
        else:
            ours = account.namespace == HOME or account.namespace == PLATFORM_NAMESPACE
            applies = ours and (one.scope == "*" or one.scope in account.scopes)
        if applies:
            applying.append(one)
    if not applying:
        return otherwise
    highest = max(one.priority for one in applying)
    return all(one.access is Access.GRANTED for one in applying if one.priority == highest)


@given(
    rules,
    st.lists(
        st.tuples(
            accounts,
            st.sampled_from(["service", "topic"]),
            st.sampled_from(NAMES),
            st.sampled_from(ENDPOINTS),
            st.booleans(),
        ),
        max_size=8,
    ),
)
def test_the_decision_is_that_of_a_plain_model(
    all_rules: list[Rule], questions: list[tuple[Account | None, str, str, str, bool]]
) -> None:
    """Also when it is asked again, and from memory."""
    ruled = RuleSet(HOME, all_rules)
    for account, kind, name, endpoint, otherwise in [*questions, *questions]:
        expected = model(all_rules, account, kind, name, endpoint, otherwise)
        verdict = ruled.decide(account, kind, name, endpoint, otherwise=otherwise)
        assert verdict.granted is expected
        applicable = list(ruled.applicable(account, kind, name, endpoint))
        assert verdict.rule == (applicable[0] if applicable else None)


@given(rules)
def test_the_order_in_which_rules_were_made_says_nothing(all_rules: list[Rule]) -> None:
    forwards, backwards = RuleSet(HOME, all_rules), RuleSet(HOME, reversed(all_rules))
    for account in (NOBODY, SOMEBODY, BUYER, STRANGER):
        for name in NAMES:
            one = forwards.decide(account, "service", name, "create", otherwise=False)
            assert one.granted is backwards.decide(account, "service", name, "create", otherwise=False).granted


# -- roles and scopes beside rules -------------------------------------------------------------------------------------

ADMIN = Account(id="root", namespace=HOME, scopes=("admin",))
SERVICE_ITSELF = Account(id="mailer", type=SERVICE, namespace=HOME, scopes=("service",))
FOREIGN_ADMIN = Account(id="boss", namespace="elsewhere", scopes=("admin",))

ROLES = {
    Role.PUBLIC: {"nobody", "foreign", "account", "service", "admin", "platform"},
    Role.ACCOUNT: {"account", "service", "admin", "platform"},
    Role.SERVICE: {"service", "admin", "platform"},
    Role.ADMIN: {"admin", "platform"},
    Role.PLATFORM: {"platform"},
}
WHO = {
    "nobody": NOBODY,
    "foreign": FOREIGN_ADMIN,
    "account": SOMEBODY,
    "service": SERVICE_ITSELF,
    "admin": ADMIN,
    "platform": PLATFORM_ADMIN,
}


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("who", WHO)
def test_a_rule_narrows_a_least_role_and_never_widens_it(role: Role, who: str) -> None:
    account = WHO[who]
    for granted in ((), (rule("", ALL, priority=9),)):
        decision = explain_call(RuleSet(HOME, granted), account, "store", "write", role, ())
        assert decision.granted is (who in ROLES[role]), decision.reason
    denied = explain_call(RuleSet(HOME, [rule("", ALL, DENY)]), account, "store", "write", role, ())
    assert denied.granted is (who == "platform")


def test_a_scope_is_demanded_of_the_account_whatever_rules_grant() -> None:
    open_to_all = RuleSet(HOME, [rule("", ALL)])
    check_call(open_to_all, BUYER, "orders", "create", None, ("buyer",))
    for account in (SOMEBODY, STRANGER, ADMIN):
        with pytest.raises(errors.Forbidden, match="demands the scope 'buyer'"):
            check_call(open_to_all, account, "orders", "create", None, ("buyer",))
    with pytest.raises(errors.Unauthorized):
        check_call(open_to_all, NOBODY, "orders", "create", None, ("buyer",))


def test_what_services_keep_is_open_until_a_rule_speaks_of_it() -> None:
    table = Resource(type="table", name="orders/orders", endpoint="write")
    check_resource(RuleSet(HOME, []), SOMEBODY, ResourceType.TABLE, "orders/orders", "write")
    ruled = RuleSet(HOME, [rule("*", table, DENY)])
    check_resource(ruled, SOMEBODY, ResourceType.TABLE, "orders/orders", "read")
    with pytest.raises(errors.Forbidden, match="the rule"):
        check_resource(ruled, SOMEBODY, ResourceType.TABLE, "orders/orders", "write")


def test_a_decision_that_was_made_before_costs_next_to_nothing() -> None:
    """Under 5 µs is the promise; a tenth of that is usual, so that a busy machine does not fail here."""
    ruled = RuleSet(HOME, [rule(f"scope{number}", CREATE, DENY, number) for number in range(500)] + [rule("", ALL)])
    ruled.decide(BUYER, "service", "orders", "create", otherwise=False)
    best = 1.0
    for _ in range(20):
        begun = time.perf_counter()
        for _ in range(1_000):
            ruled.decide(BUYER, "service", "orders", "create", otherwise=False)
        best = min(best, (time.perf_counter() - begun) / 1_000)
    assert best < 5e-6
