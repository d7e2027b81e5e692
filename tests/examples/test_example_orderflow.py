"""`examples/orderflow`: an order goes its way through two services, and each step of it happens once."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import pytest

from microlite import errors
from tests.examples.test_example_jobs import until


async def put(shown: Any, id: str, *, code: int = 200, **fields: Any) -> Any:
    async with shown.http.put(f"/orders/{id}", json=fields) as answer:
        assert answer.status == code, await answer.text()
        return await answer.json()


async def state_of(shown: Any, id: str, state: str) -> Any:
    """The order, as soon as it is in this state."""
    return await until(lambda: shown.get(f"/orders/{id}"), lambda order: order["state"] == state)


async def stock(shown: Any) -> Any:
    return await shown.caller.call("warehouse.stock")


async def test_an_order_is_created_once_reserved_and_paid(shown: Any) -> None:
    await shown.run("orderflow")
    await shown.caller.call("warehouse.deliver", product="tea", amount=5)
    answers = await asyncio.gather(*(put(shown, "o1", customer="Ann", items={"tea": 2}) for _ in range(4)))
    assert [answer["id"] for answer in answers] == ["o1"] * 4
    await state_of(shown, "o1", "reserved")
    assert await stock(shown) == {"tea": 3}
    assert (await put(shown, "o1", code=422, customer="Ben", items={"tea": 2}))["detail"].startswith("there is another")
    for _ in range(2):
        assert (await shown.post("/orders/o1/payment"))["state"] == "paid"
    assert len(await shown.caller.call("events.read", topic="orders.paid")) == 1
    assert await shown.caller.call("schedules.list", prefix="orders:") == []
    assert await stock(shown) == {"tea": 3}


async def test_what_is_not_there_is_refused(shown: Any) -> None:
    await shown.run("orderflow")
    await shown.caller.call("warehouse.deliver", product="tea", amount=5)
    await put(shown, "o1", customer="Ann", items={"tea": 2, "honey": 1})
    refused = await state_of(shown, "o1", "refused")
    assert refused["reason"] == "there is not enough honey"
    assert await stock(shown) == {"tea": 5}
    assert "cannot be paid" in (await shown.post("/orders/o1/payment", code=412))["detail"]


async def test_what_is_not_paid_in_time_is_put_back(shown: Any) -> None:
    await shown.run("orderflow")
    await shown.caller.call("warehouse.deliver", product="tea", amount=5)
    await put(shown, "o1", customer="Ann", items={"tea": 2})
    await state_of(shown, "o1", "reserved")
    (schedule,) = await shown.caller.call("schedules.list", prefix="orders:")
    await shown.caller.call("schedules.run", name=schedule["name"])
    await state_of(shown, "o1", "canceled")
    await until(lambda: stock(shown), lambda left: left == {"tea": 5})


@pytest.mark.timeout(90)
async def test_killing_both_services_changes_the_stock_once_for_each_order(shown: Any) -> None:
    await shown.run("orderflow")
    await shown.caller.call("warehouse.deliver", product="tea", amount=100)
    ids = [f"o{number}" for number in range(40)]

    async def create() -> None:
        for name in ids:
            while True:
                try:
                    await shown.caller.call("orders.create", id=name, customer="Ann", items={"tea": 1})
                    break
                except errors.ServiceUnavailable:
                    pass  # its outcome is not known, so it is sent again

    async def kill() -> None:
        for _ in range(3):
            await asyncio.sleep(0.2)
            for status in await shown.caller.call("runtime.status"):
                for node in status["nodes"]:
                    if node["pid"]:
                        os.kill(node["pid"], signal.SIGKILL)

    await asyncio.gather(create(), kill())
    for name in ids:
        await until(
            lambda name=name: shown.caller.call("orders.read", id=name), lambda order: order["state"] == "reserved"
        )
    assert await stock(shown) == {"tea": 60}
