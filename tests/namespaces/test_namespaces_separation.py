"""Two namespaces with the same names for everything: nothing of the one is ever seen, changed or counted in the other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from microlite import Context, Service, errors
from microlite.cli.entry import run
from microlite.core.clock import SystemClock
from microlite.testing import RunningPlatform, platform
from tests.namespaces.both import over_http

ONE, TWO = "one", "two"
HOSTS = {ONE: "one.example.org", TWO: "x.two.example.org"}


def orders(seen: list[str]) -> Service:
    """The same service for both; `seen` gets what each of its nodes is told."""
    service = Service("orders")

    @service.endpoint
    async def where(ctx: Context) -> str:
        """Say where."""
        return ctx.namespace

    @service.endpoint(route="GET /orders/{id}/state")
    async def state(ctx: Context, id: str) -> str:
        """Tell by route."""
        return f"{ctx.namespace} {id}"

    @service.endpoint
    async def keep(ctx: Context, value: str) -> None:
        """Keep something in the service's own table."""
        await ctx.store.write("key", value)

    @service.endpoint
    async def kept(ctx: Context) -> str:
        """Read it."""
        return await ctx.store.read("key", str)

    @service.endpoint
    async def both(ctx: Context, value: str, fail: bool = False) -> None:
        """Change the store and publish, together."""
        async with ctx.transaction() as tx:
            tx.store.write("tx", value)
            tx.events.publish("orders.tx", value)

    @service.endpoint
    async def relay(ctx: Context) -> str:
        """Call the other endpoint."""
        return str(await ctx.call("orders.where"))

    @service.consume("orders.created", group="mailer")
    async def mail(ctx: Context, value: str) -> None:
        """Take an event."""
        seen.append(f"{ctx.namespace} event {value}")

    @service.subscribe("prices")
    async def price(ctx: Context, value: str) -> None:
        """Take a message."""
        seen.append(f"{ctx.namespace} message {value}")

    return service


class Both:
    """A platform with the two, and what their services were told."""

    def __init__(self, platform: RunningPlatform, seen: list[str]) -> None:
        self.p = platform
        self.seen = seen
        self.one = platform.options(namespace=ONE)
        self.two = platform.options(namespace=TWO)

    async def until(self, *lines: str) -> None:
        async with asyncio.timeout(10):
            while not set(lines) <= set(self.seen):
                await asyncio.sleep(0.005)


@pytest.fixture
async def both() -> AsyncIterator[Both]:
    seen: list[str] = []
    async with platform(clock=SystemClock()) as p:
        for namespace in (ONE, TWO):
            await p.serve(orders(seen), namespace=namespace, node="orders-1")
        await p.call("namespaces.update", name=ONE, hosts=[HOSTS[ONE]])
        await p.call("namespaces.update", name=TWO, hosts=["*.two.example.org"])
        yield Both(p, seen)


async def test_calls_and_routes(both: Both) -> None:
    """By wire, by header, by host, and from service to service."""
    for namespace, caller in ((ONE, both.one), (TWO, both.two)):
        assert await caller.call("orders.where") == namespace
        assert await caller.call("orders.relay") == namespace
        for headers in ({"Micro_Namespace": namespace}, {"Host": HOSTS[namespace]}, {"Host": f"{HOSTS[namespace]}:80"}):
            for _ in range(2):  # the second time by the table of what is known
                assert (await over_http(both.p, "POST", "/orders/where", {}, **headers))[:2] == (200, namespace)
                assert (await over_http(both.p, "GET", "/orders/7/state", **headers))[:2] == (200, f"{namespace} 7")
    with pytest.raises(errors.ServiceNotFound):
        await both.p.call("orders.where")
    assert (await over_http(both.p, "POST", "/orders/where", {}))[0] == 404


async def test_a_header_goes_before_the_host(both: Both) -> None:
    """Who names a namespace himself gets that one, and what is public there."""
    headers = {"Host": HOSTS[ONE], "Micro_Namespace": TWO}
    assert (await over_http(both.p, "POST", "/orders/where", {}, token=False, **headers))[:2] == (200, TWO)


async def test_hosts_hold_at_once_and_are_allowed(both: Both) -> None:
    """A host that stands for a namespace is one that the gateway answers for; one that no longer does is none."""
    host = {"Host": "shop.example.net"}
    assert (await over_http(both.p, "POST", "/orders/where", {}, **host))[0] == 421
    await both.p.call("namespaces.update", name=ONE, hosts=["shop.example.net"])
    assert (await over_http(both.p, "POST", "/orders/where", {}, **host))[:2] == (200, ONE)
    assert (await over_http(both.p, "POST", "/orders/where", {}, Host=HOSTS[ONE]))[0] == 421
    await both.p.call("namespaces.update", name=ONE, hosts=[])
    await both.p.call("namespaces.update", name=TWO, hosts=["shop.example.net"])
    assert (await over_http(both.p, "POST", "/orders/where", {}, **host))[:2] == (200, TWO)


