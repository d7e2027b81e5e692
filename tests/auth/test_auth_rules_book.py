"""Rules of namespaces: kept, changed by admins, in one form of all names, and never so that people are locked out."""

from __future__ import annotations

import asyncio

import pytest

from microlite.core import errors
from microlite.core.auth.policies import PATIENCE
from microlite.core.auth.rule_checks import normal_resource
from microlite.core.context import PLATFORM_ADMIN, PLATFORM_NAMESPACE, SERVICE, Account
from microlite.core.policy.rules import Access, Resource, Rule
from tests.auth.conftest import Place, by

ADMIN = Account(id="root", namespace="shop", scopes=("admin",))
PLAIN = Account(id="ann", namespace="shop")
ALL = Resource(type="*")


async def add(
    place: Place,
    id: str,
    resource: Resource,
    access: Access = Access.DENIED,
    *,
    scope: str = "",
    priority: int = 1,
    actor: Account = ADMIN,
    namespace: str = "shop",
) -> Rule:
    return await place.auth.rules.create(
        by(actor, namespace), actor, id=id, scope=scope, resource=resource, access=access, priority=priority
    )


def ids(place: Place, namespace: str = "shop") -> list[str]:
    return [rule.id for rule in place.auth.rules.rules(namespace).rules]


async def test_a_namespace_begins_with_a_rule_that_grants_everything_to_everybody(place: Place) -> None:
    (rule,) = place.auth.rules.rules("shop").rules
    assert (rule.id, rule.scope, str(rule.resource), rule.access) == ("default", "", "*:*:*", Access.GRANTED)


async def test_a_change_holds_at_once_and_after_a_restart(place: Place) -> None:
    made = await add(place, "close-orders", Resource(name="orders"))
    assert (made.created, made.created_by) == (place.clock.now(), "root")
    assert ids(place) == ["close-orders", "default"]
    await place.again()
    assert ids(place) == ["close-orders", "default"]
    assert ids(place, "other") == ["default"]
    await place.auth.rules.delete(by(ADMIN), ADMIN, "close-orders")
    assert ids(place) == ["default"]


async def test_the_first_rule_can_be_deleted_for_good(place: Place) -> None:
    await place.auth.rules.delete(by(ADMIN), ADMIN, "default")
    assert ids(place) == []
    await place.again()
    assert ids(place) == []


async def test_what_is_deleted_with_its_namespace_begins_anew(place: Place) -> None:
    await add(place, "close-orders", Resource(name="orders"))
    await place.auth.forget_namespace("shop")
    assert ids(place) == ["default"]


async def test_each_change_is_in_the_audit_log(place: Place) -> None:
    from microlite.core.audit.audit import Wanted

    await add(place, "close-orders", Resource(name="orders"))
    await place.auth.rules.delete(by(ADMIN), ADMIN, "close-orders")
    found, _ = await place.audit.page("shop", Wanted())
    assert [(one.act.actor, one.act.action, one.act.resource) for one in found] == [
        ("root", "auth.rules.delete", "rule:close-orders"),
        ("root", "auth.rules.create", "rule:close-orders"),
    ]


@pytest.mark.parametrize(
    "actor",
    [
        PLAIN,
        Account(id="boss", namespace="elsewhere", scopes=("admin",)),
        Account(id="mailer", type=SERVICE, namespace="shop", scopes=("service",)),
        Account(id="watcher", namespace=PLATFORM_NAMESPACE),
        None,
    ],
    ids=lambda actor: actor.id if actor else "nobody",
)
async def test_rules_are_made_by_those_who_operate_the_namespace(place: Place, actor: Account | None) -> None:
    with pytest.raises(errors.Forbidden):
        await place.auth.rules.create(
            by(actor or PLAIN), actor, id="mine", scope="", resource=ALL, access=Access.GRANTED, priority=9
        )
    with pytest.raises(errors.Forbidden):
        await place.auth.rules.delete(by(actor or PLAIN), actor, "default")
    assert ids(place) == ["default"]


