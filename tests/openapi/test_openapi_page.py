"""`/openapi.json`: for whom, how often it is made, and how it is answered."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from microlite.core.description.structs import EndpointDescription, ServiceDescription
from microlite.web.gateway import openapi_page
from tests.gateway.gateway_bench import TOKEN, Start
from tests.openapi.openapi_checks import check

ADMIN = {"Authorization": f"Bearer {TOKEN}"}
SITE = ServiceDescription(name="site", metadata={"protocol": "http"})


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The names of the services of each document that was made."""
    made: list[list[str]] = []
    original = openapi_page._make

    def make(services: list[ServiceDescription]) -> Any:
        made.append([service.name for service in services])
        return original(services)

    monkeypatch.setattr(openapi_page, "_make", make)
    return made


async def test_it_holds_what_the_caller_may_call(start: Start) -> None:
    """A user's services for all, those of the platform for the admin."""
    wire = await (await start(descriptions=(SITE,))).connect()
    answer = await wire.request("GET", "/openapi.json")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    document = check(answer.json())
    assert [tag["name"] for tag in document["tags"]] == ["echo", "site"]
    assert "/store/read" not in document["paths"]
    document = check((await wire.request("GET", "/openapi.json", headers=ADMIN)).json())
    assert [tag["name"] for tag in document["tags"]] == ["echo", "site", "store"]
    assert document["paths"]["/store/read"]["get"]["security"]
    wrong = await wire.request("GET", "/openapi.json", headers={"Authorization": "Bearer nonsense"})
    assert [tag["name"] for tag in wrong.json()["tags"]] == ["echo", "site"]


async def test_services_can_be_asked_for_by_name(start: Start) -> None:
    wire = await (await start(descriptions=(SITE,))).connect()
    one = (await wire.request("GET", "/openapi.json?service=Echo")).json()
    assert (one["info"]["title"], len(one["tags"])) == ("echo", 1)
    two = (await wire.request("GET", "/openapi.json?service=site&service=echo&service=site")).json()
    assert [tag["name"] for tag in two["tags"]] == ["echo", "site"]
    store = await wire.request("GET", "/openapi.json?service=store", headers=ADMIN)
    assert list(store.json()["paths"]) == ["/store/read", "/store/write"]


@pytest.mark.parametrize(
    ("query", "status", "detail"),
    [
        ("service=nobody", 404, 'Service "nobody" not found'),
        ("service=", 404, 'Service "" not found'),
        (
            "service=store",
            401,
            '"store" is not open to all: send Authorization: Bearer with a token',
        ),
        ("servic=echo", 400, "servic: unknown; write ?service=name, as often as needed, or nothing"),
    ],
)
async def test_what_cannot_be_asked_for_is_said(query: str, status: int, detail: str, start: Start) -> None:
    wire = await (await start()).connect()
    answer = await wire.request("GET", f"/openapi.json?{query}")
    assert (answer.status, answer.json()["detail"]) == (status, detail)


async def test_another_namespace_has_its_own_services(start: Start) -> None:
    bench = await start()
    bench.table.update("other", ServiceDescription(name="hidden", endpoints=(EndpointDescription(name="call"),)))
    wire = await bench.connect()
    other = {"Micro-Namespace": "other"}
    document = (await wire.request("GET", "/openapi.json", headers=other)).json()
    assert [tag["name"] for tag in document["tags"]] == ["hidden"], "to nobody in particular, what is open to all"
    document = (await wire.request("GET", "/openapi.json", headers={**other, **ADMIN})).json()
    assert [tag["name"] for tag in document["tags"]] == ["hidden", "store"]


async def test_it_is_made_once_and_anew_when_the_services_change(start: Start, made: list[list[str]]) -> None:
    bench = await start()
    wires = [await bench.connect() for _ in range(5)]
    await asyncio.gather(*(wire.request("GET", "/openapi.json") for wire in wires))
    assert made == [["echo"]], "five ask, and it is made once"
    wire = wires[0]
    await wire.request("GET", "/openapi.json", headers={"Host": "127.0.0.1:1"})
    await wire.request("GET", "/openapi.json?service=echo")
    await wire.request("GET", "/openapi.json?service=echo")
    assert made == [["echo"], ["echo"]]
    bench.table.update("default", SITE)
    assert [tag["name"] for tag in (await wire.request("GET", "/openapi.json")).json()["tags"]] == ["echo", "site"]
    assert made[2:] == [["echo", "site"]]


async def test_no_more_than_so_many_are_kept(start: Start, made: list[list[str]]) -> None:
    services = [ServiceDescription(name=f"s{number}") for number in range(openapi_page.MAX_KEPT + 1)]
    bench = await start(descriptions=services)
    wire = await bench.connect()
    for service in services:
        await wire.request("GET", f"/openapi.json?service={service.name}")
    assert len(made) == len(services)
    await wire.request("GET", f"/openapi.json?service={services[-1].name}")
    assert len(made) == len(services), "the newest is still there"
    await wire.request("GET", f"/openapi.json?service={services[0].name}")
    assert len(made) == len(services) + 1, "the oldest is not"


async def test_who_has_it_gets_no_second_copy(start: Start) -> None:
    bench = await start()
    wire = await bench.connect()
    first = await wire.request("GET", "/openapi.json")
    tag = first.headers["etag"]
    again = await wire.request("GET", "/openapi.json", headers={"If-None-Match": f'"x", {tag}'})
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag)
    other = await wire.request("GET", "/openapi.json", headers={"If-None-Match": tag, **ADMIN})
    assert other.status == 200
    bench.table.update("default", SITE)
    assert (await wire.request("GET", "/openapi.json", headers={"If-None-Match": tag})).status == 200


async def test_head_and_other_origins_are_answered_as_elsewhere(start: Start) -> None:
    wire = await (await start()).connect()
    head = await wire.request("HEAD", "/openapi.json")
    assert (head.status, head.body) == (200, b"")
    assert int(head.headers["content-length"]) == len((await wire.request("GET", "/openapi.json")).body)
    foreign = await wire.request("GET", "/openapi.json", headers={"Origin": "https://editor.example"})
    assert foreign.headers["access-control-allow-origin"] in ("*", "https://editor.example")
    assert "access-control-allow-credentials" not in foreign.headers
    posted = await wire.request("POST", "/openapi.json", b"{}")
    assert (posted.status, posted.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


async def test_the_server_is_where_the_client_has_found_it(start: Start) -> None:
    """Generators and Postman take the URL from the document, so it is the one that leads here."""
    bench = await start(trusted_proxies=("127.0.0.1",))
    wire = await bench.connect()
    for headers, url in (
        ({"Host": "localhost:8080"}, "http://localhost:8080"),
        ({"Host": "127.0.0.1:99"}, "http://127.0.0.1:99"),
        ({"Host": "localhost", "X-Forwarded-Proto": "https"}, "https://localhost"),
    ):
        assert (await wire.request("GET", "/openapi.json", headers=headers)).json()["servers"] == [{"url": url}]
    stranger = await (await start()).connect()
    answer = await stranger.request("GET", "/openapi.json", headers={"X-Forwarded-Proto": "https"})
    assert answer.json()["servers"] == [{"url": "http://localhost"}]
