"""`Idempotency-Key`: a call that is sent again is done once, and answered the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from microlite import Context, Service, errors
from microlite.testing import RunningPlatform, platform
from microlite.web.gateway import idempotency
from microlite.web.gateway.kept_answers import KEPT_SECONDS
from tests.gateway.gateway_bench import Answer, Wire

KEY = "8e03978e-40d5-43e8-bc93-6894a57f9324"


class Shop:
    """A service that counts what it does."""

    def __init__(self) -> None:
        self.done = 0
        self.begun = asyncio.Event()
        self.go = asyncio.Event()
        self.service = service = Service("shop")

        @service.endpoint
        async def order(item: str = "") -> Any:
            self.done += 1
            return {"number": self.done, "item": item}

        @service.endpoint
        async def slow() -> int:
            self.done += 1
            self.begun.set()
            await self.go.wait()
            return self.done

        @service.endpoint
        async def fail(code: int) -> None:
            self.done += 1
            raise errors.Error(f"failed {self.done}", code=code)

        @service.endpoint
        async def refuse() -> int:
            self.done += 1
            if self.done == 1:
                raise errors.ServiceUnavailable("not now")
            return self.done

        @service.endpoint
        async def nothing() -> None:
            self.done += 1

        @service.endpoint
        async def large(size: int) -> str:
            self.done += 1
            return "x" * size

        @service.endpoint(produces="image/png")
        async def picture() -> bytes:
            self.done += 1
            return b"%d" % self.done

        @service.endpoint
        async def nested(ctx: Context) -> Any:
            return [await ctx.call("shop.order"), await ctx.call("shop.order")]


@pytest.fixture
async def running() -> AsyncIterator[RunningPlatform]:
    async with platform() as started:
        yield started


@pytest.fixture
async def shop(running: RunningPlatform) -> Shop:
    shop = Shop()
    await running.serve(shop.service)
    return shop


@pytest.fixture
async def wires(running: RunningPlatform) -> AsyncIterator[list[Wire]]:
    """Three connections: what one client sends again, it may send over another."""
    port = int(running.http.rpartition(":")[2])
    opened = [Wire(*await asyncio.open_connection("127.0.0.1", port)) for _ in range(3)]
    yield opened
    for wire in opened:
        await wire.close()


async def post(wire: Wire, path: str, body: bytes = b"{}", key: str = KEY, **headers: str) -> Answer:
    headers = {name.replace("_", "-"): text for name, text in headers.items()}
    return await wire.request("POST", f"/shop/{path}", body, {"Idempotency-Key": key, **headers})


async def test_a_repeated_call_is_answered_what_the_first_one_was(shop: Shop, wires: list[Wire]) -> None:
    first = await post(wires[0], "order", b'{"item":"tea"}')
    again = await post(wires[1], "order", b'{"item":"tea"}')
    assert (first.status, first.json()) == (again.status, again.json()) == (200, {"number": 1, "item": "tea"})
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert shop.done == 1
    assert (await post(wires[0], "order", b'{"item":"tea"}', "other")).json()["number"] == 2
    quoted = await post(wires[0], "order", b'{"item":"tea"}', f'"{KEY}"')
    assert quoted.json()["number"] == 1


@pytest.mark.parametrize(("path", "body"), [("nothing", b"{}"), ("picture", b"{}"), ("large", b'{"size":1000000}')])
async def test_every_kind_of_reply_is_repeated(path: str, body: bytes, shop: Shop, wires: list[Wire]) -> None:
    first = await post(wires[0], path, body)
    again = await post(wires[0], path, body)
    assert (first.status, first.body, first.headers.get("content-type")) == (
        again.status,
        again.body,
        again.headers.get("content-type"),
    )
    assert shop.done == 1


async def test_another_request_under_the_same_key_is_refused(shop: Shop, wires: list[Wire]) -> None:
    await post(wires[0], "order", b'{"item":"tea"}')
    answer = await post(wires[0], "order", b'{"item":"milk"}')
    assert answer.status == 422
    assert "new key" in answer.json()["detail"]
    assert (await post(wires[0], "order?item=milk")).status == 422
    assert (await post(wires[0], "nothing")).status == 204, "the same key at another endpoint is another key"
    assert shop.done == 2


async def test_accounts_have_keys_of_their_own(running: RunningPlatform, shop: Shop, wires: list[Wire]) -> None:
    assert (await post(wires[0], "order")).json()["number"] == 1
    answer = await post(wires[0], "order", Authorization=f"Bearer {running.token}")
    assert answer.json()["number"] == 2


@pytest.mark.parametrize("code", [400, 404, 409, 500, 501])
async def test_an_error_of_the_service_is_an_answer_too(code: int, shop: Shop, wires: list[Wire]) -> None:
    first = await post(wires[0], "fail", b'{"code":%d}' % code)
    again = await post(wires[0], "fail", b'{"code":%d}' % code)
    assert (first.status, first.body) == (again.status, again.body)
    assert (first.status, first.json()["detail"], shop.done) == (code, "failed 1", 1)


async def test_what_was_provably_not_done_can_be_done_again(shop: Shop, wires: list[Wire]) -> None:
    assert (await post(wires[0], "refuse")).status == 503
    assert (await post(wires[0], "refuse")).json() == 2
    assert (await post(wires[0], "refuse")).json() == 2


@pytest.mark.parametrize("code", [408, 502, 504])
async def test_what_may_have_been_done_is_not_done_again(code: int, shop: Shop, wires: list[Wire]) -> None:
    assert (await post(wires[0], "fail", b'{"code":%d}' % code)).status == code
    answer = await post(wires[0], "fail", b'{"code":%d}' % code)
    assert (answer.status, answer.json()["detail"][:15], shop.done) == (409, "outcome unknown", 1)


async def test_a_crash_of_the_node_leaves_the_outcome_unknown(
    running: RunningPlatform, shop: Shop, wires: list[Wire]
) -> None:
    calling = asyncio.create_task(post(wires[0], "slow"))
    await shop.begun.wait()
    await running.kill("shop")
    assert (await calling).status == 503
    await running.serve(shop.service)
    assert (await post(wires[0], "slow")).status == 409
    assert shop.done == 1


async def test_a_duplicate_waits_for_the_first(shop: Shop, wires: list[Wire]) -> None:
    calling = [asyncio.create_task(post(wire, "slow")) for wire in wires]
    await shop.begun.wait()
    shop.go.set()
    answers = await asyncio.gather(*calling)
    assert [answer.json() for answer in answers] == [1, 1, 1]
    assert sum("idempotent-replayed" in answer.headers for answer in answers) == 2
    assert shop.done == 1


async def test_a_duplicate_with_another_body_does_not_wait(shop: Shop, wires: list[Wire]) -> None:
    calling = asyncio.create_task(post(wires[0], "slow"))
    await shop.begun.wait()
    assert (await post(wires[1], "slow", b'{"x":1}')).status == 422
    shop.go.set()
    assert (await calling).json() == 1


async def test_a_client_that_went_away_hears_the_answer_later(shop: Shop, wires: list[Wire]) -> None:
    calling = asyncio.create_task(post(wires[0], "slow"))
    await shop.begun.wait()
    await wires[0].close()
    await asyncio.gather(calling, return_exceptions=True)
    shop.go.set()
    assert (await post(wires[1], "slow")).json() == 1


async def test_those_who_wait_are_bounded(shop: Shop, wires: list[Wire], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "MAX_WAITERS", 1)
    calling = asyncio.create_task(post(wires[0], "slow"))
    await shop.begun.wait()
    assert (await post(wires[1], "slow")).status == 429
    shop.go.set()
    assert (await calling).json() == 1


async def test_an_answer_is_kept_for_a_day(running: RunningPlatform, shop: Shop, wires: list[Wire]) -> None:
    await post(wires[0], "order")
    running.advance(KEPT_SECONDS - 1)
    assert (await post(wires[0], "order")).json()["number"] == 1
    running.advance(2)
    assert (await post(wires[0], "order")).json()["number"] == 2


async def test_an_answer_that_is_too_large_is_not_kept_and_the_call_not_repeated(shop: Shop, wires: list[Wire]) -> None:
    body = b'{"size":1048577}'
    assert (await post(wires[0], "large", body)).status == 200
    answer = await post(wires[0], "large", body)
    assert answer.status == 409
    assert "larger than 1,048,576 bytes" in answer.json()["detail"]
    assert shop.done == 1


@pytest.mark.parametrize("key", ["", "a b", "ä", "x" * 256, '""'])
async def test_a_key_that_cannot_be_is_refused(key: str, shop: Shop, wires: list[Wire]) -> None:
    answer = await post(wires[0], "order", b"{}", key)
    assert answer.status == 400
    assert "UUID" in answer.json()["detail"]
    assert shop.done == 0


async def test_methods_that_may_be_repeated_need_no_key(shop: Shop, wires: list[Wire]) -> None:
    for number in (1, 2):
        answer = await wires[0].request("PUT", "/shop/order", b"{}", {"Idempotency-Key": KEY})
        assert answer.json()["number"] == number


async def test_a_key_means_only_the_call_that_it_came_with(shop: Shop, wires: list[Wire]) -> None:
    """It is passed on with the calls of the service, where it says nothing."""
    assert [one["number"] for one in (await post(wires[0], "nested")).json()] == [1, 2]


async def test_a_call_is_not_sent_where_the_key_cannot_be_written(
    running: RunningPlatform, shop: Shop, wires: list[Wire], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(batch: object) -> None:
        raise errors.InsufficientStorage("the disk is full")

    monkeypatch.setattr(running._booted.state.engine, "commit", full)
    assert (await post(wires[0], "order")).status == 507
    assert shop.done == 0


async def test_the_answer_is_on_disk_before_it_goes_out(
    running: RunningPlatform, shop: Shop, wires: list[Wire], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be kept is answered all the same, and never done twice."""
    engine = running._booted.state.engine
    commit = engine.commit
    written = []

    async def full(batch: Any) -> Any:
        written.append(shop.done)
        if shop.done:
            raise errors.InsufficientStorage("the disk is full")
        return await commit(batch)

    monkeypatch.setattr(engine, "commit", full)
    assert (await post(wires[0], "order")).json()["number"] == 1
    assert written == [0, 1]
    assert (await post(wires[0], "order")).status == 409
    assert shop.done == 1
