"""What a caller reads about a field that does not fit: which one, and what would."""

from __future__ import annotations

import enum
import uuid
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Literal

import msgspec
import pytest

from microlite.core.description import Encoding, compile_endpoint
from microlite.core.errors import BadRequest


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Cat(msgspec.Struct, tag=True):
    lives: int


class Dog(msgspec.Struct, tag="dog"):
    name: str


def take(
    colour: Colour = Colour.RED,
    level: Level = Level.LOW,
    word: Literal["x", 1] = "x",
    pet: Cat | Dog | None = None,
    pets: list[list[Cat | Dog]] = [],  # noqa: B006 - never changed
    at: datetime | None = None,
    day: date | None = None,
    clock: time | None = None,
    length: timedelta | None = None,
    key: uuid.UUID | None = None,
    price: Decimal | None = None,
    photo: bytes = b"",
    ages: dict[str, int] = {},  # noqa: B006 - never changed
) -> None: ...


@pytest.mark.parametrize(
    ("request_", "detail"),
    [
        ('{"colour": "green"}', "colour: invalid enum value 'green'; one of blue, red"),
        ('{"colour": 3}', "colour: expected str, got int; one of blue, red"),
        ('{"level": 7}', "level: invalid enum value 7; one of 1, 2"),
        ('{"word": 2.5}', "word: expected int | str, got float; one of 1, x"),
        ('{"pet": {}}', "pet.type: required field is missing; one of Cat, dog"),
        ('{"pet": {"type": "cow"}}', "pet.type: invalid value 'cow'; one of Cat, dog"),
        ('{"pet": {"type": "Cat"}}', "pet.lives: required field is missing"),
        ('{"pets": [[], [{"type": "cow"}]]}', "pets[1][0].type: invalid value 'cow'; one of Cat, dog"),
        ('{"at": "now"}', "at: invalid RFC3339 encoded datetime; write it as in 2026-01-31T12:00:00Z"),
        ('{"day": "31.1.2026"}', "day: invalid RFC3339 encoded date; write it as in 2026-01-31"),
        ('{"clock": "noon"}', "clock: invalid RFC3339 encoded time; write it as in 12:00:00"),
        ('{"length": "3 days"}', "length: invalid ISO8601 duration; write it as in PT1H30M"),
        ('{"key": "7"}', "key: invalid UUID; write it as in 6ba7b810-9dad-41d1-80b4-00c04fd430c8"),
        ('{"price": "cheap"}', "price: invalid decimal string; write it as in 9.99"),
        ('{"photo": "!"}', "photo: invalid base64 encoded string; write it as in aGVsbG8="),
        ('{"ages": {"Ann": "old"}}', "ages[...]: expected int, got str"),
    ],
)
def test_the_field_is_named_and_what_would_fit(request_: str, detail: str) -> None:
    with pytest.raises(BadRequest) as caught:
        compile_endpoint(take, "take").decode_request(request_.encode(), Encoding.JSON)
    assert caught.value.detail == detail


def test_a_field_without_a_name_is_shown_as_one() -> None:
    with pytest.raises(BadRequest, match=r'^"": unknown field'):
        compile_endpoint(take, "take").decode_request(b'{"": 1}', Encoding.JSON)


@pytest.mark.parametrize(
    "example",
    [
        '{"at": "2026-01-31T12:00:00Z"}', '{"day": "2026-01-31"}', '{"clock": "12:00:00"}', '{"length": "PT1H30M"}',
        '{"key": "6ba7b810-9dad-41d1-80b4-00c04fd430c8"}', '{"price": "9.99"}', '{"photo": "aGVsbG8="}',
    ],
)  # fmt: skip
def test_what_is_said_to_fit_fits(example: str) -> None:
    compile_endpoint(take, "take").decode_request(example.encode(), Encoding.JSON)
