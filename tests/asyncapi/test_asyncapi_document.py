"""The AsyncAPI document: whole, with every reference in its place, and the same for the same services."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from microlite import Event, Message, Service
from microlite.web.asyncapi import document


class Item(msgspec.Struct):
    """A thing in a shop."""

    sku: str
    price: float


class Order(msgspec.Struct):
    """What somebody wants."""

    id: str
    items: list[Item]


def shop() -> Service:
    service = Service("shop", version="1.2.0", doc="Sells things.")

    @service.consume("orders.created", group="mailer", retries=3)
    async def mail(order: Order) -> None:
        """Write to the customer.

        By mail.
        """

    @service.consume("orders.created", group="books")
    async def book(event: Event[Order]) -> None: ...

    @service.subscribe("prices.*.eur")
    @service.subscribe("news.>", queue="readers")
    async def hear(message: Message[dict[str, int]]) -> None: ...

    @service.subscribe("tick")
    async def tick() -> None: ...

    @service.endpoint
    async def read(id: str) -> Order:
        raise NotImplementedError

    return service


def other() -> Service:
    service = Service("other")

    @service.consume("orders.created", group="other")
    async def take(amount: int = 3) -> None: ...

    return service


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for one in value.values():
            yield from nodes(one)
    elif isinstance(value, list):
        for one in value:
            yield from nodes(one)


def resolve(found: Any, reference: str) -> Any:
    place = found
    for word in reference.removeprefix("#/").split("/"):
        place = place[word]
    return place


def check(found: dict[str, Any]) -> None:
    """What the specification demands (https://www.asyncapi.com/docs/reference/specification/v3.0.0)."""
    assert found["asyncapi"] == "3.0.0"
    assert found["info"]["title"]
    assert found["info"]["version"]
    for reference in [node["$ref"] for node in nodes(found) if "$ref" in node]:
        resolve(found, reference)
    key = re.compile(r"[A-Za-z0-9._-]+")
    for group in (found["channels"], found["operations"], *found["components"].values()):
        assert all(key.fullmatch(name) for name in group)
    for channel in found["channels"].values():
        assert set(re.findall(r"{(\w+)}", channel["address"])) == set(channel.get("parameters", {}))
        for message in channel["messages"].values():
            assert message["$ref"].startswith("#/components/messages/")
    for operation in found["operations"].values():
        assert operation["action"] in ("send", "receive")
        channel = operation["channel"]["$ref"]
        assert operation["messages"]
        for message in operation["messages"]:
            # by the specification these point into the channel, never into the components
            assert message["$ref"].startswith(f"{channel}/messages/")
    for message in found["components"]["messages"].values():
        assert "payload" in message


def test_each_trigger_is_an_operation_on_the_channel_of_its_topic() -> None:
    found = document([shop().describe()], gateway="http://127.0.0.1:8080")
    check(found)
    assert found["info"] == {
        "title": "shop",
        "version": "1.2.0",
        "description": "Sells things.",
        "tags": [{"name": "shop", "description": "Sells things."}],
    }
    assert found["servers"]["gateway"]["host"] == "127.0.0.1:8080"
    assert {name: channel["address"] for name, channel in found["channels"].items()} == {
        "events.orders.created": "orders.created",
        "messages.news._rest": "news.{rest}",
        "messages.prices._any.eur": "prices.{word1}.eur",
        "messages.tick": "tick",
    }
    assert set(found["operations"]) == {"shop.mail", "shop.book", "shop.hear", "shop.hear-2", "shop.tick"}
    mail = found["operations"]["shop.mail"]
    assert (mail["summary"], mail["x-group"], mail["x-retries"]) == ("Write to the customer.", "mailer", 3)
    assert mail["description"] == "Write to the customer.\n\nBy mail."


def test_the_payload_is_what_the_handler_takes_and_a_type_is_there_once() -> None:
    found = document([shop().describe(), other().describe()])
    check(found)
    (name,) = {operation["messages"][0]["$ref"].rpartition("/")[2] for operation in mails(found)}
    message = found["components"]["messages"][name]
    assert (name, message["payload"]["$ref"]) == ("Order", "#/components/schemas/Order")
    assert set(found["components"]["schemas"]) == {"Order", "Item"}
    assert found["components"]["schemas"]["Order"]["properties"]["items"]["items"] == {
        "$ref": "#/components/schemas/Item"
    }
    (take,) = found["operations"]["other.take"]["messages"]
    assert resolve(found, resolve(found, take["$ref"])["$ref"])["payload"] == {"type": "integer"}
    (hear,) = found["operations"]["shop.hear"]["messages"]
    payload = resolve(found, resolve(found, hear["$ref"])["$ref"])["payload"]
    assert payload == {"type": "object", "additionalProperties": {"type": "integer"}}
    assert found["info"]["title"] == "microlite"


def mails(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [found["operations"]["shop.mail"], found["operations"]["shop.book"]]


def test_what_a_service_says_that_it_publishes_is_sent() -> None:
    service = Service("desk")
    service.publishes("orders.created", Order)
    found = document([service.describe(), shop().describe()])
    check(found)
    sending = found["operations"]["desk.publishes.orders.created"]
    assert sending["action"] == "send"
    assert sending["messages"] == found["operations"]["shop.mail"]["messages"]


def test_topics_that_are_there_are_channels_with_their_schemas() -> None:
    schema = {
        "$ref": "#/$defs/Paid",
        "$defs": {"Paid": {"title": "Paid", "type": "object", "properties": {"amount": {"type": "number"}}}},
    }
    found = document([shop().describe()], topics={"orders.paid": schema, "orders.created": {}, "empty": {}})
    check(found)
    assert set(found["channels"]["events.orders.paid"]["messages"]) == {"Paid"}
    assert found["components"]["schemas"]["Paid"]["type"] == "object"
    assert set(found["channels"]["events.orders.created"]["messages"]) == {"Order"}
    assert found["channels"]["events.empty"]["messages"] == {}


def test_it_does_not_depend_on_the_order_of_services() -> None:
    one, two = shop().describe(), other().describe()
    assert document([one, two]) == document([two, one])


def test_a_document_of_nothing_is_one() -> None:
    check(document([]))
    service = Service("plain")
    service.endpoint(plain)
    assert document([service.describe()])["operations"] == {}


async def plain() -> None: ...


@pytest.mark.parametrize("topic", ["ünicode.x", "a/b", "a{b}", "x" * 100])
def test_any_topic_has_a_name_in_the_document(topic: str) -> None:
    service = Service("shop")
    service.subscribe(topic)(plain)
    found = document([service.describe()])
    if "{" not in topic:
        check(found)
    json.dumps(found)
    assert len(found["channels"]) == 1
