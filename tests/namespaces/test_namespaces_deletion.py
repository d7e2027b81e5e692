"""Deleting a namespace removes everything in it, goes on after a crash, and leaves the neighbours alone."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from microlite import Context, Service, errors
from microlite.core.app import Platform
from microlite.core.clock import ManualClock
from microlite.core.context import PLATFORM_NAMESPACE, Origin
from microlite.core.engine.api import Batch, Put, Usage
from microlite.core.namespaces.api import Limits
from microlite.core.settings import ServerOptions
from microlite.testing import RunningPlatform, platform
from tests.namespaces.both import over_http


def shop() -> Service:
    service = Service("orders")

    @service.endpoint
    async def say(ctx: Context) -> str:
        """Say where."""
        return ctx.namespace

    @service.consume("orders.created", group="mailer")
    async def mail(ctx: Context, number: int) -> None:
        """Mail it."""

    @service.every("10m")
    async def expire(ctx: Context) -> None:
        """Expire."""

    return service


async def fill(p: RunningPlatform, namespace: str) -> None:
    """Something of every kind."""
    caller = p.options(namespace=namespace)
    await p.serve(shop(), namespace=namespace, node=f"orders-{namespace}")
    await caller.call("store.write", key="a", value={"x": 1})
    await caller.call("config.set", path="a.b", value=1)
    await caller.call("events.publish", topic="orders.created", payload=1)
    await caller.call("events.publish", topic="later", payload=1, delay=1000.0)
    await caller.call("events.set-topic", topic="kept", settings={})
    await caller.call("schedules.add", schedule={"target": "orders.say", "every": 60.0, "id": "s"})
    await caller.call("broker.publish", topic="t", value=1)
    log = p._booted.logs.of(namespace, "orders")
    log.say("a line")
    await log.flush()
    status, _, _ = await over_http(p, "POST", "/orders/say", {}, Micro_Namespace=namespace, Idempotency_Key="k")
    assert status == 200


async def delete(p: RunningPlatform, name: str) -> list[Any]:
    return [one async for one in p.stream("namespaces.delete", name=name, confirm=name)]


async def traces(p: RunningPlatform, namespace: str) -> list[str]:
    """Records of the platform's own that name a namespace, the audit log aside."""
    engine = p._booted.state.engine
    found = []
    for bucket in await engine.buckets(PLATFORM_NAMESPACE):
        page = await engine.scan(PLATFORM_NAMESPACE, bucket, limit=1000)
        found += [f"{bucket}/{one.key}" for one in page.records if namespace in f"{one.key} {one.value!r}"]
    return found


async def test_nothing_of_it_is_left(caplog: pytest.LogCaptureFixture) -> None:
    """Neither in the engine nor in files nor in memory; and the same in another namespace is as it was."""
    async with platform() as p:
        for namespace in ("doomed", "spared"):
            await fill(p, namespace)
        state = p._booted.state
        assert await traces(p, "doomed")
        before = state.engine.usage("spared")
        progress = await delete(p, "doomed")
        assert progress[-1]["done"]
        assert state.engine.usage("doomed") == Usage()
        assert await state.engine.buckets("doomed") == ()
        assert await state.engine.streams("doomed") == ()
        assert await traces(p, "doomed") == []
        assert not (p.home / "logs" / "doomed").exists()
        assert (p.home / "logs" / "spared").exists()
        assert p._booted.registry.services("doomed") == []
        assert not any(key[0] == "doomed" for key in p._booted.table.stats)
        assert [leader for leader in state.events.leaders.all() if leader.namespace == "doomed"] == []
        assert state.engine.usage("spared").records == before.records
        spared = p.options(namespace="spared")
        assert await spared.call("orders.say") == "spared"
        assert (await spared.call("store.read", key="a"))["value"] == {"x": 1}
        p.advance(3600)
        assert [one["name"] for one in await spared.call("schedules.list")] == ["orders.expire", "s"]
        assert [record for record in caplog.records if "doomed" in record.getMessage()] == []


async def test_a_name_that_was_deleted_begins_anew() -> None:
    """Nothing of before comes back, and everything works as the first time."""
    async with platform() as p:
        await fill(p, "shop")
        await delete(p, "shop")
        caller = p.options(namespace="shop")
        with pytest.raises(errors.NotFound, match="does not exist"):
            await caller.call("store.list")
        await p.call("namespaces.create", name="shop")
        assert await caller.call("config.get") == {}
        assert await caller.call("events.topics") == []
        assert await caller.call("schedules.list") == []
        assert (await caller.call("store.list"))["keys"] == []
        await fill(p, "shop")
        assert await caller.call("orders.say") == "shop"


async def test_while_it_is_deleted_it_takes_no_calls_and_is_shown_so() -> None:
    async with platform() as p:
        engine = p._booted.state.engine
        await p.serve(shop(), namespace="shop")
        for start in range(0, 30_000, 1000):
            await engine.commit(Batch("shop", tuple(Put("b", f"{n:05}", b"v") for n in range(start, start + 1000))))
        seen = p.stream("namespaces.delete", name="shop", confirm="shop")
        async with seen:
            first = await anext(aiter(seen))
            assert (first["name"], first.get("done", False)) == ("shop", False)
            assert (await p.call("namespaces.read", name="shop"))["deleting"]
            with pytest.raises(errors.NotFound, match="is being deleted"):
                await p.options(namespace="shop").call("store.list")
            with pytest.raises(errors.Conflict, match="still being deleted"):
                await p.call("namespaces.create", name="shop")
        # Nobody listens any more, and it goes on.
        async with asyncio.timeout(20):
            while len(await p.call("namespaces.list")) > 1:
                await asyncio.sleep(0.01)
        assert engine.usage("shop") == Usage()


