"""What a `Service` collects, and what it refuses."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from microlite.core.description import DeclarationError, Encoding, Role, Streaming
from microlite.core.library.context import Context
from microlite.core.library.handlers import endpoint
from microlite.core.library.middleware import Invocation
from microlite.core.library.service import Service

if TYPE_CHECKING:
    from microlite.core.library.middleware import Proceed


@dataclass
class Order:
    id: str


@pytest.fixture
def orders() -> Service:
    return Service("orders", version="1.0.0", metadata={"team": "shop"}, doc="Sells things.")


def test_the_service_of_the_design_is_described_whole(orders: Service) -> None:
    @orders.endpoint
    async def create(ctx: Context, customer: str) -> Order:
        """Create an order."""
        return Order(customer)

    @orders.endpoint(route="GET /orders/{id}", idempotent=True, metadata={"a": "b"}, deprecated=True)
    async def read(ctx: Context, id: str) -> Order:
        raise NotImplementedError

    @orders.endpoint
    async def watch(ctx: Context) -> AsyncIterator[Order]:
        yield Order("1")

    @orders.endpoint(name="Reports.DaySum")
    def day_sum() -> int:
        return 0

    service = orders.describe()
    assert (service.name, service.version, service.doc) == ("orders", "1.0.0", "Sells things.")
    assert service.metadata == {"team": "shop"}
    assert [e.name for e in service.endpoints] == ["create", "read", "watch", "reports.day-sum"]
    assert list(orders.endpoints) == ["create", "read", "watch", "reports.day-sum"]
    described = service.endpoint("read")
    assert described is not None
    assert (described.route, described.idempotent, described.deprecated) == ("GET /orders/{id}", True, True)
    assert described.metadata == {"a": "b"}
    assert orders.endpoints["watch"].streaming is Streaming.SERVER
    assert msgspec.json.decode(msgspec.json.encode(service), type=type(service)) == service


async def test_a_declared_function_can_still_be_called(orders: Service) -> None:
    @orders.endpoint
    async def double(n: int) -> int:
        return 2 * n

    assert await double(2) == 4
    compiled = orders.endpoints["double"]
    reply = await compiled.invoke(None, compiled.decode_request(b'{"n": 3}', Encoding.JSON))
    assert compiled.encode_response(reply, Encoding.JSON) == b"6"


class Orders:
    def __init__(self, factor: int) -> None:
        self.factor = factor

    async def create(self, ctx: Context, n: int) -> int:
        return n * self.factor

    @endpoint(route="GET /orders/{id}", name="get")
    def read(self, id: str) -> str:
        return id

    @staticmethod
    def list_() -> list[str]:
        return []

    def _secret(self) -> int:
        return 1

    @property
    def size(self) -> int:
        raise AssertionError("a property is not looked at")


class Comments:
    async def create(self, text: str) -> str:
        return text


class MoreComments(Comments):
    @endpoint
    async def delete(self, id: str) -> None: ...


async def test_methods_of_a_handler_class_are_endpoints_under_its_name(orders: Service) -> None:
    orders.handle(Orders(3))
    orders.handle(Comments())
    orders.handle(MoreComments())
    orders.handle(Comments(), name="orders.replies")
    orders.handle(Comments(), name="old.comments")
    assert list(orders.endpoints) == [
        "create",
        "get",
        "list",
        "comments.create",
        "more-comments.create",
        "more-comments.delete",
        "replies.create",
        "old.comments.create",
    ]
    assert await orders.endpoints["create"].invoke("ctx", (2,)) == 6
    assert orders.endpoints["get"].description.route == "GET /orders/{id}"


class Silent:
    def close(self): ...  # type: ignore[no-untyped-def]


class Empty:
    pass


@pytest.mark.parametrize(
    ("handler", "words"),
    [
        (Orders, r"wants an object; write `service.handle\(Orders\(\)\)`"),
        (Empty(), "no public method"),
        (Silent(), "Silent.close .*: a public method .* or call it `_close`"),
    ],
)
def test_what_is_no_handler_object_is_refused(orders: Service, handler: object, words: str) -> None:
    with pytest.raises(DeclarationError, match=words):
        orders.handle(handler)


def test_one_name_twice_is_refused_with_both_places(orders: Service) -> None:
    def create() -> None: ...
    def again() -> None: ...

    orders.endpoint(create)
    with pytest.raises(DeclarationError) as caught:
        orders.endpoint(name="Orders.Create")(again)
    line = create.__code__.co_firstlineno
    assert str(caught.value) == (
        f"again ({__file__}:{line + 1}): the endpoint `create` is declared already by create ({__file__}:{line}); "
        "give one a `name=`"
    )


@pytest.mark.parametrize(
    ("route", "words"),
    [
        ("GET /orders/{key}", "matches the same paths as 'GET /orders/{id}' of first"),
        ("GET /orders/first", "is the path of the endpoint `first`, first"),
        (
            "GET /shop/{key}",
            "lies outside /orders: .* unless an admin grants it the prefix; write GET /orders/shop/{key}",
        ),
        ("GET /orders/{other}", "has {other}, but the function has no such parameter"),
        ("orders", "is no route"),
    ],
)
def test_routes_that_clash_or_do_not_fit_are_refused_with_both_functions(
    orders: Service, route: str, words: str
) -> None:
    @orders.endpoint(route="GET /orders/{id}")
    def first(id: str) -> str:
        return id

    def second(key: str = "") -> None: ...

    with pytest.raises(DeclarationError, match=r"second .*" + words.replace("{", r"\{").replace("}", r"\}")):
        orders.endpoint(route=route)(second)
    assert list(orders.endpoints) == ["first"]
    assert [str(known) for known in orders.routes.values()] == ["GET /orders/{id}"]


def test_an_endpoint_whose_path_is_taken_by_a_route_is_refused(orders: Service) -> None:
    @orders.endpoint(route="GET /orders/new")
    def form() -> str:
        return ""

    @orders.endpoint(route="GET /orders")
    def everything() -> str:
        return ""

    for name in ("new", "call"):
        with pytest.raises(DeclarationError, match=r"its path is the route 'GET /orders.*' of .*; rename one"):
            orders.endpoint(name=name)(lambda: None)


def test_a_route_may_repeat_its_own_path(orders: Service) -> None:
    @orders.endpoint(route="POST /orders/create")
    def create() -> None: ...

    assert orders.endpoints["create"].description.route == "POST /orders/create"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": "auth"}, "built-in service"),
        ({"name": "run"}, "command line"),
        ({"name": "a b"}, "no name for a service"),
        ({"name": "a", "version": "1 0"}, "'1 0' is no version"),
        ({"name": "a", "metadata": {"a": 1}}, "metadata holds strings only; write 'a': '1'"),
    ],
)
def test_a_service_that_cannot_be_is_refused_with_file_and_line(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(DeclarationError, match=words) as caught:
        Service(**arguments)
    assert f"{__file__}:" in str(caught.value)


def test_roles_are_for_built_in_services(orders: Service) -> None:
    def wipe() -> None: ...

    with pytest.raises(DeclarationError, match="`role` is for built-in services"):
        orders.endpoint(role=Role.ADMIN)(wipe)
    store = Service("store", built_in=True)
    store.endpoint(role=Role.ADMIN, reads=True)(wipe)
    assert store.endpoints["wipe"].description.role is Role.ADMIN
    assert store.endpoints["wipe"].description.reads


async def test_middleware_stands_around_the_function_first_declared_outermost(orders: Service) -> None:
    seen: list[Any] = []

    @orders.endpoint
    async def double(n: int) -> int:
        seen.append("function")
        return 2 * n

    @orders.middleware
    async def outer(ctx: Context, call: Invocation, proceed: Proceed) -> object:
        seen.append((ctx, call.endpoint.name, call.fields))
        return await proceed() + 1

    @orders.middleware
    async def inner(ctx: Context, call: Invocation, proceed: Proceed) -> object:
        seen.append("inner")
        return await proceed() * 10

    compiled = orders.endpoints["double"]
    context: Any = "context"

    async def handler(ctx: Context, call: Invocation) -> object:
        return await call.endpoint.invoke(ctx, call.arguments)

    assert await orders.wrap(handler)(context, Invocation(compiled, (2,))) == 41
    assert Service("plain").wrap(handler) is handler  # nothing is paid where there is no middleware
    assert seen == [("context", "double", {"n": 2}), "inner", "function"]


def test_middleware_of_another_form_is_refused(orders: Service) -> None:
    def plain(ctx: Any, call: Any, proceed: Any) -> Any: ...
    async def short(ctx: Any, proceed: Any) -> Any: ...

    functions: list[Any] = [plain, short]
    for function in functions:
        with pytest.raises(DeclarationError, match=f"{function.__name__} .*write middleware as"):
            orders.middleware(function)
    assert orders.middlewares == ()


async def test_hooks_run_in_order_and_backwards_plain_ones_in_a_thread(orders: Service) -> None:
    seen: list[Any] = []

    @orders.on_start
    async def first(ctx: Context) -> None:
        seen.append(("first", ctx))

    @orders.on_start
    def second() -> None:
        seen.append(("second", threading.current_thread() is threading.main_thread()))

    @orders.on_stop
    async def last() -> None:
        seen.append("last")

    @orders.on_stop
    async def before_last() -> None:
        seen.append("before last")

    context: Any = "context"
    for hook in (*orders.start_hooks, *orders.stop_hooks):
        await hook.run(context)
    assert seen == [("first", "context"), ("second", False), "before last", "last"]
    with pytest.raises(DeclarationError, match="takes the context or nothing"):
        orders.on_start(lambda ctx, more: None)
