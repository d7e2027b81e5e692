"""Compiled endpoints: payload in, call, payload out."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, TypedDict
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microlite.core import errors
from microlite.core.description import Encoding, Endpoint, EndpointDescription, ServiceDescription, compile_endpoint

if TYPE_CHECKING:
    from collections.abc import Callable

BOTH = [Encoding.MSGPACK, Encoding.JSON]


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Size(IntEnum):
    SMALL = 0
    LARGE = 1


@dataclass
class Item:
    name: str
    price: float
    tags: list[str] = field(default_factory=list)


class Address(msgspec.Struct, forbid_unknown_fields=True):
    """Where somebody lives."""

    street: str
    zip: Annotated[str, msgspec.Meta(min_length=4, description="postal code")] = "0000"


class Options(TypedDict, total=False):
    gift: bool
    note: str | None


class Cat(msgspec.Struct, tag=True):
    lives: int


class Dog(msgspec.Struct, tag=True):
    name: str


class Tree(msgspec.Struct):
    value: int
    children: list[Tree] = []


class Positive(msgspec.Struct):
    value: int

    def __post_init__(self) -> None:
        if self.value <= 0:
            raise ValueError("must be more than 0")


async def order(
    customer: str,
    items: list[Item],
    address: Address | None = None,
    colour: Colour = Colour.RED,
    count: Annotated[int, msgspec.Meta(ge=1, le=9)] = 1,
    options: Options | None = None,
    prices: dict[str, Positive] | None = None,
    rooms: dict[int, str] | None = None,
    pair: tuple[int, str] = (0, ""),
    photo: bytes = b"",
    when: datetime | None = None,
    mode: Literal["fast", "slow"] = "fast",
) -> Item:
    """Order."""
    return items[0]


ORDER = compile_endpoint(order, "order")


def encode(value: object, encoding: Encoding) -> bytes:
    return msgspec.json.encode(value) if encoding is Encoding.JSON else msgspec.msgpack.encode(value)


@pytest.mark.parametrize("encoding", BOTH)
def test_fields_arrive_as_their_types_in_the_order_of_the_parameters(encoding: Encoding) -> None:
    payload = encode({"count": 2, "items": [{"name": "tea", "price": 0}], "customer": "Ann"}, encoding)
    for form in (payload, bytearray(payload), memoryview(payload)):
        arguments = ORDER.decode_request(form, encoding)
        assert arguments[:2] == ("Ann", [Item("tea", 0.0)])
        assert arguments[2:5] == (None, Colour.RED, 2)


@pytest.mark.parametrize("encoding", BOTH)
@pytest.mark.parametrize(
    ("request_", "detail"),
    [
        ({"items": []}, "customer: required field is missing"),
        ({"customer": 1, "items": []}, "customer: expected str, got int"),
        ({"customer": "a", "items": [{"name": "x", "price": "1"}]}, "items[0].price: expected float, got str"),
        ({"customer": "a", "items": [{"name": "x"}]}, "items[0].price: required field is missing"),
        ({"custmer": "a", "items": []}, "custmer: unknown field; did you mean 'customer'?"),
        (
            {"customer": "a", "items": [], "address": {"street": "x", "zipp": "1"}},
            "address.zipp: unknown field; did you mean 'zip'?",
        ),
        (
            {"customer": "a", "items": [], "address": {"street": "x", "planet": 1}},
            "address.planet: unknown field; the fields are street, zip",
        ),
        (
            {"customer": "a", "items": [], "address": {"street": "x", "zip": "1"}},
            "address.zip: expected str of length >= 4",
        ),
        ({"customer": "a", "items": [], "colour": "green"}, "colour: invalid enum value 'green'; one of blue, red"),
        ({"customer": "a", "items": [], "mode": "no"}, "mode: invalid enum value 'no'; one of fast, slow"),
        ({"customer": "a", "items": [], "count": 0}, "count: expected int >= 1"),
        ({"customer": "a", "items": [], "count": 1.5}, "count: expected int, got float"),
        ({"customer": "a", "items": [], "options": {"gift": 1}}, "options.gift: expected bool, got int"),
        ({"customer": "a", "items": [], "prices": {"x": {"value": 0}}}, "prices[...]: must be more than 0"),
        ({"customer": "a", "items": [], "pair": [1]}, "pair: expected array of length 2"),
        (
            {"customer": "a", "items": [], "when": "soon"},
            "when: invalid RFC3339 encoded datetime; write it as in 2026-01-31T12:00:00Z",
        ),
        ([1], "request: expected object, got array"),
        ("x", "request: expected object, got str"),
    ],
)
def test_a_request_that_does_not_fit_is_refused_with_the_field(
    request_: object, detail: str, encoding: Encoding
) -> None:
    with pytest.raises(errors.BadRequest) as caught:
        ORDER.decode_request(encode(request_, encoding), encoding)
    assert caught.value.detail.startswith(detail)


@pytest.mark.parametrize(
    ("payload", "encoding", "detail"),
    [
        (b"", Encoding.JSON, "customer: required field is missing"),
        (b"", Encoding.MSGPACK, "customer: required field is missing"),
        (b'{"customer": "a"', Encoding.JSON, "malformed JSON at byte 16: it ends too soon"),
        (b'{"customer": }', Encoding.JSON, "malformed JSON at byte 13: invalid character"),
        (b'{"customer": "\xff"}', Encoding.JSON, "malformed JSON at byte 14: not UTF-8"),
        (b"\xc1", Encoding.MSGPACK, "malformed MessagePack at byte 0: invalid opcode '\\xc1'"),
        (b"\x81", Encoding.MSGPACK, "malformed MessagePack at byte 1: it ends too soon"),
        (
            b'{"customer":"a","items":[],"photo":"@"}',
            Encoding.JSON,
            "photo: invalid base64 encoded string; write it as in aGVsbG8=",
        ),
        (b'{"customer":"a","items":[],"rooms":{"a":"b"}}', Encoding.JSON, "rooms: a key: expected int, got str"),
    ],
)
def test_a_malformed_request_is_refused_with_the_position(payload: bytes, encoding: Encoding, detail: str) -> None:
    with pytest.raises(errors.BadRequest) as caught:
        ORDER.decode_request(payload, encoding)
    assert caught.value.detail == detail


@given(payload=st.binary(max_size=80), encoding=st.sampled_from(BOTH))
def test_any_bytes_are_arguments_or_a_bad_request(payload: bytes, encoding: Encoding) -> None:
    try:
        arguments = ORDER.decode_request(payload, encoding)
    except errors.BadRequest:
        return
    assert len(arguments) == 12


def test_an_error_does_not_repeat_a_long_request() -> None:
    payload = encode({"x" * 1_000_000: 1}, Encoding.JSON)
    with pytest.raises(errors.BadRequest, match="xxx") as caught:
        ORDER.decode_request(payload, Encoding.JSON)
    assert len(caught.value.detail) == 500


def test_a_request_nested_without_end_is_refused() -> None:
    def anything(a: Any) -> None: ...

    endpoint = compile_endpoint(anything, "anything")
    with pytest.raises(errors.BadRequest, match="nested too deeply"):
        endpoint.decode_request(b'{"a":' + b"[" * 200_000, Encoding.JSON)
    with pytest.raises(errors.BadRequest, match="nested too deeply"):
        endpoint.decode_request(b"\x81\xa1a" + b"\x91" * 200_000, Encoding.MSGPACK)


def test_a_default_that_can_change_is_each_calls_own() -> None:
    def collect(names: list[str] = ["a"], seen: dict[str, int] = {}) -> None: ...  # noqa: B006 - what users write

    endpoint = compile_endpoint(collect, "collect")
    first = endpoint.decode_request(b"", Encoding.JSON)
    first[0].append("b")
    first[1]["b"] = 1
    assert endpoint.decode_request(b"", Encoding.JSON) == (["a"], {})


naive = st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30))
aware = st.datetimes(
    min_value=datetime(1, 1, 2),
    max_value=datetime(9999, 12, 30),
    timezones=st.just(UTC),
)
text = st.text(st.characters(codec="utf-8"), max_size=10)
number = st.floats(allow_nan=False, allow_infinity=False)
trees = st.recursive(
    st.builds(Tree, st.integers(-9, 9)), lambda inner: st.builds(Tree, st.integers(-9, 9), st.lists(inner, max_size=2))
)
TYPES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (int, st.integers(-(2**63), 2**64 - 1)),
    (float, number),
    (bool, st.booleans()),
    (str, text),
    (bytes, st.binary(max_size=20)),
    (datetime, naive | aware),
    (date, st.dates()),
    (time, st.times()),
    (timedelta, st.timedeltas(min_value=timedelta(days=-1000), max_value=timedelta(days=1000))),
    (Decimal, st.decimals(allow_nan=False, allow_infinity=False, places=3)),
    (UUID, st.uuids()),
    (Colour, st.sampled_from(Colour)),
    (Size, st.sampled_from(Size)),
    (Literal["a", 0], st.sampled_from(["a", 0])),
    (int | str | None, st.none() | st.integers(-5, 5) | text),
    (list[Item], st.lists(st.builds(Item, text, number, st.lists(text, max_size=2)), max_size=3)),
    (Address | None, st.none() | st.builds(Address, text, st.just("12345"))),
    (Options, st.fixed_dictionaries({}, optional={"gift": st.booleans(), "note": st.none() | text})),
    (Cat | Dog, st.builds(Cat, st.integers(0, 9)) | st.builds(Dog, text)),
    (tuple[int, str], st.tuples(st.integers(-5, 5), text)),
    (set[int], st.sets(st.integers(-5, 5))),
    (frozenset[str], st.frozensets(text, max_size=3)),
    (dict[str, float], st.dictionaries(text, number, max_size=3)),
    (dict[int, list[bool]], st.dictionaries(st.integers(-5, 5), st.lists(st.booleans(), max_size=2), max_size=3)),
    (Tree, trees),
    (Any, st.recursive(st.none() | st.booleans() | text, lambda x: st.lists(x, max_size=2), max_leaves=4)),
]


def taking(annotation: Any) -> Endpoint:
    def echo(value: Any) -> Any: ...

    echo.__annotations__ = {"value": annotation, "return": annotation}
    return compile_endpoint(echo, "echo")


ECHOES = [(taking(annotation), values) for annotation, values in TYPES]


@settings(max_examples=25, deadline=None)
@pytest.mark.parametrize("case", range(len(TYPES)), ids=[str(annotation) for annotation, _ in TYPES])
@pytest.mark.parametrize("encoding", BOTH)
@given(data=st.data())
def test_what_is_sent_arrives_as_it_was(data: st.DataObject, case: int, encoding: Encoding) -> None:
    endpoint, values = ECHOES[case]
    value = data.draw(values)
    (received,) = endpoint.decode_request(endpoint.encode_request({"value": value}, encoding), encoding)
    assert received == value
    assert type(received) is type(value)
    assert endpoint.decode_response(endpoint.encode_response(value, encoding), encoding) == value


def test_zero_values_are_sent() -> None:
    def echo(item: Item) -> Item:
        raise NotImplementedError

    endpoint = compile_endpoint(echo, "echo")
    assert json.loads(endpoint.encode_response(Item("", 0.0, []), Encoding.JSON)) == {
        "name": "",
        "price": 0.0,
        "tags": [],
    }


def test_a_value_that_cannot_be_sent_says_so() -> None:
    with pytest.raises(TypeError, match="a value of type `object` cannot be sent"):
        ORDER.encode_response(object(), Encoding.JSON)


async def test_invoke_places_context_fields_and_stream() -> None:
    async def client(
        ctx: Any, room: str, items: AsyncIterator[int], limit: int = 5, *, loud: bool = False
    ) -> list[Any]:
        return [ctx, room, [item async for item in items], limit, loud]

    async def numbers() -> AsyncIterator[int]:
        for number in (b"1", b"2"):
            yield endpoint.decode_item(number, Encoding.JSON)

    endpoint = compile_endpoint(client, "client")
    arguments = endpoint.decode_request(b'{"loud": true, "room": "a"}', Encoding.JSON)
    assert await endpoint.invoke("context", arguments, numbers()) == ["context", "a", [1, 2], 5, True]


async def test_every_way_to_stream_gives_an_iterator_when_invoked() -> None:
    closed: list[bool] = []

    async def yielding(ctx: Any, n: int) -> AsyncIterator[int]:
        try:
            for i in range(n):
                yield i
        finally:
            closed.append(True)

    async def returning(ctx: Any, n: int) -> AsyncIterator[int]:
        return yielding(ctx, n)

    def handing(ctx: Any, n: int) -> AsyncIterator[int]:
        return yielding(ctx, n)

    functions: list[Callable[..., Any]] = [yielding, returning, handing]
    for function in functions:
        endpoint = compile_endpoint(function, "stream")
        assert endpoint.is_async
        assert [item async for item in endpoint.invoke(None, (3,))] == [0, 1, 2]
    stream = compile_endpoint(returning, "stream").invoke(None, (3,))
    closed.clear()
    assert await anext(stream) == 0
    await stream.aclose()
    assert closed == [True]  # the inner generator ends with the outer one


def test_a_plain_generator_is_a_blocking_stream() -> None:
    def count(n: int) -> Iterator[int]:
        yield from range(n)

    endpoint = compile_endpoint(count, "count")
    assert not endpoint.is_async
    assert list(endpoint.invoke(None, (3,))) == [0, 1, 2]


def test_a_bad_item_names_its_field() -> None:
    async def collect(items: AsyncIterator[Item]) -> None: ...

    endpoint = compile_endpoint(collect, "collect")
    with pytest.raises(errors.BadRequest) as caught:
        endpoint.decode_item(b'{"name": "x", "price": "1"}', Encoding.JSON)
    assert caught.value.detail == "price: expected float, got str"
    with pytest.raises(errors.BadRequest) as caught:
        endpoint.decode_item(b"1", Encoding.JSON)
    assert caught.value.detail == "item: expected object, got int"


def test_a_protocol_describes_the_callers_side() -> None:
    class Shop(Protocol):
        async def order(self, customer: str) -> Item: ...

    endpoint = compile_endpoint(Shop.order, "order", unbound=True)
    assert list(endpoint.description.request["properties"]) == ["customer"]
    reply = ORDER.encode_response(Item("tea", 1.0), Encoding.MSGPACK)
    assert endpoint.decode_response(reply) == Item("tea", 1.0)
    with pytest.raises(errors.BadGateway, match=r"the reply of order .*: name: expected str, got int"):
        endpoint.decode_response(b'{"name": 1, "price": 2}', Encoding.JSON)


@pytest.mark.parametrize("encoding", BOTH)
def test_descriptions_survive_the_wire(encoding: Encoding) -> None:
    description = ServiceDescription(name="shop", metadata={"a": "b"}, endpoints=(ORDER.description,))
    payload = encode(description, encoding)
    decode = msgspec.json.decode if encoding is Encoding.JSON else msgspec.msgpack.decode
    assert decode(payload, type=ServiceDescription) == description
    assert description.endpoint("order") is ORDER.description
    assert description.endpoint("other") is None
    assert EndpointDescription(name="x", doc="One.\n\nTwo.").summary == "One."
