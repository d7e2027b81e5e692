"""Names that are read twice on their way, and each time differently: the rule is looked up for one, the other is called."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microlite import Service, errors
from microlite.core.context import NOBODY
from microlite.core.description.naming import endpoint_of
from microlite.core.library.peers import RefuseCalls
from microlite.core.rpc.call import UnaryCall
from microlite.core.rpc.paths import platform_socket
from microlite.core.rpc.sockets import dial
from microlite.testing import platform

FORMS = (
    *("pay", "Pay", "PAY", "orders.pay", "Orders.Pay", "orders.orders.pay", "Orders.Orders.Pay", "orders/orders/pay"),
    *("orders.orders.orders.orders.pay", "orders orders pay", "/pay", "//pay", "pay.", "pay/", "pay_", "_pay", " pay"),
    *("orders..pay", "orders.", "orders", "", ".", "orders.orders.", "call", "orders.call", "orders._", "_", "orders/"),
    *("orders.\u017fpay", "o\u212ars", "pay\x00", "pay\u200b"),
)
"""Of the two endpoints that the rule denies; many are no names at all."""


def orders() -> Service:
    service = Service("orders")

    @service.endpoint
    async def pay() -> str:
        return "done"

    @service.endpoint
    async def call() -> str:
        return "done"

    return service


@pytest.mark.parametrize("service", ["orders", "Orders", "orders.", "/orders", "v1.orders"])
async def test_no_way_of_writing_an_endpoint_is_another_one_to_the_rules(service: str) -> None:
    async with platform() as running:
        await running.serve(orders())
        await running.call(
            "auth.rules.create", id="no", resource={"name": "orders"}, access="denied", priority=9, scope=""
        )
        client = await dial(str(platform_socket(running.home)), RefuseCalls(), role="client")
        for form in FORMS:
            with pytest.raises(errors.Error) as refused:
                await UnaryCall(service, form, b"\x80", token=NOBODY, namespace="default").run(client.start)
            assert refused.value.code in (400, 401, 404), form
        await running.call("auth.rules.delete", id="no")
        for name in ("pay", "call"):
            await running.call(
                "auth.rules.create", id=name, resource={"name": "orders", "endpoint": name}, access="denied", priority=9
            )
        for form in FORMS:
            with pytest.raises(errors.Error) as refused:
                await UnaryCall(service, form, b"\x80", token=NOBODY, namespace="default").run(client.start)
            assert refused.value.code in (400, 401, 404), form
        client.close()
        await client.closed


async def test_a_schedule_that_was_there_before_its_service_finds_no_way_around_a_rule() -> None:
    """What the target means is decided when it is added, and the rules are asked about that when it is called."""
    async with platform() as running:
        await running.call(
            "auth.rules.create", id="no", resource={"name": "orders", "endpoint": "pay"}, access="denied", priority=9
        )
        await running.call("auth.accounts.create", id="ann", secret="a secret of ann")
        token = (await running.call("auth.token", id="ann", secret="a secret of ann"))["access_token"]
        client = await dial(str(platform_socket(running.home)), RefuseCalls(), role="client")
        names = []
        for number, form in enumerate(("orders.pay", "orders.orders.pay", "orders.orders.orders.pay")):
            add = {"schedule": {"target": form, "delay": 3600.0, "id": f"sly{number}"}}
            call = UnaryCall("schedules", "add", msgspec.msgpack.encode(add), token=token, namespace="default")
            names.append(msgspec.msgpack.decode(await call.run(client.start)))
        await running.serve(orders())
        for name in names:
            run = {"name": name, "wait": True}
            call = UnaryCall("schedules", "run", msgspec.msgpack.encode(run), token=token, namespace="default")
            try:
                answered = msgspec.msgpack.decode(await call.run(client.start))
            except errors.Forbidden:
                continue
            assert answered["outcome"] == "failed", answered
        client.close()
        await client.closed


@given(st.lists(st.sampled_from(["orders", "Orders", ".", "/", " ", "_", "pay", "Pay", "-", "v1"]), max_size=9))
def test_a_name_that_was_read_is_read_alike_once_more(pieces: list[str]) -> None:
    for service in ("orders", "v1.orders", "pay"):
        once = endpoint_of(service, "".join(pieces))
        assert endpoint_of(service, once) == once
