"""Least roles and rules in the built-in services of a real platform, as accounts of every kind call them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
import pytest_asyncio

from microlite import Context, Service, errors
from microlite.core.context import PLATFORM_ADMIN, Account, service_account
from microlite.core.rpc.call import UnaryCall
from microlite.testing import RunningPlatform, platform
from tests.audit.test_audit_acts import ACTS, WITHOUT, endpoints

ANN: Final = Account(id="ann", scopes=("clerk",))
BOB: Final = Account(id="bob")
ROOT: Final = Account(id="root", scopes=("admin",))
ORDERS: Final = service_account("orders", "default")
STRANGER: Final = Account(id="eve", namespace="other", scopes=("admin",))


@pytest_asyncio.fixture
async def p() -> AsyncIterator[RunningPlatform]:
    async with platform() as running:
        yield running


async def ask(p: RunningPlatform, who: Account | None, target: str, **request: Any) -> Any:
    """Call a built-in endpoint as an account, behind the gate: what the services themselves decide."""
    service, _, endpoint = target.partition(".")
    call = UnaryCall(service, endpoint, msgspec.msgpack.encode(request), namespace="default", account=who)
    return msgspec.msgpack.decode(await call.run(p._booted.router.send))


async def deny(p: RunningPlatform, resource: str, scope: str, *, granted: bool = False, priority: int = 1) -> None:
    kind, name, action = resource.split(":")
    await p.call(
        "auth.rules.create",
        id=f"{'allow' if granted else 'deny'}-{kind}-{len(name)}-{action.strip('*')}-{scope.strip('*')}x",
        scope=scope,
        resource={"type": kind, "name": name, "endpoint": action},
        access="granted" if granted else "denied",
        priority=priority,
    )


def test_the_page_of_least_roles_is_the_catalogue() -> None:
    """Each endpoint stands on it once, with its role and whether it reads."""
    page = (Path(__file__).parents[2] / "docs" / "reference" / "roles.md").read_text()
    for name, one in endpoints().items():
        lines = [line for line in page.splitlines() if f"[`{name}`]" in line]
        assert len(lines) == 1, name
        assert f"`{one.role}`" in lines[0], name
        assert ("reads" if one.reads else "changes") in lines[0], name


@pytest.mark.parametrize("target", sorted({*ACTS, *WITHOUT}))
async def test_what_is_for_others_is_refused_before_anything_is_looked_at(p: RunningPlatform, target: str) -> None:
    """To nobody with 401, to an account with 403, to an admin of another namespace likewise."""
    with pytest.raises(errors.Unauthorized):
        await ask(p, None, target)
    for who in (ANN, STRANGER):
        with pytest.raises(errors.Forbidden):
            await ask(p, who, target)


async def test_a_backup_is_for_who_operates_the_platform(p: RunningPlatform) -> None:
    """It holds all namespaces."""
    with pytest.raises(errors.Forbidden):
        await ask(p, ROOT, "backup.check")
    assert (await ask(p, PLATFORM_ADMIN, "backup.check"))["sound"]


async def test_accounts_work_with_data_and_look(p: RunningPlatform) -> None:
    """What they need for that is theirs."""
    await ask(p, ANN, "store.write", key="a", value=1)
    await ask(p, ANN, "events.publish", topic="t", payload=1)
    assert [one["payload"] for one in await ask(p, ANN, "events.read", topic="t")] == [1]
    for target in ("registry.list", "network.routes", "config.get", "events.topics", "schedules.list"):
        await ask(p, ANN, target)


async def test_secrets_are_shown_to_services_and_admins_of_the_namespace_only(p: RunningPlatform) -> None:
    """Whatever connection a call comes over."""
    await p.call("config.set", path="mail.password", value="hush", secret=True)
    for who in (ORDERS, ROOT, PLATFORM_ADMIN):
        assert await ask(p, who, "config.get", path="mail.password", secret=True) == "hush"
    for target in ("config.get", "config.explain", "config.export"):
        with pytest.raises(errors.Forbidden, match="secrets are shown to admins and services"):
            await ask(p, ANN, target, secret=True)
    assert await ask(p, ANN, "config.get", path="mail.password") == "[secret]"


# -- transactions -------------------------------------------------------------------------------------------------------


async def test_a_transaction_is_no_way_around_a_least_role(p: RunningPlatform) -> None:
    """What an account may not change alone, it may not change with something else."""
    write = {"op": "store.write", "key": "a", "value": 1}
    for op in (
        {"op": "config.set", "path": "a", "value": 1},
        {"op": "config.unset", "path": "a"},
    ):
        with pytest.raises(errors.Forbidden, match=r"operations\[1\]: config"):
            await ask(p, ANN, "tx.call", operations=[write, op])
    with pytest.raises(errors.NotFound):
        await ask(p, ANN, "store.read", key="a")
    await ask(p, ORDERS, "tx.call", operations=[{"op": "config.set", "path": "a", "value": 1}])


async def test_a_transaction_is_no_way_around_a_rule(p: RunningPlatform) -> None:
    """About a call, a table, a topic or a path."""
    await deny(p, "service:store:delete", "clerk")
    await deny(p, "table:default/pay:write", "clerk")
    await deny(p, "topic:payroll.*:*", "clerk")
    for op in (
        {"op": "store.delete", "key": "a"},
        {"op": "store.write", "table": "pay", "key": "a", "value": 1},
        {"op": "events.publish", "topic": "payroll.june", "payload": 1},
    ):
        with pytest.raises(errors.Forbidden, match=r"operations\[0\]: the rule"):
            await ask(p, ANN, "tx.call", operations=[op])
        await ask(p, BOB, "tx.call", operations=[op])


# -- rules about data ---------------------------------------------------------------------------------------------------


async def test_rules_about_tables(p: RunningPlatform) -> None:
    """Reading, writing and deleting are told apart, for records and blobs."""
    await deny(p, "table:default/*:write", "clerk")
    await deny(p, "table:default/pay:read", "clerk")
    for target, request in (
        ("store.write", {"key": "a", "value": 1}),
        ("store.increment", {"key": "a"}),
        ("store.batch", {"changes": [{"type": "write", "key": "a", "value": 1}]}),
        ("store.blobs.publish", {"upload": "x", "name": "a"}),
        ("store.read", {"key": "a", "table": "pay"}),
        ("store.scan", {"table": "pay"}),
        ("store.list", {"table": "pay"}),
        ("store.count", {"table": "pay"}),
        ("store.read-many", {"keys": ["a"], "table": "pay"}),
    ):
        with pytest.raises(errors.Forbidden, match="the rule"):
            await ask(p, ANN, target, **request)
    await ask(p, BOB, "store.write", key="a", value=1)
    assert (await ask(p, ANN, "store.read", key="a"))["value"] == 1
    await ask(p, ANN, "store.delete", key="a")
    each = await ask(
        p,
        ANN,
        "store.write-each",
        changes=[
            {"type": "write", "key": "a", "value": 1},
            {"type": "write", "key": "a", "value": 1, "database": "other"},
        ],
    )
    assert each[0]["error"]["code"] == 403
    assert each[1]["written"]["revision"]


async def test_one_rule_makes_databases_a_boundary_between_services(p: RunningPlatform) -> None:
    """Each service keeps its own; what is shared is opened by a second rule."""
    await deny(p, "table:*:*", "service")
    await deny(p, "table:shared/*:read", "service", granted=True, priority=2)
    for name in ("orders", "billing"):
        await ask(p, service_account(name, "default"), "store.write", key="a", value=name, database=name)
    with pytest.raises(errors.Forbidden):
        await ask(p, ORDERS, "store.read", key="a", database="billing")
    with pytest.raises(errors.Forbidden):
        await ask(p, ORDERS, "store.write", key="a", value=1, database="shared")
    await ask(p, ANN, "store.write", key="a", value=1, database="shared")
    assert (await ask(p, ORDERS, "store.read", key="a", database="shared"))["value"] == 1


async def test_rules_about_topics_hold_for_events_and_messages(p: RunningPlatform) -> None:
    """Publishing and consuming are told apart, and a pattern shows nothing that a rule hides."""
    await deny(p, "topic:payroll.*:subscribe", "clerk")
    for target, request in (
        ("events.read", {}),
        ("events.pull", {"group": "g"}),
        ("events.topic", {}),
        ("events.dead-letters", {}),
    ):
        with pytest.raises(errors.Forbidden, match="the rule"):
            await ask(p, ANN, target, topic="payroll.june", **request)
    await ask(p, ANN, "events.publish", topic="payroll.june", payload=1)
    with pytest.raises(errors.Forbidden):
        await ask(p, ANN, "events.ack", deliveries=["payroll.june/g/1.1"])
    each = await ask(p, ANN, "events.publish-each", batch=[{"type": "publish", "topic": "payroll.june"}])
    assert each[0]["published"]["position"] == 2


async def test_a_service_gets_no_pushed_event_that_a_rule_denies_it(p: RunningPlatform) -> None:
    """And it gets what waited when the rule is gone."""
    seen: list[int] = []
    service = Service("clerks")

    @service.consume("payroll", group="clerks")
    async def take(ctx: Context, payload: int) -> None:
        seen.append(payload)

    await deny(p, "topic:payroll:subscribe", "service")
    await p.serve(service)
    await p.call("events.publish", topic="payroll", payload=7)
    groups: list[Any] = []
    while not groups:
        groups = await p.call("events.groups", topic="payroll")
    assert (groups[0]["lag"], seen) == (1, [])
    rules = await p.call("auth.rules.list")
    for rule in rules:
        if rule["access"] == "denied":
            await p.call("auth.rules.delete", id=rule["id"])
    while not seen:
        await p.call("events.groups", topic="payroll")
    assert seen == [7]


async def test_rules_about_the_configuration_hide_leaves(p: RunningPlatform) -> None:
    """Also from who reads all of it, its history, or what lies above; and they hold for every leaf that is written."""
    await p.call("config.set", path="", value={"limits": {"max": 1, "pay": 2}, "other": 3})
    await deny(p, "config:limits.pay*:*", "clerk")
    await deny(p, "config:limits.pay*:write", "admin")
    with pytest.raises(errors.Forbidden):
        await ask(p, ANN, "config.get", path="limits.pay")
    assert await ask(p, ANN, "config.get") == {"limits": {"max": 1}, "other": 3}
    assert await ask(p, ANN, "config.get", path="limits") == {"max": 1}
    for target in ("config.explain", "config.history", "config.export", "config.check"):
        assert "pay" not in str(await ask(p, ANN, target)), target
    assert "pay" not in str(await ask(p, ANN, "config.diff", since=0))
    with pytest.raises(errors.Forbidden):
        await ask(p, ROOT, "config.set", path="limits", value={"max": 2, "pay": 3})
    with pytest.raises(errors.Forbidden):
        await ask(p, ROOT, "config.unset", path="limits")
    with pytest.raises(errors.Forbidden):
        await ask(p, ROOT, "config.import", values={"other": 1}, replace=True)
    with pytest.raises(errors.Forbidden):
        await ask(p, ROOT, "config.rollback", revision=0)
    await ask(p, ROOT, "config.set", path="limits", value={"max": 2})
    assert await p.call("config.get", path="limits") == {"max": 2, "pay": 2}


# -- schedules ----------------------------------------------------------------------------------------------------------


async def add(p: RunningPlatform, who: Account, id: str, target: str = "orders.expire", **more: Any) -> str:
    return str(
        await ask(p, who, "schedules.add", schedule={"type": "schedules.add", "id": id, "target": target, **more})
    )


async def test_a_schedule_is_its_owners(p: RunningPlatform) -> None:
    """Others neither pause nor remove nor run it, nor put another in its place; admins do, and it is written down."""
    name = await add(p, ANN, "nightly", every=3600.0)
    for target in ("schedules.pause", "schedules.resume", "schedules.remove", "schedules.run"):
        with pytest.raises(errors.Forbidden, match="is a schedule of ann"):
            await ask(p, BOB, target, name=name)
    with pytest.raises(errors.Forbidden):
        await ask(p, BOB, "schedules.cancel", id=name)
    with pytest.raises(errors.Forbidden):
        await ask(p, ORDERS, "schedules.pause", name=name)
    with pytest.raises(errors.Forbidden):
        await add(p, BOB, "nightly", every=60.0, replace=True)
    with pytest.raises(errors.Forbidden):
        await ask(p, BOB, "tx.call", operations=[{"op": "schedules.cancel", "id": name}])
    await ask(p, ANN, "schedules.pause", name=name)
    assert (await p.call("auth.audit.list", action="schedules."))["entries"] == []
    await ask(p, ROOT, "schedules.resume", name=name)
    await ask(p, ROOT, "tx.call", operations=[{"op": "schedules.cancel", "id": name}])
    entries = (await p.call("auth.audit.list", action="schedules."))["entries"]
    assert [(one["actor"], one["action"], one["resource"]) for one in entries] == [
        ("root", "schedules.cancel", "schedule:nightly"),
        ("root", "schedules.resume", "schedule:nightly"),
    ]


async def test_nobody_gets_by_a_schedule_what_he_may_not_call(p: RunningPlatform) -> None:
    """Neither when it is added, nor by a rule that comes later."""
    with pytest.raises(errors.Forbidden):
        await add(p, ANN, "x", "runtime.kill", every=60.0)
    await p.call("auth.accounts.create", id="ann", scopes=["clerk"])
    await add(p, ANN, "x", "store.count", every=60.0)
    run = await ask(p, ANN, "schedules.run", name="x", wait=True)
    assert run["outcome"] == "done", run
    await deny(p, "service:store:count", "clerk")
    run = await ask(p, ANN, "schedules.run", name="x", wait=True)
    assert run["outcome"] == "failed"
    assert "the rule" in run["error"]


async def test_a_schedule_of_an_account_that_is_gone_fails_and_says_so(p: RunningPlatform) -> None:
    """Its rights are those that the account has now, and no more than it had."""
    await p.call("auth.accounts.create", id="ann", scopes=["clerk"])
    await add(p, ANN, "x", "store.count", every=60.0)
    await p.call("auth.accounts.delete", id="ann")
    run = await ask(p, ROOT, "schedules.run", name="x", wait=True)
    assert run["outcome"] == "failed"
    assert "'ann', for which x runs, is disabled or gone" in run["error"]
    [last] = await p.call("schedules.history", name="x")
    assert last["error"] == run["error"]