async def test_mistakes_are_named(place: Place) -> None:
    await add(place, "one", Resource(name="orders"))
    with pytest.raises(errors.BadRequest, match="already exists"):
        await add(place, "one", Resource(name="orders"))
    with pytest.raises(errors.BadRequest, match="ID missing"):
        await add(place, "", Resource(name="orders"))
    with pytest.raises(errors.BadRequest, match="Resource missing"):
        await add(place, "two", Resource(name=""))
    with pytest.raises(errors.BadRequest, match="priority"):
        await add(place, "two", Resource(name="orders"), priority=10**9)
    with pytest.raises(errors.BadRequest, match="scope"):
        await add(place, "two", Resource(name="orders"), scope="Not A Scope")
    with pytest.raises(errors.NotFound, match="no rule 'two'"):
        await place.auth.rules.delete(by(ADMIN), ADMIN, "two")


NORMAL = [
    ("service:Orders:Orders.Create", "service:orders:create"),
    ("service:orders:orders.create", "service:orders:create"),
    ("service:order_lines:ListItems", "service:order-lines:list-items"),
    ("service:order-lines:list_items", "service:order-lines:list-items"),
    ("service:orders:/comments/*", "service:orders:comments.*"),
    ("service:orders:comments/create", "service:orders:comments.create"),
    ("service:V1.Orders:create", "service:v1.orders:create"),
    ("service:/v1/orders:create", "service:v1.orders:create"),
    ("service:ord*:*", "service:ord*:*"),
    ("SERVICE:orders:*", "service:orders:*"),
    ("*:*:*", "*:*:*"),
    ("topic:orders.Created:publish", "topic:orders.Created:publish"),
    ("table:orders/*:WRITE", "table:orders/*:write"),
]


@pytest.mark.parametrize(("written", "meant"), NORMAL)
def test_names_are_meant_in_the_form_in_which_calls_carry_them(written: str, meant: str) -> None:
    kind, name, endpoint = written.split(":")
    assert str(normal_resource(Resource(type=kind, name=name, endpoint=endpoint))) == meant


@pytest.mark.parametrize(
    "written",
    [
        "services:orders:*",
        "service:or*ders:*",
        "service:orders:cre*ate",
        "service:or ders:*",
        "service:o//rders:*",
        "service:orders:..",
        "service:ordérs:*",
        "service:orders:créate",
        "topic:orders:write",
        "table:orders:publish",
        "config:a\nb:read",
        "service::*",
    ],
)
def test_a_rule_that_could_never_apply_is_refused(written: str) -> None:
    kind, name, endpoint = written.split(":")
    with pytest.raises(errors.BadRequest):
        normal_resource(Resource(type=kind, name=name, endpoint=endpoint))


LOCKS = [
    (ALL, "", "nobody could log in"),
    (Resource(name="auth"), "", "nobody could log in"),
    (Resource(name="auth", endpoint="to*"), "", "nobody could log in"),
    (Resource(name="Auth", endpoint="Auth.Token"), "", "nobody could log in"),
    (Resource(name="auth"), "*", "no admin could change the rules"),
    (Resource(name="auth", endpoint="rules.*"), "admin", "no admin could change the rules"),
    (Resource(name="auth", endpoint="rules.delete"), "+", "no admin could change the rules"),
    (Resource(name="registry"), "service", "no service could join"),
    (Resource(name="auth", endpoint="watch"), "service", "no service could join"),
    (Resource(name="auth", endpoint="rules.create"), "ops", "you could not change the rules"),
]


@pytest.mark.parametrize(("resource", "scope", "consequence"), LOCKS)
async def test_what_locks_people_out_is_refused_with_a_reason(
    place: Place, resource: Resource, scope: str, consequence: str
) -> None:
    actor = Account(id="root", namespace="shop", scopes=("admin", "ops"))
    with pytest.raises(errors.Forbidden, match=consequence):
        await add(place, "shut", resource, scope=scope, actor=actor)
    assert ids(place) == ["default"]


