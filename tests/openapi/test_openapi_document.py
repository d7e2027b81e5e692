"""The OpenAPI document: valid, complete, and the same for the same services."""

from __future__ import annotations

import enum
import random
import string
from collections.abc import Callable
from datetime import datetime, time
from decimal import Decimal
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microlite.core.description.declaration import Place
from microlite.core.description.naming import BUILT_IN_SERVICES
from microlite.core.description.schema import request_schema, type_schema
from microlite.core.description.signature import NONE_GIVEN, Field
from microlite.core.description.structs import EndpointDescription, ServiceDescription, Streaming
from microlite.web.gateway.table import BUILT_IN, PathTable
from microlite.web.openapi import document
from tests.openapi.described import built_in, everything, example
from tests.openapi.fuzzing import examples, is_long_run
from tests.openapi.openapi_checks import check, operations, plain, validator

PLACE = Place("test")


def described(*services: Any) -> list[ServiceDescription]:
    return [service.describe() for service in services]


@pytest.fixture(scope="module")
def whole() -> Any:
    """The document of everything, checked."""
    return check(document(described(everything(), example("orders"), example("greeter"), *built_in())))


def operation(whole: Any, method: str, path: str) -> Any:
    return whole["paths"][path][method]


@pytest.mark.parametrize("make", [everything, lambda: example("orders"), lambda: example("greeter")])
def test_a_service_alone_has_a_valid_document_under_its_own_name(make: Callable[[], Any]) -> None:
    service = make()
    info = check(document([service.describe()]))["info"]
    assert (info["title"], info["version"], info["description"]) == (service.name, service.version, service.doc)


@pytest.mark.parametrize("service", built_in(), ids=lambda service: service.name)
def test_each_built_in_service_has_a_valid_document(service: Any) -> None:
    whole = check(document([service.describe()]))
    for _, _, one in operations(whole):
        if "x-microlite-role" not in one:  # open to everybody: that is how one gets a token, and gives it back
            assert (one["operationId"] in ("auth_token", "auth_logout"), "security" in one) == (True, False)
            continue
        assert one["security"] == [{"token": []}]
        assert {"401", "403"} <= set(one["responses"])


def test_no_services_are_a_valid_document() -> None:
    whole = check(document([], title="Nothing", version="3", servers=["http://localhost:8080"]))
    assert whole["info"] == {"title": "Nothing", "version": "3"}
    assert whole["servers"] == [{"url": "http://localhost:8080"}]
    assert whole["paths"] == {}


def test_the_order_of_the_services_does_not_matter(whole: Any) -> None:
    services = described(everything(), example("orders"), example("greeter"), *built_in())
    for seed in range(3):
        random.Random(seed).shuffle(services)
        assert plain(document(services)) == whole


def test_every_operation_is_answered_by_its_endpoint(whole: Any) -> None:
    """What the document says about methods and paths is what the path table does, and nothing that is read is left out."""
    table = PathTable()
    services = described(everything(), example("orders"), example("greeter"), *built_in())
    for service in services:
        table.update(BUILT_IN if service.name in BUILT_IN_SERVICES else "default", service)
    found = set()
    for method, path, one in operations(whole):
        target = table.resolve(method.upper(), path.replace("{", "").replace("}", "").encode())
        assert target.endpoint is not None
        assert one["tags"] == [target.service]
        found.add((target.service, target.endpoint.name))
    assert found == {(service.name, endpoint.name) for service in services for endpoint in service.endpoints}


def test_methods_follow_what_is_answered(whole: Any) -> None:
    methods = {path: sorted(set(item) - {"parameters"}) for path, item in whole["paths"].items()}
    assert methods["/greeter/hello"] == ["get", "post"]
    assert methods["/orders/{id}"] == ["get"]
    assert methods["/orders/import"] == ["post"]
    assert methods["/registry/list"] == ["get", "post"]
    assert methods["/runtime/kill"] == ["post"]
    assert methods["/every-thing"] == ["get", "post"]
    assert methods["/every-thing/items/{id}"] == ["delete", "get", "put"]
    assert "/orders/read" not in methods


def test_paths_that_differ_in_the_names_of_parameters_are_one(whole: Any) -> None:
    """OpenAPI takes `/x/{id}` and `/x/{name}` for the same path, so there is one, with one name."""
    for method in ("get", "put", "delete"):
        parameter = operation(whole, method, "/every-thing/items/{id}")["parameters"][0]
        assert (parameter["name"], parameter["in"], parameter["required"]) == ("id", "path", True)