async def test_store_and_transactions(both: Both) -> None:
    for namespace, caller in ((ONE, both.one), (TWO, both.two)):
        await caller.call("orders.keep", value=namespace)
        await caller.call("orders.both", value=namespace)
        await caller.call("store.write", key="k", value=namespace)
        await caller.call("store.write", key=f"only-{namespace}", value=1)
    for namespace, caller in ((ONE, both.one), (TWO, both.two)):
        assert await caller.call("orders.kept") == namespace
        assert (await caller.call("store.read", key="k"))["value"] == namespace
        assert (await caller.call("store.list"))["keys"] == ["k", f"only-{namespace}"]
        events = await caller.call("events.read", topic="orders.tx")
        assert [event["payload"] for event in events] == [namespace]
    await both.one.call("store.delete", key="k")
    assert (await both.two.call("store.read", key="k"))["value"] == TWO
    status, body, _ = await over_http(both.p, "GET", "/store/read?key=k", Host=HOSTS[TWO])
    assert (status, body["value"]) == (200, TWO)
    assert (await over_http(both.p, "GET", "/store/read?key=k", Host=HOSTS[ONE]))[0] == 404


async def test_configuration(both: Both) -> None:
    await both.one.call("config.set", path="a.b", value=1)
    assert await both.two.call("config.get") == {}
    await both.two.call("config.set", path="a.b", value=2)
    assert await both.one.call("config.get", path="a.b") == 1
    for value, caller in ((1, both.one), (2, both.two)):
        (change,) = await caller.call("config.history")
        assert str(value) in str(change)


async def test_events_and_messages(both: Both) -> None:
    """Topics, groups and subscribers of the same names take each only what is their own."""
    await both.one.call("events.publish", topic="orders.created", payload="a")
    await both.two.call("events.publish", topic="orders.created", payload="b")
    await both.one.call("broker.publish", topic="prices", value="p")
    await both.until("one event a", "two event b", "one message p")
    assert sorted(both.seen) == ["one event a", "one message p", "two event b"]
    assert [event["payload"] for event in await both.two.call("events.read", topic="orders.created")] == ["b"]
    with pytest.raises(errors.NotFound):
        await both.two.call("events.describe", topic="orders.other")
    for caller in (both.one, both.two):
        (topic,) = await caller.call("events.topics")
        assert (topic["name"], topic["last"]) == ("orders.created", 1)


async def test_schedules(both: Both) -> None:
    schedule = {"target": "orders.where", "id": "s", "every": 3600.0}
    await both.one.call("schedules.add", schedule=schedule)
    assert await both.two.call("schedules.list") == []
    with pytest.raises(errors.NotFound):
        await both.two.call("schedules.get", name="s")
    await both.two.call("schedules.add", schedule=schedule)
    await both.two.call("schedules.run", name="s", wait=True)
    assert await both.one.call("schedules.history", name="s") == []
    assert len(await both.two.call("schedules.history", name="s")) == 1


async def test_what_runs_and_is_registered(both: Both) -> None:
    """The lists of each have one node, of the same id; what is said of one's log is not in the other's."""
    for caller in (both.one, both.two):
        (status,) = await caller.call("runtime.status")
        assert [node["id"] for node in status["nodes"]] == ["orders-1"]
        (record,) = await caller.call("registry.list")
        assert len(record["nodes"]) == 1
        assert [len(route["nodes"]) for route in await caller.call("network.routes")] == [1]
    both.p._booted.logs.of(ONE, "orders").say("of one")
    lines = [line async for line in both.one.stream("runtime.logs", service="orders")]
    assert [line["text"] for line in lines] == ["of one"]
    with pytest.raises(errors.NotFound):
        async for _ in both.two.stream("runtime.logs", service="orders"):
            pass
    with pytest.raises(errors.ServiceNotFound):
        await both.two.call("runtime.kill", services=["orders"])
    assert await both.p.call("registry.list") == []


async def test_documents_tell_of_ones_own_only(both: Both) -> None:
    """OpenAPI and AsyncAPI, by host and by header."""
    extra = Service("extra")

    @extra.endpoint
    async def more(ctx: Context) -> None:
        """Do more."""

    await both.p.serve(extra, namespace=ONE)
    for headers in ({"Host": HOSTS[TWO]}, {"Micro_Namespace": TWO}):
        for page in ("/openapi.json", "/asyncapi.json"):
            status, body, _ = await over_http(both.p, "GET", page, **headers)
            assert status == 200
            assert "orders" in json.dumps(body)
            assert "extra" not in json.dumps(body)
    assert "extra" in json.dumps((await over_http(both.p, "GET", "/openapi.json", Host=HOSTS[ONE]))[1])


async def test_kept_answers(both: Both) -> None:
    """The same idempotency key in both is two calls."""
    for namespace in (ONE, TWO):
        status, body, headers = await over_http(
            both.p, "POST", "/orders/where", {}, Host=HOSTS[namespace], Idempotency_Key="key"
        )
        assert (status, body, headers.get("Idempotent-Replayed")) == (200, namespace, None)
    status, body, headers = await over_http(both.p, "POST", "/orders/where", {}, Host=HOSTS[ONE], Idempotency_Key="key")
    assert (body, headers.get("Idempotent-Replayed")) == (ONE, "true")