async def test_a_denial_of_all_is_possible_beside_grants_of_what_must_stay_open(place: Place) -> None:
    for service, endpoint in (("auth", "*"), ("registry", "*"), ("network", "*")):
        await add(place, f"keep-{service}", Resource(name=service, endpoint=endpoint), Access.GRANTED, priority=10)
    await add(place, "shut", ALL)
    with pytest.raises(errors.Forbidden, match="nobody could log in any more"):
        await place.auth.rules.delete(by(ADMIN), ADMIN, "keep-auth")
    assert "keep-auth" in ids(place)


async def test_two_who_change_rules_at_once_both_have_their_way(place: Place) -> None:
    await asyncio.gather(*(add(place, f"rule-{number}", Resource(name=f"s{number}")) for number in range(20)))
    assert len(ids(place)) == 21
    await place.again()
    assert len(ids(place)) == 21


# -- why ---------------------------------------------------------------------------------------------------------------


async def test_why_names_the_rule_who_made_it_and_those_behind_it(place: Place) -> None:
    await add(place, "close-orders", Resource(name="orders"), priority=5)
    explained = await place.auth.explain("shop", PLAIN, Resource(name="orders", endpoint="Orders.Create"))
    assert not explained.granted
    assert explained.resource == "service:orders:create"
    assert explained.rule is not None
    assert (explained.rule.id, explained.rule.created_by) == ("close-orders", "root")
    assert [rule.id for rule in explained.others] == ["default"]
    assert "close-orders" in explained.reason


async def test_why_names_role_and_scope_too(place: Place) -> None:
    explained = await place.auth.explain("shop", PLAIN, Resource(name="auth", endpoint="rules.create"))
    assert not explained.granted
    assert "is for admins" in explained.reason
    explained = await place.auth.explain("shop", PLAIN, Resource(name="orders", endpoint="refund"))
    assert "demands the scope 'orders:refund'" in explained.reason
    explained = await place.auth.explain("shop", PLATFORM_ADMIN, Resource(name="orders", endpoint="refund"))
    assert explained.granted
    explained = await place.auth.explain("shop", None, Resource(type="topic", name="orders", endpoint="publish"))
    assert explained.granted


# -- nodes -------------------------------------------------------------------------------------------------------------


class Peer:
    """The connection of a node."""

    def __init__(self) -> None:
        self.aborted = asyncio.Event()

    def abort(self) -> None:
        self.aborted.set()


async def test_a_change_returns_when_the_nodes_of_the_namespace_decide_by_it(place: Place) -> None:
    policies, peer = place.auth.policies, Peer()
    following = policies.follow("shop", peer)
    first = await anext(following)
    assert [rule.id for rule in first.rules] == ["default"]
    policies.confirm(peer, first.version)
    changing = asyncio.create_task(add(place, "close-orders", Resource(name="orders")))
    second = await anext(following)
    assert [rule.id for rule in second.rules] == ["close-orders", "default"]
    assert second.version > first.version
    assert not changing.done()
    policies.confirm(peer, second.version)
    await changing
    assert not peer.aborted.is_set()
    await following.aclose()


async def test_a_node_that_does_not_confirm_is_cut_off(place: Place) -> None:
    peer, other = Peer(), Peer()
    following, elsewhere = place.auth.policies.follow("shop", peer), place.auth.policies.follow("other", other)
    await anext(following)
    await anext(elsewhere)
    begun = asyncio.get_running_loop().time()
    await add(place, "close-orders", Resource(name="orders"))
    assert PATIENCE <= asyncio.get_running_loop().time() - begun < PATIENCE + 2
    assert peer.aborted.is_set()
    assert not other.aborted.is_set()  # its rules have not changed
    await following.aclose()
    await elsewhere.aclose()


async def test_nobody_confirms_for_another_or_ahead_of_time(place: Place) -> None:
    policies, peer = place.auth.policies, Peer()
    following = policies.follow("shop", peer)
    first = await anext(following)
    assert not policies.confirm(Peer(), first.version)
    assert not policies.confirm(None, first.version)
    policies.confirm(peer, first.version + 1_000)
    await add(place, "close-orders", Resource(name="orders"))
    assert peer.aborted.is_set()
    await following.aclose()
