"""Functions and handler classes as endpoints: what goes in, what comes out, what is refused."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
import pytest

from microlite import Context, Service, endpoint, errors

if TYPE_CHECKING:
    from microlite.testing import RunningPlatform


class Size(Enum):
    SMALL = "s"
    LARGE = "l"


@dataclass
class Item:
    name: str
    price: float
    size: Size = Size.SMALL


class Order(msgspec.Struct):
    id: UUID
    customer: str
    items: list[Item]
    at: datetime
    total: Decimal


@pytest.fixture
def orders() -> Service:
    service = Service("orders")

    @service.endpoint
    async def create(ctx: Context, customer: str, items: list[Item], note: str = "", gift: bool = False) -> Order:
        return Order(
            UUID(int=7), customer, items, datetime(2026, 11, 23, tzinfo=UTC), Decimal(str(sum(i.price for i in items)))
        )

    @service.endpoint
    def count(items: list[Item]) -> int:
        return len(items)

    @service.endpoint
    def where() -> str:
        return threading.current_thread().name

    @service.endpoint
    async def call(ctx: Context) -> dict[str, Any]:
        return {"endpoint": ctx.endpoint, "service": ctx.service, "node": ctx.node, "namespace": ctx.namespace}

    @service.endpoint
    async def zero(number: int = 7, text: str = "x", flag: bool = True) -> list[Any]:
        return [number, text, flag]

    @service.endpoint
    async def nothing() -> None:
        return None

    return service


async def test_typed_values_arrive_typed_and_return_as_plain_ones(platform: RunningPlatform, orders: Service) -> None:
    await platform.serve(orders)
    answer = await platform.call("orders.create", customer="Ann", items=[{"name": "tea", "price": 2.5, "size": "l"}])
    assert answer == {
        "id": "00000000-0000-0000-0000-000000000007",
        "customer": "Ann",
        "items": [{"name": "tea", "price": 2.5, "size": "l"}],
        "at": datetime(2026, 11, 23, tzinfo=UTC),
        "total": "2.5",
    }


async def test_a_request_may_be_one_object_with_all_fields(platform: RunningPlatform, orders: Service) -> None:
    await platform.serve(orders)

    @dataclass
    class Request:
        items: list[Item]

    assert await platform.call("orders.count", {"items": []}) == 0
    assert await platform.call("orders.count", Request([Item("tea", 1.0)])) == 1


async def test_a_plain_function_runs_in_a_thread_of_its_own(platform: RunningPlatform, orders: Service) -> None:
    await platform.serve(orders)
    assert await platform.call("orders.where") != threading.current_thread().name


async def test_zero_values_are_not_dropped(platform: RunningPlatform, orders: Service) -> None:
    await platform.serve(orders)
    assert await platform.call("orders.zero", number=0, text="", flag=False) == [0, "", False]
    assert await platform.call("orders.zero") == [7, "x", True]
    assert await platform.call("orders.nothing") is None


async def test_a_target_without_an_endpoint_means_the_default_one(platform: RunningPlatform, orders: Service) -> None:
    await platform.serve(orders)
    assert await platform.call("orders") == {
        "endpoint": "call",
        "service": "orders",
        "node": "orders-1",
        "namespace": "default",
    }


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"customer": "Ann", "items": [{"name": "tea", "price": "much"}]}, "items[0].price"),
        ({"customer": 7, "items": []}, "customer"),
        ({"items": []}, "customer"),
        ({"customer": "Ann", "items": [{"name": "tea", "price": 1.0, "size": "xl"}]}, "items[0].size"),
        ({"customer": "Ann", "items": [], "nonsense": 1}, "nonsense"),
    ],
)
async def test_a_request_that_does_not_fit_is_refused_by_the_name_of_its_field(
    platform: RunningPlatform, orders: Service, fields: dict[str, Any], named: str
) -> None:
    await platform.serve(orders)
    with pytest.raises(errors.BadRequest) as caught:
        await platform.call("orders.create", fields)
    assert named in caught.value.detail


async def test_handler_classes_nest_their_endpoints(platform: RunningPlatform) -> None:
    class Notes:
        def __init__(self) -> None:
            self.kept: list[str] = []

        async def create(self, ctx: Context, text: str) -> int:
            self.kept.append(text)
            return len(self.kept)

        def all(self) -> list[str]:
            return self.kept

        @endpoint(name="drop")
        async def remove_everything(self) -> None:
            self.kept.clear()

        def _private(self) -> None:
            raise AssertionError

    class Comments:
        async def create(self, text: str) -> str:
            return f"comment {text}"

    notes = Service("notes")
    notes.handle(Notes())
    notes.handle(Comments())
    await platform.serve(notes)
    assert await platform.call("notes.create", text="a") == 1
    assert await platform.call("notes.comments.create", text="b") == "comment b"
    assert await platform.call("notes.all") == ["a"]
    await platform.call("notes.drop")
    assert await platform.call("notes.all") == []
    with pytest.raises(errors.EndpointNotFound):
        await platform.call("notes.private")


async def test_what_does_not_exist_is_named(platform: RunningPlatform, orders: Service) -> None:
    with pytest.raises(errors.ServiceNotFound, match="orders"):
        await platform.call("orders.create")
    await platform.serve(orders)
    with pytest.raises(errors.EndpointNotFound, match="destroy"):
        await platform.call("orders.destroy")
    with pytest.raises(errors.BadRequest, match="names no endpoint"):
        await platform.call("orders..create")


async def test_an_error_of_the_tree_reaches_the_caller_as_it_was_raised(platform: RunningPlatform) -> None:
    shop = Service("shop")

    @shop.endpoint
    async def buy() -> None:
        raise errors.Conflict("sold out", id="shop.stock")

    @shop.endpoint
    def sell() -> None:
        raise errors.Error("I am a teapot", code=418)

    await platform.serve(shop)
    with pytest.raises(errors.Conflict) as conflict:
        await platform.call("shop.buy")
    assert (conflict.value.code, conflict.value.detail, conflict.value.id) == (409, "sold out", "shop.stock")
    with pytest.raises(errors.Error) as teapot:
        await platform.call("shop.sell")
    assert (teapot.value.code, teapot.value.detail) == (418, "I am a teapot")


class _Unspeakable:
    pass


@pytest.mark.parametrize("name", ["breaks", "blocks", "exits", "stops", "answers-nonsense", "cancels"])
async def test_an_uncaught_exception_is_a_500_with_an_id_and_the_service_lives_on(
    platform: RunningPlatform, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    service = Service("frail")

    def secret_place() -> None:
        raise ValueError("the secret reason")

    @service.endpoint
    async def breaks() -> None:
        secret_place()

    @service.endpoint
    def blocks() -> None:
        secret_place()

    @service.endpoint
    async def exits() -> None:
        raise SystemExit(3)

    @service.endpoint
    def stops() -> None:
        raise StopIteration

    @service.endpoint
    async def answers_nonsense() -> Any:
        return _Unspeakable()

    @service.endpoint
    async def cancels() -> None:
        raise asyncio.CancelledError

    @service.endpoint
    async def well() -> str:
        return "well"

    await platform.serve(service)
    with pytest.raises(errors.Error) as caught:
        await platform.call(f"frail.{name}")
    error = caught.value
    assert "secret" not in error.detail
    assert "Traceback" not in error.detail
    if name == "cancels":
        assert isinstance(error, errors.OutcomeUnknown)
    else:
        assert error.code == 500
        assert error.id
        assert error.id in error.detail
        logged = [record.getMessage() for record in caplog.records if error.id in record.getMessage()]
        assert len(logged) == 1
        assert __file__ in logged[0]
        if name in ("breaks", "blocks"):
            assert "the secret reason" in logged[0]
            assert "secret_place" in logged[0]
            assert "microlite/core" not in logged[0], "our frames were not cut"
    assert await platform.call("frail.well") == "well"


async def test_an_error_says_whose_it_is(platform: RunningPlatform, orders: Service) -> None:
    """Of the endpoint that refused, or did not end in time; also where another service passes it on."""
    clerk = Service("clerk")

    @orders.endpoint
    async def wait() -> None:
        await asyncio.Event().wait()

    @clerk.endpoint
    async def take(ctx: Context) -> None:
        await ctx.call("orders.create", customer=7)

    await platform.serve(orders)
    await platform.serve(clerk)
    for name, whose in (("orders.create", "orders.create"), ("clerk.take", "orders.create")):
        with pytest.raises(errors.BadRequest) as refused:
            await platform.call(name)
        assert refused.value.id == whose
    with pytest.raises(errors.Timeout) as late:
        await platform.options(timeout=0.05).call("orders.wait")
    assert late.value.id == "orders.wait"