async def test_a_deletion_goes_on_after_a_restart(tmp_path: Path) -> None:
    """The record says so: nothing that was detached there is started, and nothing is left in the end."""
    home, clock = tmp_path / "home", ManualClock()
    options = ServerOptions(home=home, port=0, dashboard=False)
    async with Platform(options, clock) as first:
        namespaces, engine = first.state.namespaces, first.state.engine
        await namespaces.create(Origin(PLATFORM_NAMESPACE), "shop", Limits(records=100_000))
        await engine.commit(Batch("shop", tuple(Put("b", f"{n:05}", b"v") for n in range(1000))))
        await namespaces.condemn(Origin(PLATFORM_NAMESPACE), "shop")
    async with Platform(options, clock) as second:
        async with asyncio.timeout(20):
            while len(second.state.namespaces.all()) > 1:
                await asyncio.sleep(0.01)
        assert second.state.engine.usage("shop") == Usage()
    async with Platform(options, clock) as third:
        assert [one.name for one in third.state.namespaces.all()] == ["default"]


async def test_what_was_in_use_before_namespaces_were_made_is_kept(tmp_path: Path) -> None:
    """A database from before has namespaces by their data; each is there afterwards, and those deleted later stay away."""
    home, clock = tmp_path / "home", ManualClock()
    options = ServerOptions(home=home, port=0, dashboard=False)
    async with Platform(options, clock) as first:
        engine = first.state.engine
        await engine.commit(Batch("Old.Name", (Put("b", "k", b"v"),)))
        await first.state.namespaces.forget("default")  # as if there had been none
    async with Platform(options, clock) as second:
        assert [one.name for one in second.state.namespaces.all()] == ["default", "Old.Name"]
        second.state.namespaces.check("Old.Name")


async def test_each_act_is_in_the_audit_log() -> None:
    """In the platform's own log, with who has done it and what."""
    async with platform() as p:
        await p.call("namespaces.create", name="shop", max_records=5)
        await p.call("namespaces.update", name="shop", max_records=6)
        await delete(p, "shop")
        engine = p._booted.state.engine
        entries = (await engine.read(PLATFORM_NAMESPACE, "auth/audit")).entries
        text = b" ".join(entry.value for entry in entries)
        for word in (b"namespaces.create", b"namespaces.update", b"namespaces.delete", b"namespace:shop", b"admin"):
            assert word in text


async def test_accounts_tokens_and_rules_go_with_it() -> None:
    """A token of before opens nothing in a namespace that comes later under the same name, nor does its account's secret."""
    async with platform() as p:
        await p.serve(shop(), namespace="shop", node="orders-1")
        caller = p.options(namespace="shop")
        made = await caller.call("auth.accounts.create", id="ann", scopes=["admin"])
        token = await caller.call("auth.token", id="ann", secret=made["secret"])
        bearer = {"Authorization": f"Bearer {token['access_token']}"}
        status, body, _ = await over_http(p, "POST", "/orders/say", {}, token=False, **bearer)
        assert (status, body) == (200, "shop")
        deny = {"type": "service", "name": "orders", "endpoint": "say"}
        await caller.call("auth.rules.create", id="closed", resource=deny, access="denied", priority=10)
        await delete(p, "shop")
        status, _, _ = await over_http(p, "GET", "/store/list", token=False, **bearer)
        assert status in (401, 404)
        await p.call("namespaces.create", name="shop")
        await p.serve(shop(), namespace="shop", node="orders-1")
        assert (await over_http(p, "GET", "/store/list", token=False, **bearer))[0] == 401
        with pytest.raises(errors.Unauthorized):
            await caller.call("auth.token", id="ann", secret=made["secret"])
        with pytest.raises(errors.Unauthorized):
            await caller.call("auth.token", refresh_token=token["refresh_token"])
        assert "closed" not in str(await caller.call("auth.rules.list"))
        assert "ann" not in str(await caller.call("auth.accounts.list"))
        status, body, _ = await over_http(p, "POST", "/orders/say", {}, token=False, Micro_Namespace="shop")
        assert (status, body) == (200, "shop")


async def test_an_admin_of_a_namespace_is_not_one_of_the_platform() -> None:
    """He may neither see, make, change nor delete namespaces, nor look into another one."""
    async with platform(namespaces=("shop", "blue")) as p:
        caller = p.options(namespace="shop")
        made = await caller.call("auth.accounts.create", id="ann", scopes=["admin"])
        token = await caller.call("auth.token", id="ann", secret=made["secret"])
        bearer = {"Authorization": f"Bearer {token['access_token']}"}
        for path, body in (
            ("/namespaces/list", {}),
            ("/namespaces/usage", {"name": "shop"}),
            ("/namespaces/create", {"name": "own"}),
            ("/namespaces/update", {"name": "shop", "max_bytes": 0}),
            ("/namespaces/delete", {"name": "blue", "confirm": "blue"}),
        ):
            assert (await over_http(p, "POST", path, body, token=False, **bearer))[0] == 403, path
            assert (await over_http(p, "POST", path, body, token=False))[0] in (401, 403), path
        assert (await over_http(p, "GET", "/store/list", token=False, **bearer))[0] == 200
        for other in ("blue", "microlite.platform"):
            headers = {**bearer, "Micro_Namespace": other}
            assert (await over_http(p, "GET", "/store/list", token=False, **headers))[0] == 403
        assert len(await p.call("namespaces.list")) == 3
