"""Namespaces: made, limited and deleted by who operates the platform, and an error everywhere where there is none."""

from __future__ import annotations

from typing import Any

import pytest

from microlite import Context, Service, errors
from microlite.core.context import PLATFORM_NAMESPACE
from microlite.testing import RunningPlatform, platform


def echo() -> Service:
    service = Service("echo")

    @service.endpoint
    async def say(ctx: Context, text: str = "") -> str:
        """Say it."""
        return f"{ctx.namespace}: {text}"

    return service


async def delete(p: RunningPlatform, name: str) -> list[Any]:
    return [one async for one in p.stream("namespaces.delete", name=name, confirm=name)]


async def test_default_is_always_there_and_cannot_be_deleted() -> None:
    async with platform() as p:
        assert [one["name"] for one in await p.call("namespaces.list")] == ["default"]
        with pytest.raises(errors.Forbidden, match="cannot be deleted"):
            await delete(p, "default")


async def test_one_is_made_read_changed_and_deleted() -> None:
    """What it may use is what was said last; a name is free again when it was deleted."""
    async with platform() as p:
        made = await p.call("namespaces.create", name="shop", max_records=10, hosts=["Shop.example.org"])
        assert (made["limits"]["records"], made["hosts"]) == (10, ["shop.example.org"])
        changed = await p.call("namespaces.update", name="shop", max_rate=5.0)
        assert (changed["limits"]["records"], changed["limits"]["rate"]) == (10, 5.0)
        assert await p.call("namespaces.read", name="shop") == changed
        with pytest.raises(errors.Conflict, match="exists already"):
            await p.call("namespaces.create", name="shop")
        assert (await delete(p, "shop"))[-1]["done"]
        with pytest.raises(errors.NotFound, match="microlite namespace create shop"):
            await p.call("namespaces.read", name="shop")
        await p.call("namespaces.create", name="shop")


@pytest.mark.parametrize(
    "name", ["", "Shop", "a.b", "microlite.platform", "-a", "a-", "a_b", "ä", "a" * 64, "a/b", "api", "www", "a b"]
)
async def test_a_name_is_a_label_of_the_dns(name: str) -> None:
    async with platform() as p:
        with pytest.raises(errors.BadRequest, match=r"no name for a namespace|reserved"):
            await p.call("namespaces.create", name=name)


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"max_records": -1}, "max_records"),
        ({"max_rate": 0.5}, "at least 1 call a second"),
        ({"burst": 5}, "burst"),
        ({"hosts": ["10.0.0.1"]}, "no name of a host"),
        ({"hosts": ["shop.example.org:8080"]}, "no name of a host"),
        ({"hosts": ["*"]}, "no name of a host"),
        ({"hosts": ["localhost"]}, "this machine"),
        ({"hosts": ["x.localhost"]}, "this machine"),
    ],
)
async def test_what_cannot_be_is_refused(fields: dict[str, Any], what: str) -> None:
    async with platform() as p:
        with pytest.raises(errors.BadRequest, match=what):
            await p.call("namespaces.create", name="shop", **fields)
        assert len(await p.call("namespaces.list")) == 1


async def test_a_host_stands_for_one_namespace_only() -> None:
    async with platform(namespaces=("shop", "blue")) as p:
        await p.call("namespaces.update", name="shop", hosts=["a.example.org", "*.a.example.org"])
        with pytest.raises(errors.Conflict, match=r'"\*\.a\.example\.org" stands for the namespace "shop"'):
            await p.call("namespaces.update", name="blue", hosts=["*.a.example.org"])
        await p.call("namespaces.update", name="shop", hosts=[])
        await p.call("namespaces.update", name="blue", hosts=["*.a.example.org"])


async def test_a_deletion_has_to_be_confirmed() -> None:
    async with platform(namespaces=("shop",)) as p:
        with pytest.raises(errors.BadRequest, match="repeat the name"):
            async for _ in p.stream("namespaces.delete", name="shop", confirm="yes"):
                pass
        await p.call("namespaces.read", name="shop")


async def test_a_namespace_that_does_not_exist_is_an_error_for_calls_and_nodes() -> None:
    async with platform() as p:
        with pytest.raises(errors.NotFound, match='namespace "shop" does not exist; create it with: microlite namesp'):
            await p.options(namespace="shop").call("store.list")
        with pytest.raises(errors.Forbidden, match="platform's own"):
            await p.options(namespace=PLATFORM_NAMESPACE).call("store.list")
        with pytest.raises(errors.NotFound, match="does not exist"):
            await p.options(namespace="shop").call("runtime.run", request={"sources": ["/nowhere"]})


