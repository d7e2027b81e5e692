"""Declared routes."""

from __future__ import annotations

from datetime import date
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microlite.core import errors
from microlite.core.description import Route, compile_endpoint

if TYPE_CHECKING:
    from microlite.core.description import Schema


class Colour(Enum):
    RED = "red"


def test_a_route_matches_its_paths_and_no_others() -> None:
    route = Route.parse("get /orders/{id}/items/{item}")
    assert str(route) == "GET /orders/{id}/items/{item}"
    assert route.parameters == ("id", "item")
    assert route.match(["orders", "7", "items", "a b"]) == {"id": "7", "item": "a b"}
    assert route.match(["orders", "7", "items"]) is None
    assert route.match(["orders", "7", "parts", "a"]) is None
    assert not route.is_literal
    assert Route.parse("POST /orders/new").match(["orders", "new"]) == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("/orders", "is no route; write a method and a path, as in GET /orders/{id}"),
        ("GET", "is no route"),
        ("", "is no route"),
        ("HEAD /orders", "is no method of a route; use one of GET, POST"),
        ("GET orders", "begins with a slash"),
        ("GET /", "begins with a slash"),
        ("GET /orders/", "'' is no segment"),
        ("GET //orders", "'' is no segment"),
        ("GET /orders/../x", "'..' is no segment"),
        ("GET /orders/%2f", "'%2f' is no segment"),
        ("GET /orders/{id}.json", "is no segment"),
        ("GET /orders/{}", "is no segment"),
        ("GET /orders/a b", "is no segment"),
        ("GET /orders/{id}/{id}", "has the parameter {id} twice"),
    ],
)
def test_a_malformed_route_is_refused_with_the_reason(text: str, words: str) -> None:
    with pytest.raises(errors.BadRequest) as caught:
        Route.parse(text)
    assert words in caught.value.detail


def test_routes_that_match_the_same_paths_have_one_shape() -> None:
    assert Route.parse("GET /a/{x}").shape == Route.parse("GET /a/{y}").shape
    assert Route.parse("GET /a/{x}").shape != Route.parse("POST /a/{x}").shape
    assert Route.parse("GET /a/{x}").shape != Route.parse("GET /a/b").shape


def test_the_more_literal_route_comes_first() -> None:
    texts = ["GET /a/{x}/{y}", "GET /a/{x}/c", "GET /a/b/{y}", "GET /a/b/c"]
    assert [str(r) for r in sorted(map(Route.parse, texts), key=lambda route: route.precedence)] == texts[::-1]


def test_a_route_lies_under_a_service_by_whole_segments() -> None:
    assert Route.parse("GET /orders/{id}").lies_under("orders")
    assert Route.parse("GET /v1/orders/{id}").lies_under("v1.orders")
    assert not Route.parse("GET /orders-old/{id}").lies_under("orders")
    assert not Route.parse("GET /{id}").lies_under("orders")


def request(annotation: Any) -> Schema:
    def read(id: Any) -> None: ...

    read.__annotations__ = {"id": annotation, "return": None}
    return compile_endpoint(read, "read").description.request


@pytest.mark.parametrize(
    "annotation", [str, int, float, bool, UUID, date, Colour, Literal["a"], str | None, Colour | None, int | str]
)
def test_what_can_be_written_in_a_path_may_be_a_parameter(annotation: Any) -> None:
    Route.parse("GET /orders/{id}").check_fields(request(annotation))


@pytest.mark.parametrize("annotation", [list[str], dict[str, str], list[int] | None, None])
def test_what_cannot_be_written_in_a_path_is_refused(annotation: Any) -> None:
    with pytest.raises(errors.BadRequest, match="`id` cannot be written in a path"):
        Route.parse("GET /orders/{id}").check_fields(request(annotation))


def test_a_parameter_is_one_of_the_functions() -> None:
    with pytest.raises(errors.BadRequest, match=r"has \{key\}, but the function has no such parameter \(it has id\)"):
        Route.parse("GET /orders/{key}").check_fields(request(str))


segment = st.from_regex(r"[a-z0-9~_-]{1,5}", fullmatch=True) | st.sampled_from(["{a}", "{b}", "{c}"])


@given(st.lists(segment, min_size=1, max_size=5), st.lists(st.text(min_size=1), min_size=5, max_size=5))
def test_a_path_made_from_a_route_gives_its_parameters_back(segments: list[str], values: list[str]) -> None:
    text = "PUT /" + "/".join(segments)
    try:
        route = Route.parse(text)
    except errors.BadRequest:
        assert len(set(segments)) < len(segments)
        return
    given = dict(zip(route.parameters, values, strict=False))
    path = [given[part[1:-1]] if part.startswith("{") else part for part in route.segments]
    assert route.match(path) == given
    assert Route.parse(str(route)) == route
