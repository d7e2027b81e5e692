"""From a function to a signature, and the words for functions that cannot be endpoints."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from microlite.core.description import DeclarationError, Streaming, compile_endpoint
from microlite.core.description.signature import NONE_GIVEN, read_signature
from microlite.core.library.context import Context

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal


@dataclass
class Item:
    name: str
    price: float = 0.0


class Own(Context):
    pass


class Plain:
    a: int


class Left(msgspec.Struct):
    a: int


class Right(msgspec.Struct):
    a: int


async def unary(ctx: Context, item: Item, count: int = 1) -> Item:
    raise NotImplementedError


def in_thread(item: Item) -> None: ...
async def server(ctx: Context) -> AsyncIterator[Item]:
    yield Item("a")


async def server_by_generator() -> AsyncGenerator[Item, None]:
    yield Item("a")


async def server_by_return(ctx: Context) -> AsyncIterator[Item]:
    return server(ctx)


def server_by_plain_return(ctx: Context) -> AsyncIterator[Item]:
    return server(ctx)


def sync_server() -> Iterator[Item]:
    yield Item("a")


def sync_server_by_generator() -> Generator[Item, None, None]:
    yield Item("a")


async def client(ctx: Context, room: str, items: AsyncIterator[Item], limit: int = 1) -> int:
    raise NotImplementedError


async def client_iterable(items: AsyncIterable[Item]) -> int:
    raise NotImplementedError


def sync_client(items: Iterator[Item]) -> int:
    raise NotImplementedError


async def both(items: AsyncIterator[Item]) -> AsyncIterator[Item]:
    yield Item("a")


def awaitable(item: Item) -> Awaitable[Item]:
    raise NotImplementedError


@pytest.mark.parametrize(
    ("function", "streaming", "is_async"),
    [
        (unary, "unary", True),
        (in_thread, "unary", False),
        (server, "server", True),
        (server_by_generator, "server", True),
        (server_by_return, "server", True),
        (server_by_plain_return, "server", True),
        (sync_server, "server", False),
        (sync_server_by_generator, "server", False),
        (client, "client", True),
        (client_iterable, "client", True),
        (sync_client, "client", False),
        (both, "bidirectional", True),
        (awaitable, "unary", True),
    ],
)
def test_streaming_and_colour_follow_from_the_annotations(
    function: Callable[..., Any], streaming: str, is_async: bool
) -> None:
    signature = read_signature(function)
    assert signature.streaming == streaming
    assert signature.is_async is is_async
    if streaming in ("server", "bidirectional") or function is awaitable:
        assert signature.response is Item
    if signature.streaming.from_client:
        assert signature.items is Item
    else:
        assert signature.items is NONE_GIVEN


def test_a_stream_is_found_between_the_fields() -> None:
    signature = read_signature(client)
    assert [field.name for field in signature.fields] == ["room", "limit"]
    assert (signature.items_name, signature.items_index) == ("items", 1)


def test_the_context_is_known_by_class_subclass_and_name() -> None:
    async def by_subclass(own: Own, a: int) -> None: ...
    async def by_name(ctx, a: int) -> None: ...  # type: ignore[no-untyped-def]  # a context needs no annotation
    async def without(a: int) -> None: ...

    assert read_signature(unary).takes_context
    assert read_signature(by_subclass).takes_context
    assert read_signature(by_name).takes_context
    assert not read_signature(without).takes_context


def test_types_made_inside_a_function_are_found() -> None:
    @dataclass
    class Local:
        a: int

    def endpoint(x: Local, y: list[Local]) -> dict[str, Local]:
        raise NotImplementedError

    assert [field.annotation for field in read_signature(endpoint).fields] == [Local, list[Local]]


def test_a_decorated_function_is_read_through_its_wrapper() -> None:
    def twice(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return wrapper

    signature = read_signature(twice(unary))
    assert signature.is_async
    assert [field.name for field in signature.fields] == ["item", "count"]


def test_docstrings_give_prose_and_a_line_for_each_field() -> None:
    async def order(customer: str, items: list[str], note: str = "") -> None:
        """Place an order.

        It is sent at once.

        Args:
            customer: who orders,
                by name: the full one.
            items (list[str]): what.
            unknown: nobody.

        Returns:
            nothing to speak of.

        Note:
            Mind the gap.
        """

    signature = read_signature(order)
    assert signature.doc == "Place an order.\n\nIt is sent at once.\n\nNote:\n    Mind the gap."
    assert [field.doc for field in signature.fields] == ["who orders, by name: the full one.", "what.", ""]


# from here on each function is wrong on purpose, which is what the ignores are for
def bad_unannotated(x) -> None: ...  # type: ignore[no-untyped-def]
def bad_default(x=1) -> None: ...  # type: ignore[no-untyped-def]
def bad_args(*names: str) -> None: ...
def bad_kwargs(**names: str) -> None: ...
def bad_object(x: object) -> None: ...
def bad_path(x: list[Path]) -> None: ...
def bad_plain(x: Plain | None) -> None: ...
def bad_return() -> Plain:
    raise NotImplementedError


def bad_union(x: Left | Right) -> None: ...
def bad_name(x: Decimal) -> None: ...
def bad_value(x: 3) -> None: ...  # type: ignore[valid-type]
def bad_subscript(x: int[str]) -> None: ...  # type: ignore[type-arg]
def bad_context_place(x: int, context: Context) -> None: ...
def bad_iterable(x: Iterable[int]) -> None: ...
async def bad_sync_stream(x: Iterator[int]) -> None: ...
def bad_async_stream(x: AsyncIterator[int]) -> None: ...
def bad_two_streams(x: Iterator[int], y: Iterator[int]) -> None: ...
def bad_bare_stream(x: Iterator) -> None: ...  # type: ignore[type-arg]
def bad_keyword_stream(*, x: Iterator[int]) -> None: ...
def bad_iterable_return() -> Iterable[int]:
    raise NotImplementedError


async def bad_sync_return() -> Iterator[int]:
    raise NotImplementedError


async def bad_yield() -> int:  # type: ignore[misc]
    yield 1


def bad_self(self, x: int) -> None: ...  # type: ignore[no-untyped-def]
def bad_constant(x: int = Plain) -> None: ...  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (bad_unannotated, "parameter `x` has no annotation; write its type, for example `x: str`"),
        (bad_default, "for example `x: int`"),
        (bad_args, r"parameter `\*names`: a request has named fields; write `names: list\[str\]`"),
        (bad_kwargs, r"parameter `\*\*names`: a request has named fields; write `names: dict\[str, str\]`"),
        (bad_object, "parameter `x`: the type `object` has no schema; write `Any`"),
        (bad_path, "parameter `x`: the type `Path` has no schema; write `str`"),
        (bad_plain, "parameter `x`: the type `Plain` has no schema; write `@dataclass` above `class Plain`"),
        (bad_return, "the return annotation: the type `Plain` has no schema"),
        (bad_union, r"parameter `x`: .* has no schema: .* give them a tag"),
        (bad_name, "parameter `x`: the name `Decimal` in `Decimal` is not known .*not under `if TYPE_CHECKING:`"),
        (bad_value, "parameter `x`: the type `3` has no schema"),
        (bad_context_place, "parameter `context`: the context comes first"),
        (bad_iterable, r"write `list\[int\]` for a field .* or `Iterator\[int\]` for a stream"),
        (bad_sync_stream, r"an `async def` takes a stream as `AsyncIterator\[int\]`"),
        (bad_async_stream, r"a plain `def` takes a stream as `Iterator\[int\]`"),
        (bad_two_streams, "parameter `y`: `x` is a stream already"),
        (bad_bare_stream, r"say what is streamed, for example `Iterator\[str\]`"),
        (bad_keyword_stream, r"parameter `x`: put the stream before the `\*`"),
        (bad_iterable_return, r"write `list\[int\]` for a list, or `Iterator\[int\]` for a stream"),
        (bad_sync_return, r"write `-> AsyncIterator\[int\]`"),
        (bad_yield, r"it yields, so it streams; write `-> AsyncIterator\[int\]`"),
        (bad_self, r"parameter `self`: register the object .* `service.handle\(obj\)`"),
        (bad_subscript, r"parameter `x`: `int\[str\]` is no type"),
        (bad_constant, "parameter `x`: its default .* cannot be written in a description"),
        (functools.partial(bad_self, 1), "an endpoint is a function or a method"),
    ],
)
def test_what_cannot_be_served_is_refused_with_place_and_way_out(function: Callable[..., Any], words: str) -> None:
    with pytest.raises(DeclarationError, match=words) as caught:
        compile_endpoint(function, "bad")
    if not isinstance(function, functools.partial):
        code = function.__code__
        assert str(caught.value).startswith(f"{function.__name__} ({__file__}:{code.co_firstlineno}): ")


def test_no_annotation_of_the_result_means_anything() -> None:
    def anything(a: int):  # type: ignore[no-untyped-def]
        return a

    endpoint = compile_endpoint(anything, "anything")
    assert endpoint.description.response == {}
    assert endpoint.streaming is Streaming.UNARY
