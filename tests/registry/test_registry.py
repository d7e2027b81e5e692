"""Registrations: each as long as its connection, generations side by side, none in another's place."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import pytest

from microlite import Service
from microlite.core import errors
from microlite.core.clock import ManualClock
from microlite.core.description.structs import ServiceDescription
from microlite.core.library.caller import Caller
from microlite.core.library.peers import Peers, RefuseCalls
from microlite.core.registry import service as registry_module
from microlite.core.registry.api import Action, Event, Node, Registration
from microlite.core.registry.registry import Lease, Registry
from microlite.core.rpc.paths import platform_socket
from microlite.core.rpc.sockets import dial

if TYPE_CHECKING:
    from microlite.core.rpc.connection import Connection
    from microlite.testing import RunningPlatform


class Line:
    """A connection that can break."""

    def __init__(self) -> None:
        self._callbacks: list[Callable[[Any], None]] = []
        self.broken = False

    def add_lost_callback(self, callback: Callable[[Any], None]) -> None:
        """As a connection does, at once where it is broken already."""
        if self.broken:
            callback(self)
        else:
            self._callbacks.append(callback)

    def snap(self) -> None:
        """Break."""
        self.broken = True
        for callback in self._callbacks:
            callback(self)


def registration(node: str = "shop-1", generation: int = 0, *, name: str = "shop", version: str = "1") -> Registration:
    return Registration(
        service=ServiceDescription(name=name, version=version, endpoints=()),
        node=Node(id=node, generation=generation, started=float(generation)),
    )


class Told:
    """A registry, and what it has told."""

    def __init__(self) -> None:
        self.registry = Registry(ManualClock())
        self.leases: list[tuple[str, int]] = []
        self.events: list[tuple[str, int]] = []
        self.registry.subscribe(self._on_lease)
        self.registry.watch(self._on_event)

    def _on_lease(self, action: Action, lease: Lease) -> None:
        self.leases.append((action.value, lease.registration.node.generation))

    def _on_event(self, namespace: str, event: Event) -> None:
        assert namespace == "default"
        self.events.append((event.action.value, event.node.generation))

    def add(self, line: Line, **which: Any) -> Lease:
        return self.registry.register(registration(**which), cast("Connection", line))

    def shown(self) -> list[tuple[str, int]]:
        return [(n.id, n.generation) for record in self.registry.services("default") for n in record.nodes]


@pytest.fixture
def told() -> Told:
    return Told()


def test_a_registration_ends_with_its_connection(told: Told) -> None:
    line = Line()
    told.add(line)
    assert told.shown() == [("shop-1", 0)]
    line.snap()
    assert told.shown() == []
    assert told.events == [("create", 0), ("delete", 0)]
    with pytest.raises(errors.ServiceNotFound, match="shop"):
        told.registry.get("default", "shop")


def test_two_generations_stand_side_by_side_and_the_later_one_is_shown(told: Told) -> None:
    old, new = Line(), Line()
    told.add(old, generation=1)
    told.add(new, generation=2)
    assert told.shown() == [("shop-1", 2)]
    old.snap()
    assert told.shown() == [("shop-1", 2)], "a late old node deleted its successor"
    assert told.events == [("create", 1), ("update", 2)]
    assert told.leases == [("create", 1), ("update", 2), ("delete", 1)]


def test_a_successor_that_fails_leaves_the_old_node_as_it_was(told: Told) -> None:
    old, new = Line(), Line()
    lease = told.add(old, generation=1)
    told.add(new, generation=2)
    new.snap()
    assert told.shown() == [("shop-1", 1)]
    assert told.registry.find("default", "shop-1") is lease
    assert told.events == [("create", 1), ("update", 2), ("update", 1)]
    old.snap()
    assert told.shown() == []
    assert told.events[-1] == ("delete", 1)


def test_a_late_old_node_does_not_overwrite_its_successor(told: Told) -> None:
    told.add(Line(), generation=2)
    with pytest.raises(errors.Conflict, match="generation 2, later than 1"):
        told.add(Line(), generation=1)
    assert told.shown() == [("shop-1", 2)]


def test_two_processes_cannot_be_the_same_node(told: Told) -> None:
    first = Line()
    told.add(first, generation=1)
    with pytest.raises(errors.Conflict, match="another process"):
        told.add(Line(), generation=1)
    first.snap()
    told.add(Line(), generation=1)


def test_a_node_may_say_something_new_about_itself(told: Told) -> None:
    line = Line()
    told.add(line)
    told.add(line, version="2")
    assert [record.version for record in told.registry.services("default")] == ["2"]
    line.snap()
    assert told.shown() == []


def test_a_connection_that_broke_before_holds_nothing(told: Told) -> None:
    line = Line()
    line.snap()
    told.add(line)
    assert told.shown() == []
    assert told.events == [("create", 0), ("delete", 0)]


def test_one_connection_may_hold_several_nodes(told: Told) -> None:
    line = Line()
    told.add(line, node="shop-1")
    lease = told.add(line, node="shop-2")
    told.registry.deregister(lease)
    told.registry.deregister(lease)
    assert told.shown() == [("shop-1", 0)]
    line.snap()
    assert told.shown() == []


@pytest.mark.parametrize("name", ["store", "Shop", "my_shop", "", "a/b", "run"])
def test_names_of_the_platform_and_names_that_are_none_are_refused(told: Told, name: str) -> None:
    with pytest.raises(errors.BadRequest):
        told.add(Line(), name=name)
    assert told.shown() == []


def test_versions_of_a_service_are_records_of_their_own(told: Told) -> None:
    told.add(Line(), node="a", version="1")
    told.add(Line(), node="b", version="2")
    told.add(Line(), node="c", version="2")
    assert [(record.version, len(record.nodes)) for record in told.registry.get("default", "shop")] == [
        ("1", 1),
        ("2", 2),
    ]
    assert told.registry.services("elsewhere") == []


async def test_a_watch_streams_what_comes_and_goes(platform: RunningPlatform) -> None:
    shop, bank = Service("shop"), Service("bank")
    async with asyncio.timeout(20), platform.stream("registry.watch", service="shop") as events:
        news = aiter(events)
        first = asyncio.ensure_future(anext(news))
        while not platform._booted.registry._watchers:
            await asyncio.sleep(0)
        await platform.serve(bank)
        await platform.serve(shop)
        assert (await first)["action"] == "create"
        await platform.restart(shop)
        assert (await anext(news))["action"] == "update"
        await platform.stop(shop)
        assert (await anext(news))["action"] == "delete", "the node that drained is shown no more"


async def test_a_watch_that_is_read_too_slowly_ends_and_says_so(
    platform: RunningPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_module, "MAX_WAITING", 2)
    registry = platform._booted.registry
    async with asyncio.timeout(20), platform.stream("registry.watch") as events:
        news = aiter(events)
        first = asyncio.ensure_future(anext(news))
        while not registry._watchers:
            await asyncio.sleep(0)
        for number in range(10):  # all in one turn
            registry.register(registration(f"shop-{number}"), None)
        await first
        with pytest.raises(errors.ServiceUnavailable, match="read too slowly"):
            assert len([event async for event in news]) < 9


async def test_a_node_takes_itself_out_and_nobody_else(platform: RunningPlatform) -> None:
    await platform.serve(Service("shop"))
    with pytest.raises(errors.NotFound, match="shop-1"):
        await platform.call("registry.deregister", node="shop-1")
    described = {"name": "mine", "version": "1", "endpoints": []}
    registration = {"service": described, "node": {"id": "mine-1"}}
    connection = await dial(
        str(platform_socket(platform.home)),
        RefuseCalls(),
        role="node",
        properties={"service": "mine", "node": "mine-1"},
    )
    node = Caller(Peers(connection, namespace="default", node="mine-1", clock=platform.clock).platform)
    await node.call("registry.register", registration=registration)
    assert len(await platform.call("registry.get", service="mine")) == 1
    await node.call("registry.deregister", node="mine-1")
    with pytest.raises(errors.ServiceNotFound):
        await platform.call("registry.get", service="mine")
    connection.close()
    await connection.closed


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"namespace": "blue"}, "the namespace 'default', and cannot register 'blue'"),
        ({"service": {"name": "other", "version": "1", "endpoints": []}}, "the service 'mine', and cannot"),
        ({"node": {"id": "shop-1"}}, "the node 'mine-1', and cannot register 'shop-1'"),
        ({"node": {"id": "mine-1", "generation": 7}}, "generation 0, and cannot register 7"),
        ({"node": {"id": "mine-1", "protocol": "http", "address": "http://127.0.0.1:1"}}, "reached over the wire"),
    ],
)
async def test_a_node_registers_as_what_it_was_proven_to_be(
    platform: RunningPlatform, change: dict[str, Any], said: str
) -> None:
    connection = await dial(
        str(platform_socket(platform.home)),
        RefuseCalls(),
        role="node",
        properties={"service": "mine", "node": "mine-1"},
    )
    node = Caller(Peers(connection, namespace="default", node="mine-1", clock=platform.clock).platform)
    described = {"name": "mine", "version": "1", "endpoints": []}
    with pytest.raises(errors.Forbidden, match=said):
        await node.call("registry.register", registration={"service": described, "node": {"id": "mine-1"}, **change})
    connection.close()
    await connection.closed


async def test_a_client_registers_nothing(platform: RunningPlatform) -> None:
    described = {"name": "mine", "version": "1", "endpoints": []}
    with pytest.raises(errors.Forbidden, match="only a node"):
        await platform.call("registry.register", registration={"service": described, "node": {"id": "mine-1"}})
