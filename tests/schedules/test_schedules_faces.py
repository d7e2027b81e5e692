"""Schedules over HTTP, and as parts of a commit that does more."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from microlite import Service, errors
from microlite.core.context import Origin
from microlite.core.engine.api import Batch, Presence, Put
from microlite.core.schedules.api import Add, Cancel

if TYPE_CHECKING:
    from microlite.testing import RunningPlatform


@pytest.fixture
def orders() -> Service:
    service = Service("orders")

    @service.every("10m")
    async def expire() -> None: ...

    @service.endpoint
    async def mail(to: str) -> None: ...

    return service


async def over_http(platform: RunningPlatform, path: str, body: Any = None, *, token: bool = True) -> tuple[int, Any]:
    def ask() -> tuple[int, Any]:
        request = urllib.request.Request(
            f"{platform.http}{path}",
            None if body is None else json.dumps(body).encode(),
            {"content-type": "application/json", **({"authorization": f"Bearer {platform.token}"} if token else {})},
        )
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    return await asyncio.to_thread(ask)


async def test_http_offers_the_service_to_those_with_an_account(platform: RunningPlatform, orders: Service) -> None:
    await platform.serve(orders)
    change = {"target": "orders.mail", "id": "later", "request": {"to": "ann"}, "delay": 60}
    assert (await over_http(platform, "/schedules/add", {"schedule": change}, token=False))[0] == 401
    assert await over_http(platform, "/schedules/add", {"schedule": change}) == (200, "later")
    assert (await over_http(platform, "/schedules/add", {"schedule": change}))[0] == 409
    status, listed = await over_http(platform, "/schedules/list")
    assert (status, [one["name"] for one in listed]) == (200, ["later", "orders.expire"])
    assert (await over_http(platform, "/schedules/get?name=later"))[1]["request"] == {"to": "ann"}


async def test_an_endpoint_with_a_schedule_is_no_path_and_still_an_endpoint(
    platform: RunningPlatform, orders: Service
) -> None:
    await platform.serve(orders)
    assert (await over_http(platform, "/orders/expire", {}))[0] == 404
    assert await platform.call("orders.expire") is None


async def test_a_plan_is_all_or_nothing_with_what_else_is_committed(platform: RunningPlatform) -> None:
    """And nobody has to be told: who runs schedules watches."""
    booted = platform._booted
    planner, engine = booted.state.scheduler.planner, booted.state.engine
    origin = Origin("default", "shop", "shop-1")
    add = await planner.plan(origin, Add(target="shop.pay", id="due", delay=60.0))
    refused = Batch("default", (*add, Put("other", "key", b"", expect=Presence.PRESENT)))
    with pytest.raises(errors.Conflict):
        await engine.commit(refused)
    assert await platform.call("schedules.list") == []
    async with platform.stream("schedules.watch") as listed:
        news = aiter(listed)
        assert await anext(news) == []
        await engine.commit(Batch("default", (*add, Put("other", "key", b""))))
        while not (found := await anext(news)):
            pass
        assert [(one["name"], one["owner"]) for one in found] == [("shop:due", "shop-1")]
        await engine.commit(Batch("default", await planner.plan(origin, Cancel(id="due"))))
        while await anext(news):
            pass
    assert await planner.plan(origin, Cancel(id="due")) == ()
    with pytest.raises(errors.NotFound):
        await planner.plan(origin, Cancel(id="due", required=True))


async def test_of_two_plans_for_one_name_the_second_is_refused(platform: RunningPlatform) -> None:
    booted = platform._booted
    origin = Origin("default")
    plans = [
        await booted.state.scheduler.planner.plan(origin, Add(target="shop.pay", id="x", delay=60.0)) for _ in range(2)
    ]
    await booted.state.engine.commit(Batch("default", plans[0]))
    with pytest.raises(errors.Conflict):
        await booted.state.engine.commit(Batch("default", plans[1]))


async def test_nobody_schedules_what_he_may_not_call(platform: RunningPlatform) -> None:
    planner = platform._booted.state.scheduler.planner
    with pytest.raises(errors.Forbidden, match=r"runtime\.status is for admins, and eve is none of them"):
        await planner.plan(Origin("default", "", "eve"), Add(target="runtime.status", id="x", every=60.0))
