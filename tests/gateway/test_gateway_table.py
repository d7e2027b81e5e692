"""Which path leads where: micro's ways of writing it, routes, versions, and what is refused."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microlite.core import errors
from microlite.core.description.structs import EndpointDescription, ServiceDescription, Streaming
from microlite.web.gateway.paths import split_path
from microlite.web.gateway.table import ALL_METHODS, BUILT_IN, MAX_KNOWN, PathTable, Target, WrongMethod


def endpoints(*names: str, **routes: str) -> tuple[EndpointDescription, ...]:
    routed = (EndpointDescription(name=name, route=route) for name, route in routes.items())
    return (*(EndpointDescription(name=name) for name in names), *routed)


def table() -> PathTable:
    table = PathTable()
    table.update(
        "default",
        ServiceDescription(
            name="orders",
            endpoints=endpoints(
                "call", "create", "comments.create", "list-all", "items",
                read="GET /orders/{id}", special="GET /orders/special", line="GET /orders/{id}/lines/{line}",
                first="GET /orders/{id}/lines/first", replace="PUT /orders/{id}",
            ),
        ),
    )  # fmt: skip
    table.update("default", ServiceDescription(name="notes", endpoints=endpoints("notes.create", "call")))
    table.update("default", ServiceDescription(name="v2.orders", endpoints=endpoints("create")))
    table.update("default", ServiceDescription(name="docs", metadata={"protocol": "http"}))
    table.update("other", ServiceDescription(name="orders", endpoints=endpoints("create")))
    table.update("other", ServiceDescription(name="hidden", endpoints=endpoints("call")))
    table.update(
        BUILT_IN,
        ServiceDescription(
            name="store",
            endpoints=(
                EndpointDescription(name="write"),
                EndpointDescription(name="read", reads=True),
                EndpointDescription(name="restore", streaming=Streaming.CLIENT, reads=True),
            ),
        ),
    )
    return table


def names(target: Target) -> tuple[str, str]:
    return target.service, target.endpoint.name if target.endpoint is not None else "(program)"


@pytest.mark.parametrize(
    ("method", "path", "service", "endpoint", "params"),
    [
        ("POST", "/orders", "orders", "call", {}),
        ("POST", "/orders/", "orders", "call", {}),
        ("GET", "/orders", "orders", "call", {}),
        ("POST", "/orders/create", "orders", "create", {}),
        ("POST", "/Orders/Create", "orders", "create", {}),
        ("POST", "/orders/list_all", "orders", "list-all", {}),
        ("POST", "/orders/listAll", "orders", "list-all", {}),
        ("POST", "/orders/ListAll", "orders", "list-all", {}),
        ("POST", "/orders/list-all", "orders", "list-all", {}),
        ("POST", "/orders/comments/create", "orders", "comments.create", {}),
        ("POST", "/orders/comments.create", "orders", "comments.create", {}),
        ("POST", "/orders/Comments.Create", "orders", "comments.create", {}),
        ("POST", "/orders/Comments/Create", "orders", "comments.create", {}),
        ("POST", "/orders/Orders.Create", "orders", "create", {}),
        ("POST", "/orders/Orders/Create", "orders", "create", {}),
        ("POST", "/Orders.Create", "orders", "create", {}),
        ("POST", "/orders.create", "orders", "create", {}),
        ("POST", "/orders.comments.create", "orders", "comments.create", {}),
        ("POST", "/api/orders/create", "orders", "create", {}),
        ("POST", "/api/orders", "orders", "call", {}),
        ("POST", "/v1/orders/create", "orders", "create", {}),
        ("POST", "/api/v1/orders/create", "orders", "create", {}),
        ("POST", "/V1/orders", "orders", "call", {}),
        ("POST", "/v2/orders/create", "v2.orders", "create", {}),
        ("POST", "/v2.orders/create", "v2.orders", "create", {}),
        ("POST", "/notes/create", "notes", "notes.create", {}),
        ("POST", "/notes/notes/create", "notes", "notes.create", {}),
        ("POST", "/notes/Notes.Create", "notes", "notes.create", {}),
        ("DELETE", "/orders/create", "orders", "create", {}),
        ("HEAD", "/orders/create", "orders", "create", {}),
        ("GET", "/orders/special", "orders", "special", {}),
        ("HEAD", "/orders/special", "orders", "special", {}),
        ("POST", "/orders/special", "orders", "special", {}),
        ("GET", "/orders/create", "orders", "create", {}),
        ("GET", "/orders/17", "orders", "read", {"id": "17"}),
        ("GET", "/Orders/17", "orders", "read", {"id": "17"}),
        ("GET", "/api/v1/orders/17", "orders", "read", {"id": "17"}),
        ("GET", "/orders/Some%20Thing", "orders", "read", {"id": "Some Thing"}),
        ("GET", "/orders/%C3%A9%252f", "orders", "read", {"id": "é%2f"}),
        ("PUT", "/orders/17", "orders", "replace", {"id": "17"}),
        ("GET", "/orders/17/lines/2", "orders", "line", {"id": "17", "line": "2"}),
        ("GET", "/orders/17/lines/first", "orders", "first", {"id": "17"}),
        ("POST", "/store/write", "store", "write", {}),
        ("GET", "/store/read", "store", "read", {}),
        ("POST", "/store/read", "store", "read", {}),
        ("GET", "/docs", "docs", "(program)", {}),
        ("OPTIONS", "/docs/a/b.css", "docs", "(program)", {}),
    ],
)
def test_where_a_path_leads(method: str, path: str, service: str, endpoint: str, params: dict[str, str] | None) -> None:
    target = table().resolve(method, path.encode())
    assert (*names(target), target.params) == (service, endpoint, params)
    assert target.is_builtin is (service == "store")
    assert target.namespace == "default"


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("/nobody", 'Service "nobody" not found'),
        ("/Nobody/x", 'Service "nobody" not found'),
        ("/hidden", 'Service "hidden" not found'),
        ("/v2/nobody/x", 'Service "nobody" not found'),
        ("/docs.html", 'Service "docs" not found'),
        ("/notes/none", 'Endpoint "none" not found for service "notes"'),
        ("/notes/Notes.NoneAtAll", 'Endpoint "none-at-all" not found for service "notes"'),
        (
            "/orders/comments/none",
            'Endpoint "comments.none" not found for service "orders"; did you mean "comments.create"?',
        ),
        (
            "/store",
            'Endpoint "call" not found for service "store"; "/store" alone means that one: write /store/<endpoint>, as '
            "in /store/write",
        ),
        ("/", "the path names no service: write /<service>/<endpoint>"),
        ("/api/", "the path names no service: write /<service>/<endpoint>"),
        ("/.well-known/jwks.json", 'Service "" not found'),
    ],
)
def test_what_is_not_there(path: str, detail: str) -> None:
    with pytest.raises(errors.NotFound) as caught:
        table().resolve("POST", path.encode())
    assert caught.value.detail == detail


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/store/write", ("POST", "PUT", "PATCH", "DELETE")),
        ("GET", "/store/restore", ("POST", "PUT", "PATCH", "DELETE")),
        ("OPTIONS", "/orders/create", ALL_METHODS),
        ("PROPFIND", "/orders/create", ALL_METHODS),
        ("DELETE", "/orders/17", ("GET", "HEAD", "PUT")),
        ("POST", "/orders/none", ("GET", "HEAD", "PUT")),
        ("OPTIONS", "/orders/17/lines/first", ("GET", "HEAD")),
    ],
)
def test_other_methods_are_named(method: str, path: str, allow: tuple[str, ...]) -> None:
    with pytest.raises(WrongMethod) as caught:
        table().resolve(method, path.encode())
    assert caught.value.allow == allow


@pytest.mark.parametrize(
    "path",
    [
        *(
            "",
            "orders",
            "//orders",
            "/orders//create",
            "/orders/create//",
            "/orders/../store/write",
            "/orders/.",
            "/..",
        ),
        *("/orders/%2e%2e/store", "/orders/%2E/create", "/orders%2fcreate", "/orders%2Fcreate", "/orders%5ccreate"),
        *("/orders\\create", "/orders/%00", "/orders/%0a", "/orders/%7f", "/orders/%c2%85", "/orders/%", "/orders/%zz"),
        *("/orders/%e9", "/orders/%ff%fe"),
    ],
)
def test_paths_that_two_readers_could_read_differently_are_refused(path: str) -> None:
    with pytest.raises(errors.BadRequest):
        table().resolve("POST", path.encode())


def test_namespaces_see_their_own_and_the_built_in_services() -> None:
    paths = table()
    target = paths.resolve("POST", b"/hidden", "other")
    assert (names(target), target.namespace) == (("hidden", "call"), "other")
    target = paths.resolve("POST", b"/store/write", "other")
    assert (target.namespace, target.is_builtin) == ("other", True)
    with pytest.raises(errors.EndpointNotFound):
        paths.resolve("GET", b"/orders/17", "other")
    assert {service.name for service in paths.services("other")} == {"orders", "hidden", "store"}


def test_a_user_cannot_stand_in_for_a_built_in_service() -> None:
    """A description of such a name is built in, wherever it came from: its endpoints want the token."""
    paths = table()
    paths.update("default", ServiceDescription(name="auth", endpoints=endpoints("login")))
    assert paths.resolve("POST", b"/auth/login").is_builtin


def test_programs_are_found_by_name() -> None:
    paths = table()
    assert paths.program("default", "Docs") is not None
    assert paths.program("default", "orders") is None
    assert paths.program("other", "docs") is None


def test_a_path_is_remembered_until_the_table_changes() -> None:
    paths = table()
    first = paths.resolve("POST", b"/Orders/Create")
    assert paths.known[b"POST"][b"/Orders/Create"] is first
    assert paths.resolve("POST", b"/Orders/Create") is first
    known, version = paths.known[b"POST"], paths.version
    paths.remove("default", "orders")
    assert (known, paths.version > version) == ({}, True)
    with pytest.raises(errors.ServiceNotFound):
        paths.resolve("POST", b"/Orders/Create")
    paths.remove("default", "orders")  # harmless


def test_a_new_description_replaces_the_old_one_and_keeps_its_counters() -> None:
    paths = table()
    stats = paths.resolve("POST", b"/orders/create").stats
    paths.update("default", ServiceDescription(name="orders", endpoints=endpoints("create")))
    assert paths.resolve("POST", b"/orders/create").stats is stats
    with pytest.raises(errors.EndpointNotFound):
        paths.resolve("GET", b"/orders/special")


def test_what_is_remembered_is_bounded() -> None:
    """Paths with parameters are not remembered at all, spellings of others up to a limit."""
    paths = table()
    for number in range(100):
        paths.resolve("GET", b"/orders/%d" % number)
    assert sum(map(len, paths.known.values())) == 0
    name = "orders/create"
    for number in range(MAX_KNOWN + 100):
        bits = f"{number:013b}"
        path = "".join(f"%{ord(char):02x}" if bit == "1" else char for char, bit in zip(name, bits, strict=True))
        if bits[6] != "1":  # the slash stays one
            paths.resolve("POST", b"/" + path.encode())
    assert 0 < sum(map(len, paths.known.values())) <= MAX_KNOWN


segment = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/\\"), min_size=1).filter(
    lambda text: text not in (".", "..")
)


@given(st.lists(segment, max_size=5))
def test_what_is_quoted_is_read_back(segments: list[str]) -> None:
    path = "/" + "/".join(quote(text, safe="") for text in segments)
    assert split_path(path.encode()) == tuple(segments)


@given(st.binary(max_size=60), st.sampled_from(("GET", "POST", "OPTIONS")))
def test_any_bytes_are_a_path_or_an_error(data: bytes, method: str) -> None:
    """Nothing else comes out, and nothing that leaves the segments it was cut into."""
    paths = table()
    try:
        target = paths.resolve(method, b"/" + data)
    except (errors.BadRequest, errors.NotFound, errors.MethodNotAllowed):
        pass
    else:
        assert (target.namespace, "/" in "".join(target.params.values())) == ("default", False)


@given(
    st.sampled_from(["orders", "Orders", "v1/orders", "api/orders", "docs", "store", "%6frders", "..", "", "x"]),
    st.lists(
        st.sampled_from(["create", "Create", "17", "lines", "first", "..", ".", "", "%2e%2e", "%2f", "a.b"]), max_size=4
    ),
    st.sampled_from(ALL_METHODS),
)
def test_a_remembered_answer_is_the_first_one(service: str, rest: list[str], method: str) -> None:
    path = "/".join(["", service, *rest]).encode()
    paths = table()

    def outcome() -> object:
        try:
            target = paths.resolve(method, path)
        except errors.Error as error:
            return error.code, error.detail
        return names(target), target.params, target.is_builtin

    assert outcome() == outcome()
