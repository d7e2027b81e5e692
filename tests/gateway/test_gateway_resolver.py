"""Paths to service and endpoint, and hosts to namespaces, as micro resolves them."""

from __future__ import annotations

import pytest

from microlite.core import errors
from microlite.core.description.structs import EndpointDescription
from microlite.web.gateway.resolver import host_namespace
from microlite.web.gateway.table import PathTable
from tests.gateway.gateway_bench import TOKEN, Bench, Start, describe

DOMAINS = ("example.org", "shop.example.org", "example.com.au")
ADMIN = {"Authorization": f"Bearer {TOKEN}"}

HOSTS = [
    ("example.org", ""),
    ("example.com.au", ""),
    ("dev.example.org", "dev"),
    ("dev.example.com.au", "dev"),
    ("Dev.Example.ORG", "dev"),
    ("dev.example.org.", "dev"),
    ("staging.foo.example.org", "foo-staging"),
    ("a.b.c.example.org", "c-b-a"),
    ("dev.shop.example.org", "dev"),
    ("shop.example.org", "shop"),
    ("api.example.org", ""),
    ("www.example.org", ""),
    ("api.dev.example.org", "dev-api"),
    ("badexample.org", ""),
    ("dev.example.net", ""),
    ("localhost", ""),
    ("127.0.0.1", ""),
    ("81.151.101.146", ""),
    ("::1", ""),
    ("[::1]", ""),
]


@pytest.mark.parametrize(("host", "namespace"), HOSTS)
def test_a_host_names_a_namespace(host: str, namespace: str) -> None:
    assert host_namespace(host, DOMAINS) == namespace


def test_a_whole_top_level_domain_may_be_ours() -> None:
    assert host_namespace("staging.foo.app", ("app",)) == "foo-staging"


ENDPOINTS = ("call", "bar", "baz-xyz", "bar.baz", "bar.baz-xyz", "foo-bar.baz-cat", "bar.baz.cat")
FOO = describe("foo", *(EndpointDescription(name=name) for name in ENDPOINTS))
VERSIONED = describe("v1.foo", *(EndpointDescription(name=name) for name in ("bar", "bar.baz")))
HYPHENS = describe("foo-bar", EndpointDescription(name="call"))

PATHS = [
    ("/foo", "foo", "call"),
    ("/foo/", "foo", "call"),
    ("/foo/bar", "foo", "bar"),
    ("/foo/Bar", "foo", "bar"),
    ("/foo/foo/bar", "foo", "bar"),
    ("/foo/Foo.Bar", "foo", "bar"),
    ("/foo/Foo/Bar", "foo", "bar"),
    ("/foo/baz-xyz", "foo", "baz-xyz"),
    ("/foo/bazXyz", "foo", "baz-xyz"),
    ("/foo/BazXyz", "foo", "baz-xyz"),
    ("/foo/baz_xyz", "foo", "baz-xyz"),
    ("/foo/bar/baz", "foo", "bar.baz"),
    ("/foo/Bar.Baz", "foo", "bar.baz"),
    ("/foo/bar/baz-xyz", "foo", "bar.baz-xyz"),
    ("/foo/bar/bazXyz", "foo", "bar.baz-xyz"),
    ("/foo/fooBar/bazCat", "foo", "foo-bar.baz-cat"),
    ("/foo/bar/baz/cat", "foo", "bar.baz.cat"),
    ("/v1/foo/bar", "v1.foo", "bar"),
    ("/v1/foo/bar/baz", "v1.foo", "bar.baz"),
    ("/v2/foo/bar", "foo", "bar"),
    ("/v2/foo", "foo", "call"),
    ("/api/foo/bar", "foo", "bar"),
    ("/api/v1/foo/bar", "v1.foo", "bar"),
    ("/foo-bar", "foo-bar", "call"),
    ("/foo_bar", "foo-bar", "call"),
]


@pytest.mark.parametrize(("path", "service", "endpoint"), PATHS)
def test_a_path_names_an_endpoint(path: str, service: str, endpoint: str) -> None:
    """As micro reads it, with one exception: what stands behind the service is the endpoint, however long.

    micro moves all but the last two words of a longer path into the service's name.
    """
    table = PathTable()
    for description in (FOO, VERSIONED, HYPHENS):
        table.update("default", description)
    target = table.resolve("POST", path.encode())
    assert target.endpoint is not None
    assert (target.service, target.endpoint.name) == (service, endpoint)


@pytest.mark.parametrize("path", ["/f", "/foo/qux", "/foo/bar/qux", "/v1/qux/bar", "/v1/foo/qux", "/v1", "/api"])
def test_other_paths_name_nothing(path: str) -> None:
    table = PathTable()
    for description in (FOO, VERSIONED):
        table.update("default", description)
    with pytest.raises(errors.NotFound):
        table.resolve("POST", path.encode())


@pytest.fixture
async def tenants(start: Start, way: str) -> Bench:
    """A gateway whose subdomains are namespaces, with a service in two of them."""
    bench = await start(fast=way == "fast", allowed_hosts=("example.org", "*.example.org"), namespace_by_host=True)
    bench.table.update("shop-staging", describe("tenant", EndpointDescription(name="call")))
    bench.table.update("default", describe("lobby", EndpointDescription(name="call")))
    return bench


@pytest.mark.parametrize(
    ("host", "path", "namespace"),
    [
        ("staging.shop.example.org", "/tenant", "shop-staging"),
        ("staging.shop.example.org:8080", "/tenant", "shop-staging"),
        ("STAGING.Shop.example.org", "/tenant", "shop-staging"),
        ("staging.shop.example.org", "/lobby", None),
        ("shop.example.org", "/tenant", None),
        ("example.org", "/lobby", "default"),
        ("api.example.org", "/lobby", "default"),
        ("www.example.org", "/lobby", "default"),
        ("localhost", "/lobby", "default"),
        ("127.0.0.1", "/lobby", "default"),
        ("localhost", "/tenant", None),
    ],
)
async def test_a_request_asks_in_the_namespace_of_its_host(
    host: str, path: str, namespace: str | None, tenants: Bench
) -> None:
    wire = await tenants.connect()
    for _ in range(2):
        answer = await wire.request("POST", path, b"{}", {"Host": host})
        assert answer.status == (200 if namespace else 404)
        if namespace is not None:
            assert tenants.services.calls[-1].namespace == namespace


async def test_a_named_namespace_goes_before_that_of_the_host(tenants: Bench) -> None:
    """What is open to all is so under every name of the host; an account keeps to its own namespace."""
    wire = await tenants.connect()
    host = {"Host": "staging.shop.example.org"}
    same = await wire.request("POST", "/tenant", b"{}", {**host, "Micro-Namespace": "shop-staging"})
    assert same.status == 200
    other = await wire.request("POST", "/lobby", b"{}", {**host, "Micro-Namespace": "default"})
    assert other.status == 200
    admin = await wire.request("POST", "/lobby", b"{}", {**host, "Micro-Namespace": "default", **ADMIN})
    assert admin.status == 200


async def test_hosts_name_no_namespace_unless_that_is_set(start: Start, way: str) -> None:
    bench = await start(fast=way == "fast", allowed_hosts=("*.example.org",))
    wire = await bench.connect()
    answer = await wire.request("POST", "/echo", b"{}", {"Host": "staging.shop.example.org"})
    assert answer.status == 200
    assert bench.services.calls[-1].namespace == "default"