async def test_usage_stands_beside_the_limits() -> None:
    async with platform() as p:
        await p.serve(echo(), namespace="shop")
        await p.call("namespaces.update", name="shop", max_records=100)
        await p.options(namespace="shop").call("store.write", key="k", value="12345")
        (usage,) = await p.call("namespaces.usage", name="shop")
        assert usage["nodes"] == 1
        assert usage["limits"]["records"] == 100
        assert usage["records"] >= 1
        assert usage["bytes"] >= 5
        assert [one["name"] for one in await p.call("namespaces.usage")] == ["default", "shop"]


async def test_who_writes_beyond_the_quota_is_told_what_to_do_and_can_delete() -> None:
    """507 for each kind of what is kept; reads and deletes work, and a raised quota holds at once."""
    async with platform(namespaces=("shop",)) as p:
        shop = p.options(namespace="shop")
        await shop.call("store.write", key="a", value="1")
        await shop.call("store.write", key="b", value="1")
        held = (await p.call("namespaces.usage", name="shop"))[0]["records"]
        await p.call("namespaces.update", name="shop", max_records=held)
        for target, fields in (
            ("store.write", {"key": "c", "value": "1"}),
            ("config.set", {"path": "a.b", "value": 1}),
            ("events.publish", {"topic": "t", "payload": 1, "deduplication_id": "x"}),
            ("schedules.add", {"schedule": {"target": "echo.say", "every": 60.0, "id": "s"}}),
        ):
            with pytest.raises(errors.InsufficientStorage, match=r"is full: .*--max-records"):
                await shop.call(target, **fields)
        await shop.call("store.write", key="a", value="2")
        assert (await shop.call("store.read", key="a"))["value"] == "2"
        await shop.call("store.delete", key="b")
        await shop.call("store.write", key="c", value="1")
        await p.call("namespaces.update", name="shop", max_records=0, max_bytes=100_000)
        with pytest.raises(errors.InsufficientStorage, match=r"--max-bytes"):
            await shop.call("events.publish", topic="t", payload="x" * 100_000)
        await p.options(namespace="default").call("store.write", key="c", value="x" * 200_000)


async def test_calls_beyond_the_rate_are_refused_until_time_has_passed() -> None:
    async with platform(namespaces=("shop",)) as p:
        await p.call("namespaces.update", name="shop", max_rate=2.0, burst=3)
        shop = p.options(namespace="shop")
        for _ in range(3):
            await shop.call("store.list")
        with pytest.raises(errors.TooManyRequests, match="may make 2 calls a second"):
            await shop.call("store.list")
        assert (await p.call("namespaces.usage", name="shop"))[0]["refused"] == 1
        p.advance(0.5)
        await shop.call("store.list")
        with pytest.raises(errors.TooManyRequests):
            await shop.call("store.list")
        await p.call("namespaces.update", name="shop", max_rate=0.0, burst=0)
        for _ in range(20):
            await shop.call("store.list")


async def test_nodes_beyond_the_limit_are_refused() -> None:
    async with platform(namespaces=("shop",)) as p:
        await p.call("namespaces.update", name="shop", max_nodes=1)
        await p.serve(echo(), namespace="shop", node="one")
        with pytest.raises(errors.TooManyRequests, match="may have 1 node, and this would make it 2"):
            await p.serve(echo(), namespace="shop", node="two")
        await p.serve(echo(), node="three")


async def test_what_only_removes_works_whatever_is_used_up() -> None:
    """Settings, schedules, blobs, events that are acknowledged, and transactions of such."""
    async with platform(namespaces=("shop",)) as p:
        shop = p.options(namespace="shop")
        for path in ("a", "b"):
            await shop.call("config.set", path=path, value="x" * 100)
        for name in ("s", "t"):
            await shop.call("schedules.add", schedule={"target": "echo.say", "every": 60.0, "id": name})
        await shop.call("events.publish", topic="t", payload=1)
        await shop.store.blobs.write("blob", b"x" * 1000)
        (event,) = await shop.call("events.pull", topic="t", group="g")
        await p.call("namespaces.update", name="shop", max_bytes=1, max_records=1)
        for target, fields in (
            ("config.set", {"path": "c", "value": 1}),
            ("tx.call", {"operations": [{"op": "config.set", "path": "c", "value": 1}]}),
        ):
            with pytest.raises(errors.InsufficientStorage):
                await shop.call(target, **fields)
        with pytest.raises(errors.InsufficientStorage):
            await shop.store.blobs.write("more", b"x" * 1000)
        assert await shop.store.blobs.read_bytes("blob") == b"x" * 1000
        await shop.store.blobs.delete("blob")
        await shop.call("config.unset", path="a")
        await shop.call("schedules.cancel", id="s")
        await shop.call("events.ack", deliveries=[event["delivery"]])
        removing = [{"op": "config.unset", "path": "b"}, {"op": "schedules.cancel", "id": "t"}]
        await shop.call("tx.call", operations=removing)
        assert await shop.call("config.get") == {}
        assert await shop.call("schedules.list") == []