def test_ids_are_stable_words(whole: Any) -> None:
    assert operation(whole, "post", "/orders/create")["operationId"] == "orders_create"
    assert operation(whole, "get", "/orders/create")["operationId"] == "orders_create_GET"
    assert operation(whole, "get", "/orders/{id}")["operationId"] == "orders_read"
    assert operation(whole, "post", "/orders/notes/add")["operationId"] == "orders_notes_add"
    assert operation(whole, "post", "/every-thing/list-all/by-name2")["operationId"] == "everyThing_listAll_byName2"


def test_docs_deprecation_and_metadata_are_in_it(whole: Any) -> None:
    tags = {tag["name"]: tag for tag in whole["tags"]}
    assert tags["every-thing"] == {
        "name": "every-thing",
        "description": "Everything.\n\nWith *two* paragraphs.",
        "x-version": "2.0",
        "x-metadata": {"a b": "c"},
    }
    run = operation(whole, "post", "/runtime/run")
    assert run["summary"] == "Run services detached: until they are killed, across restarts of the platform."
    assert run["description"].startswith(run["summary"] + "\n\nReturns when")
    assert "description" not in operation(whole, "post", "/orders/create")
    assert operation(whole, "post", "/every-thing/anything")["deprecated"] is True
    containers = operation(whole, "post", "/every-thing/containers")
    assert containers["x-metadata"] == {"cost": "high"}
    assert containers["x-idempotent"] is True
    assert "x-idempotent" not in run


def test_what_is_demanded_of_a_caller_is_in_it(whole: Any) -> None:
    containers = operation(whole, "post", "/every-thing/containers")
    assert containers["x-microlite-scopes"] == ["things:write"]
    assert containers["security"] == [{"token": []}]
    assert {"401", "403"} <= set(containers["responses"])
    run = operation(whole, "post", "/runtime/run")
    assert (run["x-microlite-role"], "x-microlite-scopes" in run) == ("platform", False)
    opened = operation(whole, "post", "/orders/create")
    assert not {"security", "x-microlite-role", "x-microlite-scopes"} & set(opened)
    assert whole["components"]["securitySchemes"]["token"]["scheme"] == "bearer"


def test_a_program_is_named_and_has_no_paths() -> None:
    program = ServiceDescription(name="site", doc="A site.", metadata={"protocol": "http"})
    whole = check(document([program]))
    assert whole["paths"] == {}
    assert whole["tags"][0]["description"].startswith("A site.\n\nAn HTTP program")


def test_nothing_is_204_and_something_that_may_be_missing_is_both(whole: Any) -> None:
    answers = {
        name: [code for code in operation(whole, "post", f"/every-thing/{name}")["responses"] if code < "300"]
        for name in ("scalars", "mine", "anything", "containers", "collect")
    }
    assert answers == {
        "scalars": ["204"],
        "mine": ["200", "204"],
        "anything": ["200", "204"],
        "containers": ["200"],
        "collect": ["200"],
    }
    found = operation(whole, "post", "/every-thing/mine")["responses"]["200"]["content"]["application/json"]["schema"]
    assert found == {"$ref": "#/components/schemas/every-thing.Error"}


def test_fields_are_parameters_of_the_query_in_the_notation_of_the_gateway(whole: Any) -> None:
    parameters = {one["name"]: one for one in operation(whole, "get", "/every-thing/containers")["parameters"]}
    assert parameters["a"]["schema"] == {"type": "array", "items": {"type": "integer"}}
    assert parameters["i.product"]["required"] is True
    assert "required" not in parameters["i.quantity"]
    assert list(parameters["f"]["content"]) == ["application/json"], "a list of objects is one text"
    assert list(parameters["g"]["content"]) == ["application/json"], "required, though none of its fields is"
    assert "g.city" not in parameters
    assert parameters["p.items"]["required"] is True
    assert "schema" in parameters["r"]
    scalars = {one["name"]: one for one in operation(whole, "get", "/every-thing/scalars")["parameters"]}
    assert scalars["a"] == {
        "name": "a", "in": "query", "description": "a number.", "required": True, "schema": {"type": "integer"},
        "example": 1,
    }  # fmt: skip
    assert scalars["o"]["schema"] == {"type": "integer"}, "null is said by leaving it out"
    assert scalars["e"]["schema"] == {"type": "string", "format": "date-time"}


def test_bodies_hold_what_the_path_does_not(whole: Any) -> None:
    put = operation(whole, "put", "/every-thing/items/{id}")["requestBody"]
    assert put["required"] is True
    assert list(put["content"]["application/json"]["schema"]["properties"]) == ["content"]
    assert "requestBody" not in operation(whole, "post", "/every-thing/touch/{colour}/{level}")
    assert "requestBody" not in operation(whole, "delete", "/every-thing/items/{id}")
    assert "required" not in operation(whole, "post", "/greeter/hello")["requestBody"]


