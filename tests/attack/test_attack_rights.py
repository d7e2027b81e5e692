"""Accounts that try to become more than they are, or somebody else: by HTTP, and as a program that speaks the wire."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
import pytest_asyncio

from microlite import Context, Service, errors
from microlite.core.context import CLIENT_ADDRESS, NOBODY, PLATFORM_NAMESPACE, Account
from microlite.core.library.peers import RefuseCalls
from microlite.core.rpc import frames
from microlite.core.rpc.call import UnaryCall
from microlite.core.rpc.connection import Connection
from microlite.core.rpc.paths import platform_socket
from microlite.core.rpc.sockets import dial
from microlite.testing import RunningPlatform, platform

SECRET = "a secret of the test"
RULE = {"id": "mine", "resource": {"type": "*", "name": "*", "endpoint": "*"}, "priority": 1_000_000}

ATTACKS: list[tuple[str, dict[str, Any]]] = [
    ("auth.accounts.create", {"id": "eve2", "scopes": ["admin"], "secret": SECRET}),
    ("auth.accounts.create", {"id": "ann2", "type": "service", "secret": SECRET}),
    ("auth.accounts.create", {"id": "admin", "scopes": ["admin"], "secret": SECRET}),
    ("auth.accounts.create", {"id": "ANN", "scopes": ["admin"], "secret": SECRET}),
    ("auth.accounts.create", {"id": "orders", "type": "service", "scopes": ["admin"], "secret": SECRET}),
    ("auth.accounts.create", {"id": "x", "namespace": PLATFORM_NAMESPACE, "scopes": ["admin"], "secret": SECRET}),
    *[("auth.accounts.update", {"id": who, "scopes": ["admin"]}) for who in ("ann", "Ann", " ann ", "the-service", "")],
    *[("auth.accounts.update", {"id": who, "disabled": True}) for who in ("boss", "BOSS", "admin")],
    *[("auth.accounts.delete", {"id": who}) for who in ("boss", "ann", "admin", "default")],
    *[("auth.accounts.read", {"id": who}) for who in ("boss", "BOSS", "admin", "the-service")],
    ("auth.accounts.list", {}),
    *[("auth.accounts.change-secret", {"id": who, "new_secret": SECRET}) for who in ("boss", "Boss", "the-service")],
    ("auth.accounts.change-secret", {"id": "boss", "old_secret": SECRET, "new_secret": "another secret"}),
    ("auth.accounts.change-secret", {"new_secret": "another secret"}),
    *[("auth.tokens.create", {"name": "t", "account": who}) for who in ("boss", "BOSS", "admin", "the-service")],
    *[("auth.tokens.create", {"name": "t", "scopes": scopes}) for scopes in (["admin"], ["service"], ["buyer", "x"])],
    *[("auth.tokens.list", {"account": who}) for who in ("boss", "the-service")],
    ("auth.tokens.delete", {"id": "x", "account": "boss"}),
    ("auth.rules.create", RULE),
    ("auth.rules.create", {**RULE, "scope": "buyer"}),
    ("auth.rules.delete", {"id": "default"}),
    ("auth.rules.explain", {"resource": {"name": "orders", "endpoint": "pay"}, "account": "boss"}),
    ("auth.keys.list", {}),
    ("auth.keys.rotate", {}),
    ("auth.audit.list", {}),
    ("auth.audit.list", {"platform": True}),
    ("auth.join-tokens.create", {}),
    ("auth.join-tokens.list", {}),
    ("auth.join-tokens.delete", {"id": "x"}),
    ("auth.tickets.create", {}),
    ("auth.tickets.create", {"to": "orders-1"}),
    ("auth.tickets.inspect", {"ticket": "x", "called": True}),
    ("auth.confirm", {"version": 1}),
    ("auth.inspect", {"token": "mlp_default~0123456789-abcdef~0123456789012345678901234567890123456789012"}),
    ("namespaces.create", {"name": "mine"}),
    ("namespaces.list", {}),
    ("namespaces.update", {"name": "default"}),
    ("namespaces.delete", {"name": "other", "confirm": "other"}),
    ("runtime.run", {"request": {"source": "/"}}),
    ("runtime.update", {"service": "orders"}),
    ("runtime.kill", {"services": ["orders"]}),
    ("runtime.status", {}),
    ("backup.check", {}),
    ("config.set", {"path": "auth.admin", "value": "ann"}),
    ("config.unset", {"path": "x"}),
    ("config.rollback", {"revision": 1}),
    ("config.import", {"document": "a: 1"}),
    ("config.get", {"path": "", "secret": True}),
    ("events.set-topic", {"topic": "t", "settings": {}}),
    ("events.delete-topic", {"topic": "t"}),
    ("broker.subscriptions", {}),
    ("registry.register", {"registration": {"service": {"name": "orders"}, "node": {"id": "orders-1"}}}),
    ("registry.deregister", {"node": "orders-1"}),
    ("schedules.add", {"schedule": {"target": "auth.accounts.create", "request": {"id": "z"}, "delay": 0.0}}),
    ("schedules.add", {"schedule": {"target": "auth.keys.rotate", "delay": 0.0}}),
    ("schedules.add", {"schedule": {"target": "auth.auth.auth.keys.rotate", "delay": 0.0}}),
    ("schedules.add", {"schedule": {"target": "Runtime/Kill", "request": {"services": ["orders"]}, "delay": 0.0}}),
    ("schedules.add", {"schedule": {"target": "orders.guarded", "delay": 0.0}}),
    ("schedules.add", {"schedule": {"target": "orders.closed", "delay": 0.0}}),
    *[(f"schedules.{verb}", {"name": "orders.tick"}) for verb in ("remove", "pause", "resume", "run")],
    *[(f"schedules.{verb}", {"name": "of-boss"}) for verb in ("remove", "pause", "resume", "run")],
    ("schedules.cancel", {"id": "of-boss"}),
    ("schedules.add", {"schedule": {"id": "of-boss", "target": "orders.pay", "delay": 0.0, "replace": True}}),
    ("tx.call", {"operations": [{"op": "config.set", "path": "a", "value": 1}]}),
    ("tx.call", {"operations": [{"op": "schedules.add", "id": "s", "target": "auth.keys.rotate", "delay": 0.0}]}),
    ("tx.call", {"operations": [{"op": "schedules.add", "id": "s", "target": "orders.closed", "delay": 0.0}]}),
    ("tx.call", {"operations": [{"op": "schedules.cancel", "id": "of-boss"}]}),
    ("orders.guarded", {}),
    ("orders.closed", {}),
    ("orders.Orders.Orders.closed", {}),
]
"""What a plain account is refused, whatever it hopes for."""


class World:
    """A platform, and who is in it."""

    def __init__(self, running: RunningPlatform, client: Connection) -> None:
        self.running = running
        self.client = client
        self.tokens: dict[str, str] = {}

    async def log_in(self, who: str, namespace: str = "default") -> str:
        """A token of an account."""
        made = await self.running.options(namespace=namespace).call("auth.token", id=who, secret=SECRET)
        return str(made["access_token"])

    async def wire(self, target: str, fields: dict[str, Any], token: str = NOBODY, namespace: str = "default") -> Any:
        """A call of a program that speaks the wire."""
        service, _, endpoint = target.partition(".")
        payload = msgspec.msgpack.encode(fields)
        call = UnaryCall(service, endpoint, payload, token=token, namespace=namespace, timeout=10.0)
        return msgspec.msgpack.decode(await call.run(self.client.start))

    async def http(self, target: str, fields: dict[str, Any], token: str = "", **headers: str) -> tuple[int, Any]:
        """A request to the gateway."""
        return await asyncio.to_thread(self._ask, target, fields, token, headers)

    def _ask(self, target: str, fields: dict[str, Any], token: str, headers: dict[str, str]) -> tuple[int, Any]:
        address = urlsplit(self.running.http)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=10)
        sent = {"Content-Type": "application/json", **headers}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        connection.request("POST", "/" + target.replace(".", "/"), json.dumps(fields), sent)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, json.loads(body) if body else None

    def _get(self, path: str, token: str) -> tuple[int, str]:
        address = urlsplit(self.running.http)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=10)
        connection.request("GET", f"/{path}", headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        return answer.status, body

    async def state(self) -> Any:
        """What nobody of those may have changed."""
        ask = self.running.call
        return [
            await ask("auth.accounts.list"),
            [rule["id"] for rule in await ask("auth.rules.list")],
            [key["id"] for key in await ask("auth.keys.list")],
            await ask("auth.join-tokens.list"),
            await ask("config.get"),
            [one["name"] for one in await ask("namespaces.list")],
            [(one["name"], one["paused"]) for one in await ask("schedules.list")],
            [one["name"] for one in await ask("registry.list")],
            [[token["id"] for token in await ask("auth.tokens.list", account=who)] for who in ("boss", "the-service")],
        ]


def orders() -> Service:
    service = Service("orders")

    @service.endpoint
    async def pay(ctx: Context) -> str:
        return ctx.account.id if ctx.account is not None else "nobody"

    @service.endpoint(scopes=["orders:guard"])
    async def guarded() -> str:
        return "reached"

    @service.endpoint
    async def closed() -> str:
        return "reached"

    @service.every("1h")
    async def tick() -> None:
        pass

    return service


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    async with platform(namespaces=("other",)) as running:
        client = await dial(str(platform_socket(running.home)), RefuseCalls(), role="client")
        world = World(running, client)
        make = running.call
        await make("auth.accounts.create", id="ann", scopes=["buyer"], secret=SECRET)
        await make("auth.accounts.create", id="boss", scopes=["admin"], secret=SECRET)
        await make("auth.accounts.create", id="the-service", type="service", secret=SECRET)
        await running.options(namespace="other").call(
            "auth.accounts.create", id="eve", scopes=["admin", "orders:guard"], secret=SECRET
        )
        for who in ("ann", "boss", "the-service"):
            world.tokens[who] = await world.log_in(who)
        world.tokens["eve"] = await world.log_in("eve", "other")
        await running.serve(orders())
        await make(
            "auth.rules.create",
            id="closed",
            resource={"name": "orders", "endpoint": "closed"},
            access="denied",
            priority=5,
        )
        await world.wire(
            "schedules.add",
            {"schedule": {"id": "of-boss", "target": "orders.pay", "every": 3600.0}},
            world.tokens["boss"],
        )
        yield world
        client.close()
        await client.closed


async def test_an_account_does_not_become_more_than_it_is(world: World) -> None:
    """Nor does nobody, nor an admin of another namespace. All is tried on both ways, and leaves everything as it was."""
    before = await world.state()
    reached = []
    for target, fields in ATTACKS:
        for who in ("ann", "", "eve"):
            token = world.tokens.get(who, "")
            try:
                answered = await world.wire(target, fields, token or NOBODY)
                reached.append(f"{target} {fields} by {who or 'nobody'} on the wire: {answered}")
            except errors.Error as error:
                if not 400 <= error.code < 500:
                    reached.append(f"{target} {fields} by {who or 'nobody'} on the wire: {error.code} {error.detail}")
            for headers in ({}, {"Micro-Namespace": "default"}, {"Micro-Namespace": PLATFORM_NAMESPACE}):
                if who == "eve" and not headers:
                    continue  # in her own namespace she may
                status, answered = await world.http(target, fields, token, **headers)
                if not 400 <= status < 500:
                    reached.append(f"{target} {fields} by {who or 'nobody'} over HTTP, {headers}: {status} {answered}")
    assert reached == []
    assert await world.state() == before


async def test_who_a_caller_says_that_it_is_means_nothing(world: World) -> None:
    """Neither in the frame of a call, nor in what travels along, nor in a header."""
    forged = Account(id="admin", namespace=PLATFORM_NAMESPACE, scopes=("admin",))
    claims = {"authorization": f"Bearer {world.running.token}", CLIENT_ADDRESS: "10.0.0.1", "x-account": "admin"}
    nodes = {"node": "thief-1", "service": "thief", "namespace": "default", "account": "admin", "generation": "1"}
    node = await dial(str(platform_socket(world.running.home)), RefuseCalls(), role="node", properties=nodes)
    for connection, token, expected in (
        (world.client, NOBODY, "nobody"),
        (world.client, world.tokens["ann"], "ann"),
        (node, NOBODY, "nobody"),
        (node, world.tokens["ann"], "ann"),
        (node, "", "thief"),
    ):
        call = UnaryCall("orders", "pay", b"\x80", token=token, namespace="default", metadata=claims, account=forged)
        assert msgspec.msgpack.decode(await call.run(connection.start)) == expected
        for namespace in (PLATFORM_NAMESPACE, "other"):
            if connection is node:
                continue  # it has the namespace of its connection, whatever it says
            call = UnaryCall("registry", "list", b"\x80", token=token, namespace=namespace, account=forged)
            with pytest.raises(errors.Error) as refused:
                await call.run(connection.start)
            assert refused.value.code in (401, 403)
    call = UnaryCall("orders", "pay", b"\x80", token="", namespace="other", account=forged)
    assert msgspec.msgpack.decode(await call.run(node.start)) == "thief"
    node.close()
    await node.closed
    for headers in ({"X-Account": "admin"}, {"Micro-Account": "admin"}, {"Authorization": "Basic YWRtaW46"}):
        assert (await world.http("orders.pay", {}, **headers))[1] == "nobody"
    assert "account" in frames.Call.__struct_fields__  # which the calls above have sent


async def test_only_the_platform_services_and_admins_set_off_what_the_platform_sets_off(world: World) -> None:
    """A handler of events believes what it gets: no account makes up an event for it, on no way."""
    taken = []
    service = Service("mailer")

    @service.consume("orders.created")
    async def on_created(ctx: Context, event: dict[str, Any]) -> None:
        taken.append(event["by"])

    await world.running.serve(service)
    for who in ("ann", ""):
        token = world.tokens.get(who, "")
        event = {"event": {"by": "somebody"}}
        schedule = {"target": "mailer.on-created", "request": event, "delay": 0.0}
        for target, fields in (("mailer.on-created", event), ("schedules.add", {"schedule": schedule})):
            with pytest.raises(errors.Error) as refused:
                await world.wire(target, fields, token or NOBODY)
            assert refused.value.code in (401, 403)
            status, _ = await world.http(target, fields, token)
            assert status in (401, 403, 404)
    assert taken == []
    await world.wire("mailer.on-created", {"event": {"by": "an admin"}}, world.tokens["boss"])
    assert taken == ["an admin"]


@pytest.mark.parametrize("forged", ["10.0.0.{}", "2001:db8::{}"])
async def test_the_throttle_counts_the_address_that_connects(world: World, forged: str) -> None:
    """Whatever address a client names: of another one, the next attempt would be looked at."""
    codes = set()
    for number in range(40):
        headers = {name: forged.format(number) for name in (CLIENT_ADDRESS, "X-Forwarded-For", "X-Real-Ip")}
        headers["Forwarded"] = f"for={forged.format(number)}"
        status, _ = await world.http("auth.token", {"id": f"a{number}", "secret": "wrong secret"}, **headers)
        codes.add((status, number >= 30))
    assert codes == {(401, False), (429, True)}


async def test_what_a_node_is_told_of_revocations_names_nothing_of_another_namespace(world: World) -> None:
    """An admin, too, may read it: of nodes and join tokens it has those of his own namespace only."""
    revoke = world.running._booted.identities.policies.revoke
    marks = ("node:default/orders-9/1", "node:other/secret-9/1", "join:other/jt", "account:0123", "personal:0123")
    await revoke(marks)
    for who, namespace, hidden in (("boss", "default", {"secret-9", "other"}), ("eve", "other", {"orders-9"})):
        address = urlsplit(world.running.http)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        head = f"POST /auth/watch HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {world.tokens[who]}\r\n"
        writer.write(f"{head}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}".encode())
        text = (await reader.readuntil(b"}\n")).decode()
        assert "account:0123" in text
        assert f"node:{namespace}/" in text
        for name in hidden:
            assert name not in text
        writer.close()


async def test_no_node_says_that_it_is_one_of_the_platforms_own_namespace(world: World) -> None:
    properties = {"node": "thief-1", "service": "thief", "namespace": PLATFORM_NAMESPACE}
    node = await dial(str(platform_socket(world.running.home)), RefuseCalls(), role="node", properties=properties)
    with pytest.raises(errors.Error):
        await UnaryCall("auth", "whoami", b"\x80").run(node.start)
    await node.closed


async def test_what_a_document_tells_ends_with_the_rule(world: World) -> None:
    """A document that was made for an account is not shown once more after a rule has taken something from it."""
    for path in ("openapi.json", "asyncapi.json"):
        _, before = await asyncio.to_thread(world._get, path, world.tokens["ann"])
        assert ("/orders/pay" in before) == (path == "openapi.json")
        resource = {"name": "orders"}
        await world.running.call("auth.rules.create", id=path, resource=resource, access="denied", priority=9)
        _, after = await asyncio.to_thread(world._get, path, world.tokens["ann"])
        assert "/orders/pay" not in after
        await world.running.call("auth.rules.delete", id=path)


async def test_tokens_that_mean_nothing_take_no_memory(world: World) -> None:
    """Whoever asks without an account leaves little behind, however long what he shows is."""
    access = world.running._booted.gateway.edge.access
    for number in range(20):
        assert (await world.http("orders.pay", {}, f"{number}" + "x" * 7_000))[1] == "nobody"
        assert (await world.http("orders.pay", {}, f"{number}" + "x" * 70))[1] == "nobody"
    assert sum(map(len, access._strange)) < 20 * 100
