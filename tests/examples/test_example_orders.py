"""`examples/greeter` and `examples/orders`: nothing to install, and together most of what a service can do."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest

from microlite import errors

TEA = {"product": "tea", "quantity": 2}


async def test_the_greeter_greets_and_counts(shown: Any) -> None:
    await shown.run("greeter")
    assert await shown.get("/greeter/hello", params={"name": "Ann"}) == "Hello, Ann!"
    assert [number async for number in shown.caller.stream("greeter.count", to=3, pause=0)] == [1, 2, 3]


async def test_an_order_is_created_with_a_greeting_and_read_by_its_route(shown: Any) -> None:
    await shown.run("greeter", "orders")
    order = await shown.post("/orders/create", customer="Ann", items=[TEA, {"product": "bread"}])
    assert order["thanks"] == "Hello, Ann!"
    assert Decimal(order["total"]) == Decimal("12.20")
    assert await shown.get(f"/orders/{order['id']}") == order
    assert await shown.get("/orders/list", params={"customer": "Ann"}) == [order]
    assert "tea" in await shown.caller.call("orders.receipt", id=order["id"])


async def test_an_order_needs_no_greeter(shown: Any) -> None:
    await shown.run("orders")
    order = await shown.caller.call("orders.create", customer="Ann", items=[TEA])
    assert order["thanks"] == "Thank you, Ann."


async def test_a_wrong_order_says_which_field_is_wrong(shown: Any) -> None:
    await shown.run("orders")
    empty = await shown.post("/orders/create", code=400, customer="Ann", items=[])
    assert empty["detail"] == "items: an order needs at least one item"
    gold = await shown.post("/orders/create", code=422, customer="Ann", items=[{"product": "gold"}])
    assert gold["detail"].startswith("items[0].product: there is no 'gold'")
    typed = await shown.post("/orders/create", code=400, customer="Ann", items=[{"product": "tea", "quantity": "two"}])
    assert typed["detail"] == "items[0].quantity: expected int, got str"
    missing = await shown.get("/orders/nothing", code=404)
    assert missing["detail"] == "there is no order 'nothing'"
    with pytest.raises(errors.NotFound, match="there is no order"):
        await shown.caller.call("orders.notes.add", order="nothing", text="hm")


async def test_notes_stand_in_the_order(shown: Any) -> None:
    await shown.run("orders")
    order = await shown.caller.call("orders.create", customer="Ann", items=[TEA])
    await shown.post("/orders/notes/add", order=order["id"], text="rings twice")
    assert [note["text"] for note in await shown.get("/orders/notes/read", params={"order": order["id"]})] == [
        "rings twice"
    ]


async def test_a_watcher_sees_what_is_imported(shown: Any) -> None:
    await shown.run("orders")
    async with shown.http.get("/orders/watch") as watching:
        assert watching.content_type == "application/x-ndjson"
        async with asyncio.timeout(10):
            async with shown.caller.stream("orders.import") as importing:
                for customer in ("Ann", "Ben"):
                    await importing.send({"customer": customer, "items": [TEA]})
                assert await importing.reply() == 2
            seen = [json.loads(await watching.content.readline())["customer"] for _ in range(2)]
    assert seen == ["Ann", "Ben"]