def test_streams_name_the_schema_of_an_item(whole: Any) -> None:
    ticks = operation(whole, "get", "/every-thing/ticks")["responses"]["200"]["content"]
    item = {"$ref": "#/components/schemas/every-thing.Item"}
    assert ticks["application/x-ndjson"]["schema"] == item
    assert ticks["text/event-stream"]["schema"]["properties"]["data"]["contentSchema"] == item
    collect = operation(whole, "post", "/every-thing/collect")
    assert collect["requestBody"]["content"]["application/x-ndjson"]["schema"] == item
    assert [one["name"] for one in collect["parameters"]] == ["tag", "more.city", "more.zip", "more.lines"]
    assert operation(whole, "post", "/every-thing/echo")["responses"]["200"]["content"].keys() == ticks.keys()


def test_types_of_one_name_are_told_apart(whole: Any) -> None:
    """By their services where those differ; by direction where a type is read by other rules than it is written by."""
    schemas = whole["components"]["schemas"]
    assert {"orders.Item", "every-thing.Item", "Error", "every-thing.Error"} <= set(schemas)
    assert "Item" not in schemas
    assert schemas["orders.Item"]["title"] == "orders.Item", "generators name classes by the title"
    assert schemas["Order"]["title"] == "Order"
    assert schemas["Error"]["required"] == ["id", "code", "detail", "status"]
    assert "Item" in document([example("orders").describe()])["components"]["schemas"]


def test_equal_types_of_two_services_are_one() -> None:
    def service(name: str) -> ServiceDescription:
        return msgspec.structs.replace(example("orders").describe(), name=name)

    schemas = check(document([service("orders"), service("others")]))["components"]["schemas"]
    assert set(schemas) == {"Error", "Item", "Order", "OrderRequest", "Note"}


def test_types_that_differ_only_in_what_they_refer_to_differ() -> None:
    def service(name: str, kind: str) -> ServiceDescription:
        definitions = {"Box": {"type": "array", "items": {"$ref": "#/$defs/Thing"}}, "Thing": {"type": kind}}
        schema = {"$ref": "#/$defs/Box", "$defs": definitions}
        return ServiceDescription(name=name, endpoints=(EndpointDescription(name="get", response=schema),))

    schemas = check(document([service("a", "string"), service("b", "integer")]))["components"]["schemas"]
    assert schemas["a.Box"]["items"] == {"$ref": "#/components/schemas/a.Thing"}
    assert schemas["b.Thing"] == {"type": "integer"}


def test_a_pydantic_model_is_one_type_each_way_where_the_ways_differ() -> None:
    read = {"type": "object", "properties": {"a": {"type": "integer", "default": 1}}}
    written = {**read, "required": ["a"]}
    endpoint = EndpointDescription(
        name="turn",
        request={"type": "object", "properties": {"m": {"$ref": "#/$defs/M"}}, "$defs": {"M": read}},
        response={"$ref": "#/$defs/M", "$defs": {"M": written}},
    )
    schemas = check(document([ServiceDescription(name="s", endpoints=(endpoint,))]))["components"]["schemas"]
    assert {"M-Input", "M-Output"} <= set(schemas)
    assert schemas["M-Output"]["required"] == ["a"]


def test_names_of_any_language_and_references_to_nothing_are_put_right() -> None:
    """A service may be described by a client in another language, in ways that Python has not."""
    schema = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/Größe<ä>"}, "b": {"$ref": "#/$defs/Missing"}, "$ref": {"type": "string"}},
        "$defs": {"Größe<ä>": {"type": "integer"}, "Gr__e_": {"type": "string"}, "Gr_e_": {"type": "boolean"}},
    }
    endpoints = (EndpointDescription(name="x", request=schema, response=schema),)
    whole = check(document([ServiceDescription(name="s", endpoints=endpoints)]))
    body = operation(whole, "post", "/s/x")["requestBody"]["content"]["application/json"]["schema"]
    name = body["properties"]["a"]["$ref"].removeprefix("#/components/schemas/")
    assert whole["components"]["schemas"][name] == {"type": "integer"}
    assert body["properties"]["b"] == {}
    assert len(whole["components"]["schemas"]) == 4


def test_what_looks_like_a_reference_in_a_default_is_left_alone() -> None:
    value = {"$ref": "#/$defs/T", "properties": {"$ref": "#/$defs/T"}}
    schema = {
        "type": "object",
        "properties": {"a": {"type": "object", "default": value, "examples": [value]}},
        "$defs": {"T": {"type": "object"}},
    }
    endpoints = (EndpointDescription(name="x", request=schema, response={"type": "null"}),)
    whole = document([ServiceDescription(name="s", endpoints=endpoints)])
    body = operation(whole, "post", "/s/x")["requestBody"]["content"]["application/json"]
    assert body["schema"]["properties"]["a"]["default"] == value
    assert body["example"]["a"] == value


