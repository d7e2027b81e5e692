"""Endpoints that consume: called by the platform for each event, over real sockets."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import aiohttp
import msgspec
import pytest

import microlite
from microlite import Context, Event, Reject, RetryLater, Service, errors
from microlite.core.context import Origin
from microlite.core.description import DeclarationError
from microlite.core.engine.api import Batch
from microlite.core.events.api import Ack
from microlite.testing import RunningPlatform, platform
from tests.events.conftest import until


class Order(msgspec.Struct):
    """What the tests publish."""

    id: int
    at: datetime | None = None


@pytest.fixture
async def p() -> AsyncIterator[RunningPlatform]:
    async with platform() as running:
        yield running


def mailer(seen: list[Any], **options: Any) -> Service:
    """A service that notes down what it gets."""
    service = Service("mailer")

    @service.consume("orders", group="mail", **options)
    async def mail(ctx: Context, order: Order) -> None:
        seen.append((order.id, int(ctx.metadata["event-attempt"])))

    return service


async def test_a_handler_gets_the_payload_as_its_type(p: RunningPlatform) -> None:
    seen: list[Any] = []
    service = Service("mailer")

    @service.consume("orders")
    async def mail(ctx: Context, order: Order) -> None:
        seen.append((order, ctx.metadata["event-topic"], ctx.metadata["event-key"], ctx.metadata["tenant"]))

    await p.serve(service)
    at = datetime(2026, 1, 31, tzinfo=UTC)
    await p.events.publish("orders", Order(1, at), key="k", metadata={"tenant": "t1"})
    await until(lambda: seen)
    assert seen == [(Order(1, at), "orders", "k", "t1")]


async def test_a_plain_function_gets_the_whole_event_in_a_thread(p: RunningPlatform) -> None:
    seen: list[Any] = []
    service = Service("auditor")

    @service.consume("orders", group="audit")
    def note(event: Event[Order]) -> None:
        seen.append((event, threading.current_thread() is threading.main_thread()))

    await p.serve(service)
    published = await p.events.publish("orders", {"id": 7}, key="k")
    await until(lambda: seen)
    ((event, in_main),) = seen
    assert not in_main
    assert (event.payload, event.id, event.position, event.attempt, event.group) == (
        Order(7),
        published.id,
        1,
        1,
        "audit",
    )


async def test_errors_say_what_becomes_of_an_event(p: RunningPlatform) -> None:
    seen: list[tuple[str, int]] = []
    service = Service("mailer")

    @service.consume("orders", group="mail", retries=1, backoff="2s")
    async def mail(ctx: Context, how: str) -> None:
        seen.append((how, int(ctx.metadata["event-attempt"])))
        if how == "crash":
            raise ZeroDivisionError("of the user")
        if how == "reject":
            raise Reject("bad address")
        if how == "later" and len(seen) < 4:
            raise RetryLater("closed", after=60)
        if how == "conflict":
            raise errors.Conflict("somebody was faster")

    await p.serve(service)
    for how in ("crash", "reject", "later", "fine"):
        await p.events.publish("orders", how)
    await until(lambda: len(seen) == 4)
    await until_saved(p)
    p.advance(2)
    await until(lambda: ("crash", 2) in seen)
    await until_saved(p)
    p.advance(58)
    await until(lambda: ("later", 2) in seen)
    await until_saved(p)
    kinds = {kind.kind: kind.count for kind in await p.events.dead_kinds("orders")}
    assert kinds == {"ZeroDivisionError: of the user": 1, "bad address": 1}
    letters = (await p.events.dead_letters("orders", "mail")).letters
    assert {attempt.node for letter in letters for attempt in letter.attempts} == {"mailer-1"}
    (status,) = await p.events.groups("orders")
    assert (status.lag, status.dead, status.consumers) == (0, 2, ("mailer.mail",))


async def until_saved(p: RunningPlatform) -> None:
    """Return when what is known of deliveries is on disk."""
    leaders = p._booted.state.events.leaders
    await until(lambda: all(leader.group.idle for leader in leaders.all()))


async def test_what_does_not_fit_the_parameter_fails_by_name(p: RunningPlatform) -> None:
    seen: list[Any] = []
    await p.serve(mailer(seen, retries=0))
    await p.events.publish("orders", {"id": "x"})
    await p.events.publish("orders", {"id": 1})
    await until(lambda: seen)
    await until_saved(p)
    (letter,) = (await p.events.dead_letters("orders")).letters
    assert "order.id: expected int, got str" in letter.error
    await p.events.edit_dead_letter(letter, {"id": 2})
    assert await p.events.redrive("orders", "mail") == 1
    await until(lambda: len(seen) == 2)
    assert seen == [(1, 1), (2, 1)]


async def test_a_topic_takes_the_schema_of_its_consumer(p: RunningPlatform) -> None:
    await p.serve(mailer([], misfits="refuse"))
    async with asyncio.timeout(10):
        while not (await p.events.topics()) or not (await p.events.topic("orders")).settings.schema:
            await asyncio.sleep(0.001)
    with pytest.raises(errors.Unprocessable, match="id: expected integer, got string"):
        await p.events.publish("orders", {"id": "x"})
    await p.events.publish("orders", Order(1, datetime.now(UTC)))


async def test_a_topic_takes_what_its_publisher_declares(p: RunningPlatform) -> None:
    service = Service("orders")
    service.publishes("orders", Order, misfits="quarantine")
    await p.events.set_topic("orders", count=7)
    await p.serve(service)
    async with asyncio.timeout(10):
        while not (await p.events.topic("orders")).settings.schema:
            await asyncio.sleep(0.001)
    assert (await p.events.publish("orders", {"id": "x"})).quarantined
    assert (await p.events.topic("orders")).settings.retention.count == 7
    with pytest.raises(DeclarationError, match="what it publishes: the type `object` has no schema"):
        service.publishes("orders", object)


async def test_events_wait_for_a_node_and_a_restart_loses_and_repeats_none(p: RunningPlatform) -> None:
    seen: list[Any] = []
    service = mailer(seen)
    for number in range(50):
        await p.events.publish("orders", Order(number))
    await p.serve(service)
    publishing = asyncio.create_task(publish_slowly(p, 50, 400))
    for _ in range(3):
        await until(lambda: len(seen) > 60)
        await p.restart(service)
    await publishing
    await until(lambda: len(seen) >= 400)
    await until_saved(p)
    assert sorted(seen) == [(number, 1) for number in range(400)]


async def publish_slowly(p: RunningPlatform, first: int, end: int) -> None:
    for number in range(first, end):
        await p.events.publish("orders", Order(number))


async def test_a_delivery_whose_node_is_gone_comes_again(p: RunningPlatform) -> None:
    started: list[str] = []
    done: list[str] = []
    service = Service("mailer")

    @service.consume("orders", group="mail")
    async def mail(ctx: Context) -> None:
        started.append(ctx.node)
        if len(started) == 1:
            await asyncio.get_running_loop().create_future()
        done.append(ctx.metadata["event-attempt"])

    first = await p.serve(service)
    await p.events.publish("orders")
    await until(lambda: started)
    await first.kill()
    await p.serve(service, node="other")
    await until_saved(p)
    p.advance(1)
    await until(lambda: done)
    assert (started, done) == (["mailer-1", "other"], ["2"])


async def test_a_delivery_that_takes_too_long_is_given_up_unless_it_is_extended(p: RunningPlatform) -> None:
    log: list[str] = []
    service = Service("mailer")

    @service.consume("orders", group="mail", ack_wait=10, retries=0)
    async def mail(ctx: Context, how: str) -> None:
        if how == "long":
            await ctx.events.extend(ctx.metadata["event-delivery"], 100)
        log.append(f"{how} begun")
        try:
            await ctx.sleep(50)
        except asyncio.CancelledError:
            log.append(f"{how} canceled")
            raise
        log.append(f"{how} done")

    await p.serve(service)
    await p.events.publish("orders", "long")
    await p.events.publish("orders", "short")
    await until(lambda: len(log) == 2)
    p.advance(10)
    await until(lambda: "short canceled" in log)
    p.advance(40)
    await until(lambda: "long done" in log)
    await until_saved(p)
    (letter,) = (await p.events.dead_letters("orders")).letters
    assert (letter.event.payload, letter.error) == ("short", "it was not acknowledged in time")


async def test_an_endpoint_that_acknowledges_by_a_transaction_goes_on_behind_it(p: RunningPlatform) -> None:
    log: list[str] = []
    service = Service("mailer")
    events, engine = p._booted.state.events, p._booted.state.engine

    @service.consume("orders", group="mail")
    async def mail(ctx: Context) -> None:
        plan = await events.plan(Origin("default"), Ack(delivery=ctx.metadata["event-delivery"]))
        await engine.commit(Batch("default", plan))
        log.append("acknowledged")
        async with asyncio.timeout(10):
            while (await events.groups.all(Origin("default")))[0].lag:
                await asyncio.sleep(0.001)
        log.append("gone on")

    await p.serve(service)
    await p.events.publish("orders")
    await until(lambda: len(log) == 2)
    await p.events.publish("orders")
    await until(lambda: len(log) == 4)


async def test_no_more_are_handled_at_a_time_than_the_group_allows(p: RunningPlatform) -> None:
    now, most, done = 0, 0, 0
    service = Service("mailer")
    go = asyncio.Event()

    @service.consume("orders", group="mail", concurrency=3)
    async def mail() -> None:
        nonlocal now, most, done
        now += 1
        most = max(most, now)
        await go.wait()
        now -= 1
        done += 1

    await p.serve(service)
    await p.events.publish_many([p.events.event("orders", number) for number in range(20)])
    await until(lambda: now == 3)
    go.set()
    await until(lambda: done == 20)
    assert most == 3


async def test_two_services_share_the_events_of_a_group(p: RunningPlatform) -> None:
    seen: list[tuple[str, int]] = []
    for name in ("one", "two"):
        service = Service(name)

        @service.consume("orders", group="shared")
        async def handle(ctx: Context, number: int) -> None:
            seen.append((ctx.service, number))

        await p.serve(service)
    await p.events.publish_many([p.events.event("orders", number) for number in range(20)])
    await until(lambda: len(seen) == 20)
    assert sorted(number for _, number in seen) == list(range(20))
    assert {name for name, _ in seen} == {"one", "two"}


async def test_a_reset_group_is_delivered_anew(p: RunningPlatform) -> None:
    seen: list[Any] = []
    await p.serve(mailer(seen))
    await p.events.publish("orders", Order(1))
    await until(lambda: seen)
    await until_saved(p)
    await p.events.reset_group("orders", "mail")
    await until(lambda: len(seen) == 2)
    assert seen == [(1, 1), (1, 1)]


async def test_consuming_endpoints_can_be_called_and_are_not_offered_over_http(p: RunningPlatform) -> None:
    service = Service("mailer")

    @service.consume("orders", group="mail")
    async def mail(order: Order) -> None:
        if order.id == 2:
            raise Reject("no")

    await p.serve(service)
    assert await p.call("mailer.mail", order={"id": 1}) is None
    assert (await p.call("mailer.mail", order={"id": 2}))["dead"] is True
    async with aiohttp.ClientSession() as session, session.post(f"{p.http}/mailer/mail", json={"order": {}}) as got:
        assert got.status == 404


async def test_scripts_and_handlers_consume_by_pulling_and_streaming(p: RunningPlatform) -> None:
    for number in range(4):
        await p.events.publish("orders", Order(number))
    first, second = await p.events.pull("orders", "g", Order, max=2)
    assert (first.payload, second.payload) == (Order(0), Order(1))
    await first.ack()
    await second.nack("no", dead=True)
    with pytest.raises(errors.Conflict):
        await second.ack()
    found = []
    async for delivery in p.events.consume("orders", "g", Order):
        found.append(delivery.payload.id)
        await delivery.ack()
        if len(found) == 2:
            break
    assert found == [2, 3]
    assert [event.payload.id for event in await p.events.read("orders", Order, reverse=True)] == [3, 2, 1, 0]


async def test_blocking_code_uses_events_as_awaiting_code_does(p: RunningPlatform) -> None:
    def script() -> list[Any]:
        with microlite.connect(p.home) as m:
            m.events.publish("orders", {"id": 1})
            m.events.publish("orders", {"id": 2})
            found = []
            for delivery in m.events.consume("orders", "g", Order):
                delivery.ack()
                found.append(delivery.payload)
                if len(found) == 2:
                    break
            return found

    assert await asyncio.to_thread(script) == [Order(1), Order(2)]


@pytest.mark.parametrize(
    ("declare", "complaint"),
    [
        ({"topic": "a b"}, "topic: 'a b' is no name"),
        ({"topic": "a", "group": "-"}, "group: '-' is no name"),
        ({"topic": "a", "ack_wait": "soon"}, "ack_wait: 'soon' is no duration"),
        ({"topic": "a", "misfits": "eat"}, "write 'refuse' or 'quarantine'"),
        ({"topic": "a", "retries": -2}, "retries=-2"),
        ({"topic": "a", "backoff": 10, "max_backoff": 5}, "is more than max_backoff"),
    ],
)
def test_a_declaration_that_cannot_be_is_refused_where_it_stands(declare: dict[str, Any], complaint: str) -> None:
    service = Service("s")
    with pytest.raises(DeclarationError, match=complaint) as raised:

        @service.consume(**declare)
        async def handle(order: Order) -> None: ...

    assert "test_events_push.py" in str(raised.value)


def test_a_consumer_takes_one_thing() -> None:
    service = Service("s")
    with pytest.raises(DeclarationError, match="parameter `note`: an event has one payload"):

        @service.consume("orders")
        async def handle(order: Order, note: str) -> None: ...

    with pytest.raises(DeclarationError, match="streams nothing"):

        @service.consume("orders")
        async def stream(order: Order) -> AsyncIterator[int]:
            yield 1


# -- HTTP --------------------------------------------------------------------------------------------------------------


async def test_events_over_http_from_publish_to_ack(p: RunningPlatform) -> None:
    async with aiohttp.ClientSession(p.http, headers={"Authorization": f"Bearer {p.token}"}) as session:
        poll = asyncio.create_task(
            session.post("/events/pull", json={"topic": "t", "group": "g", "wait": 20, "max": 5})
        )
        async with session.post("/events/publish", json={"topic": "t", "payload": {"a": 1}}) as got:
            assert (got.status, (await got.json())["position"]) == (200, 1)
        async with await poll as got:
            (event,) = await got.json()
        assert event["payload"] == {"a": 1}
        async with session.post("/events/ack", json={"deliveries": [event["delivery"]]}) as got:
            assert got.status == 204
        async with session.post("/events/ack", json={"deliveries": [event["delivery"]]}) as got:
            assert got.status == 409
    async with aiohttp.ClientSession(p.http) as session, session.get("/events/read?topic=t") as got:
        assert got.status == 401


async def test_what_was_published_as_json_comes_to_handlers_as_their_types(p: RunningPlatform) -> None:
    class Picture(msgspec.Struct):
        content: bytes
        sizes: dict[int, int]

    seen: list[Any] = []
    service = Service("album")

    @service.consume("pictures")
    async def keep(picture: Picture) -> None:
        seen.append(picture)

    @service.consume("pictures")
    async def note(event: Event[Picture]) -> None:
        seen.append(event.payload)

    await p.serve(service)
    document = {"topic": "pictures", "payload": {"content": "aGVsbG8=", "sizes": {"1": 2}}}
    headers = {"Authorization": f"Bearer {p.token}"}
    async with (
        aiohttp.ClientSession(p.http, headers=headers) as session,
        session.post("/events/publish", json=document) as got,
    ):
        assert got.status == 200
    await p.events.publish("pictures", Picture(b"hello", {1: 2}))
    await until(lambda: len(seen) == 4)
    assert seen == [Picture(b"hello", {1: 2})] * 4


async def test_server_sent_events_resume_behind_the_last_one(p: RunningPlatform) -> None:
    async def follow(last: str | None, count: int, address: str = "after=0&") -> list[tuple[str, Any]]:
        headers = {"Authorization": f"Bearer {p.token}", "Accept": "text/event-stream"}
        if last is not None:
            headers["Last-Event-ID"] = last
        found: list[tuple[str, Any]] = []
        async with (
            aiohttp.ClientSession(p.http) as session,
            session.get(f"/events/follow?{address}topic=t", headers=headers) as got,
        ):
            assert got.status == 200
            place = ""
            while len(found) < count:
                line = (await got.content.readline()).decode().rstrip("\n")
                if line.startswith("id: "):
                    place = line[4:]
                elif line.startswith("data: "):
                    found.append((place, msgspec.json.decode(line[6:])["payload"]))
        return found

    for number in range(5):
        await p.events.publish("t", number)
    first = await follow(None, 3)
    assert first == [("1", 0), ("2", 1), ("3", 2)]
    waiting = asyncio.create_task(follow(first[-1][0], 4))
    await p.events.publish("t", 5)
    await p.events.publish("t", 6)
    assert await waiting == [("4", 3), ("5", 4), ("6", 5), ("7", 6)]
    assert await follow("6", 1, address="") == [("7", 6)]


async def test_any_service_can_give_its_stream_ids(p: RunningPlatform) -> None:
    class Tick(msgspec.Struct):
        number: int
        at: str | None = None

    service = Service("ticker")

    @service.endpoint(event_id="at")
    async def watch(ctx: Context) -> AsyncIterator[Tick]:
        yield Tick(1, f"after {ctx.metadata.get('last-event-id')}")
        yield Tick(2, None)
        yield Tick(3, "two\nlines")

    await p.serve(service)
    async with (
        aiohttp.ClientSession(p.http) as session,
        session.get("/ticker/watch", headers={"Accept": "text/event-stream", "Last-Event-ID": "x"}) as got,
    ):
        text = await got.text()
    assert text.split("\n\n")[:3] == [
        'id: after x\ndata: {"number":1,"at":"after x"}',
        'data: {"number":2,"at":null}',
        'data: {"number":3,"at":"two\\nlines"}',
    ]
    with pytest.raises(DeclarationError, match="no field of what it streams; its fields are: number, at"):

        @service.endpoint(event_id="position")
        async def other() -> AsyncIterator[Tick]:
            yield Tick(1)

    with pytest.raises(DeclarationError, match="for a function that streams"):

        @service.endpoint(event_id="at")
        async def third() -> Tick:
            return Tick(1)