async def test_metrics_tell_them_apart(both: Both) -> None:
    for _ in range(3):
        await over_http(both.p, "POST", "/orders/where", {}, Host=HOSTS[ONE])
    await over_http(both.p, "POST", "/orders/where", {}, Host=HOSTS[TWO])
    _, text, _ = await over_http(both.p, "GET", "/metrics")
    line = 'microlite_http_requests_total{code="200",endpoint="where",namespace="%s",service="orders"} %s'
    assert line % (ONE, "3.0") in text
    assert line % (TWO, "1.0") in text


async def test_a_change_is_seen_by_watchers_of_its_own_namespace_only(both: Both) -> None:
    async with both.two.stream("store.watch") as watched:
        news = aiter(watched)
        waiting = asyncio.ensure_future(anext(news))
        await asyncio.sleep(0)
        await both.one.call("store.write", key="k", value="of one")
        await both.two.call("store.write", key="k", value="of two")
        first: Any = await waiting
        while "of" not in str(first):
            first = await anext(news)
        assert "of two" in str(first)


async def test_the_command_line_shows_one_at_a_time(both: Both, capfd: pytest.CaptureFixture[str]) -> None:
    await both.one.call("store.write", key="k", value="of one")

    async def microlite(*words: str) -> str:
        await asyncio.to_thread(run, ["--home", str(both.p.home), *words])
        out, err = capfd.readouterr()
        return out + err

    assert "of one" in await microlite("--namespace", ONE, "store", "read", "k")
    assert "of one" not in await microlite("--namespace", TWO, "store", "read", "k")
    assert (await microlite("--namespace", TWO, "orders", "where")).strip().strip('"') == TWO
    assert "orders" not in await microlite("services")


async def test_a_namespace_that_does_not_exist_is_said_so_over_http(both: Both) -> None:
    """On each path and page, in whichever way it is named; the platform's own is nobody's."""
    says = 'namespace "foo" does not exist; create it with: microlite namespace create foo'
    for path in ("/orders/where", "/nothing/here", "/store/list", "/openapi.json", "/asyncapi.json"):
        status, body, _ = await over_http(both.p, "GET", path, Micro_Namespace="foo")
        assert (status, body["detail"]) == (404, says), path
    status, body, _ = await over_http(both.p, "POST", "/store/list", {}, Micro_Namespace="microlite.platform")
    assert status == 403
    assert "platform's own" in body["detail"]


async def test_a_call_beyond_the_rate_is_429_with_retry_after(both: Both) -> None:
    await both.p.call("namespaces.update", name=ONE, max_rate=1.0, burst=2)
    host = {"Host": HOSTS[ONE]}
    answers = [await over_http(both.p, "POST", "/orders/where", {}, **host) for _ in range(4)]
    assert {answer[0] for answer in answers} == {200, 429}
    _, body, headers = next(answer for answer in answers if answer[0] == 429)
    assert headers["Retry-After"] == "1"
    assert "may make 1 calls a second" in body["detail"]
    assert (await over_http(both.p, "POST", "/orders/where", {}, Host=HOSTS[TWO]))[0] == 200


async def test_a_quota_that_is_used_up_is_507_over_http(both: Both) -> None:
    await both.p.call("namespaces.update", name=ONE, max_bytes=1)
    status, body, _ = await over_http(both.p, "POST", "/store/write", {"key": "k", "value": "long"}, Host=HOSTS[ONE])
    assert status == 507
    assert "microlite namespace set one --max-bytes" in body["detail"]


async def test_each_call_counts_once_whichever_way_it_takes() -> None:
    """The parser's own way, the application's, and the wire: as many get through as the burst allows."""
    async with platform() as p:  # its clock stands still, so that nothing is refilled
        await p.serve(orders([]))
        await p.serve(orders([]), namespace=ONE)
        for namespace, headers in (
            ("default", {}),
            ("default", {"Accept-Encoding": "gzip"}),
            (ONE, {"Micro_Namespace": ONE}),
        ):
            await p.call("namespaces.update", name=namespace, max_rate=0.0, burst=0)
            await p.call("namespaces.update", name=namespace, max_rate=1.0, burst=6)
            answers = [(await over_http(p, "POST", "/orders/where", {}, token=False, **headers))[0] for _ in range(9)]
            assert answers == [200] * 6 + [429] * 3
            p.advance(60)
            refused = next(one for one in await p.call("namespaces.usage") if one["name"] == namespace)["refused"]
            assert refused in (3, 6)
            await p.call("namespaces.update", name=namespace, max_rate=0.0, burst=0)
        await p.call("namespaces.update", name=ONE, max_rate=1.0, burst=4)
        caller = p.options(namespace=ONE)
        for _ in range(4):
            await caller.call("orders.where")
        with pytest.raises(errors.TooManyRequests):
            await caller.call("orders.where")