def test_errors_share_one_schema_and_say_when_to_try_again(whole: Any) -> None:
    for _, _, one in operations(whole):
        assert {"400", "404", "408", "429", "500", "503", "default"} <= set(one["responses"])
        assert ("415" in one["responses"]) is ("requestBody" in one)
    answers = whole["components"]["responses"]
    for answer in answers.values():
        assert answer["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Error"}
    assert "Retry-After" in answers["ServiceUnavailable"]["headers"]
    assert "WWW-Authenticate" in answers["Unauthorized"]["headers"]


# -- any service --------------------------------------------------------------------------------------------------------

_names = st.text(string.ascii_lowercase, min_size=1, max_size=6)
_words = st.builds("-".join, st.lists(_names, min_size=1, max_size=2))


def _struct(name: str, fields: dict[str, Any], tag: bool) -> Any:
    return msgspec.defstruct(name.capitalize(), list(fields.items()), kw_only=True, tag=tag)


_enums = st.builds(
    lambda name, values: enum.Enum(name.capitalize(), {value: value for value in values}),
    _names,
    st.lists(_names, min_size=1, max_size=3, unique=True),
)
_scalars = st.sampled_from(
    [
        *(str, int, float, bool, bytes, datetime, time, Decimal, Any),
        Annotated[int, msgspec.Meta(ge=3, le=9)],
        Annotated[str, msgspec.Meta(min_length=2, max_length=3)],
        Annotated[str, msgspec.Meta(pattern="^[0-9]{4}$", examples=["2026"])],
    ]
)


def _larger(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        inner.map(lambda one: list[one]),  # type: ignore[valid-type]
        inner.map(lambda one: dict[str, one]),  # type: ignore[valid-type]
        inner.map(lambda one: one | None if one is not Any else one),
        st.tuples(inner, inner).map(lambda two: tuple[two]),  # type: ignore[valid-type]
        st.builds(_struct, _names, st.dictionaries(_names, inner, max_size=3), st.booleans()),
    )


_types = st.recursive(st.one_of(_scalars, _enums), _larger, max_leaves=4)


@st.composite
def _endpoints(draw: st.DrawFn) -> EndpointDescription:
    fields: dict[str, Any] = draw(st.dictionaries(_names, _types, max_size=3))
    optional = draw(st.sets(st.sampled_from(sorted(fields)))) if fields else set()
    streaming = draw(st.sampled_from(list(Streaming)))
    read = [
        Field(
            name, one | None if name in optional and one is not Any else one, None if name in optional else NONE_GIVEN
        )
        for name, one in fields.items()
    ]
    return EndpointDescription(
        name=draw(st.builds(".".join, st.lists(_words, min_size=1, max_size=2))),
        doc=draw(st.text(max_size=20)),
        request=request_schema(read, PLACE),
        response=type_schema(draw(st.one_of(_types, st.none())), PLACE, "reply"),
        items=type_schema(draw(_types), PLACE, "items") if streaming.from_client else None,
        streaming=streaming,
        reads=draw(st.booleans()),
        deprecated=draw(st.booleans()),
    )


_services = st.builds(
    ServiceDescription,
    name=st.one_of(_words, st.sampled_from(["store", "v1.orders", "registry"])),
    doc=st.text(max_size=20),
    metadata=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
    endpoints=st.lists(_endpoints(), max_size=2, unique_by=lambda one: one.name).map(tuple),
)


@settings(max_examples=examples(12), deadline=None, derandomize=not is_long_run())
@given(st.lists(_services, max_size=2, unique_by=lambda service: service.name))
def test_any_services_have_a_valid_document(services: list[ServiceDescription]) -> None:
    """References resolve, ids are unique, and every example fits its schema."""
    whole = check(document(services))
    assert plain(document(services[::-1])) == whole


def test_a_document_travels() -> None:
    """A description that came over the wire gives the document that the service itself would give."""
    service = everything().describe()
    travelled = msgspec.msgpack.decode(msgspec.msgpack.encode(service), type=ServiceDescription)
    assert plain(document([travelled])) == plain(document([service]))


def test_every_reply_of_the_examples_has_an_example(whole: Any) -> None:
    for _, path, one in operations(whole):
        for code in ("200",):
            for kind, media in one["responses"].get(code, {"content": {}})["content"].items():
                binary = media["schema"].get("format") == "binary"
                assert "example" in media or binary or kind == "text/event-stream", path
                if "example" in media:
                    assert validator(whole, media["schema"]).is_valid(media["example"])
