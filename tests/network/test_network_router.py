"""Where a call goes: to a node, to another one, into a line to wait, or back with a reason."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from microlite.core import errors
from microlite.core.network import router as router_module
from microlite.core.rpc.call import StreamCall
from microlite.core.rpc.frames import INITIAL_CREDIT
from microlite.core.rpc.sockets import dial
from tests.network.network_parts import Node, Unwilling, unary

if TYPE_CHECKING:
    from microlite.core.network.router import Router
    from microlite.core.network.table import Link
    from microlite.core.rpc.connection import Connection

MakeNode = Callable[..., Node]


async def test_without_a_node_a_call_fails_by_name(router: Router) -> None:
    with pytest.raises(errors.ServiceNotFound, match='"shop" not found'):
        await unary(router)


# -- waiting for a node --------------------------------------------------------------------------------------------------


async def test_calls_wait_for_an_expected_node_and_go_to_it_in_order(router: Router, make_node: MakeNode) -> None:
    router.expect("default", "shop", True)
    calls = []
    for number in range(3):
        call = StreamCall("shop", str(number), timeout=5, credit=0)
        router.send(call)
        calls.append(call)
    node = make_node()
    router.switch("default", "shop", [await node.link(router)], [])
    assert [inbound.endpoint for inbound in await node.arrived(3)] == ["0", "1", "2"]
    for inbound in node.calls:
        inbound.reply(inbound.endpoint.encode())
    assert [await call.reply() for call in calls] == [b"0", b"1", b"2"]


async def test_a_waiting_call_ends_at_its_deadline_with_the_reason(router: Router, make_node: MakeNode) -> None:
    router.expect("default", "shop", True, "it crashed")
    with pytest.raises(errors.Timeout, match="came up in time: it crashed"):
        await unary(router, timeout=0.05)
    node = make_node()
    node.answer = b"late"
    router.switch("default", "shop", [await node.link(router)], [])
    assert await unary(router) == b"late"
    assert len(node.calls) == 1, "the call that had ended was sent all the same"


async def test_a_call_may_be_given_up_while_it_waits(router: Router, make_node: MakeNode) -> None:
    router.expect("default", "shop", True)
    waiting = unary(router)
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    node = make_node()
    node.answer = b""
    router.switch("default", "shop", [await node.link(router)], [])
    await unary(router)
    assert len(node.calls) == 1


async def test_only_so_many_calls_wait(router: Router, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(router_module, "MAX_PARKED", 3)
    router.expect("default", "shop", True)
    waiting = [unary(router) for _ in range(3)]
    with pytest.raises(errors.ServiceUnavailable, match="too many calls wait"):
        await unary(router)
    waiting[0].cancel()
    await asyncio.wait([waiting[0]])
    fourth = unary(router)
    await asyncio.sleep(0)
    assert not fourth.done(), "one who left the line made room"
    router.expect("default", "shop", False)
    await asyncio.wait([*waiting[1:], fourth])
    assert {type(task.exception()) for task in (*waiting[1:], fourth)} == {errors.ServiceNotFound}


async def test_when_no_node_is_expected_any_more_those_that_wait_learn_why(router: Router) -> None:
    router.expect("default", "shop", True)
    calling = unary(router)
    asking = asyncio.ensure_future(router.acquire("default", "shop"))
    await asyncio.sleep(0)
    router.expect("default", "shop", False, "it ended with exit code 7")
    with pytest.raises(errors.ServiceUnavailable, match="exit code 7"):
        await calling
    with pytest.raises(errors.ServiceUnavailable, match="exit code 7"):
        await asking
    with pytest.raises(errors.ServiceUnavailable, match="exit code 7"):
        await unary(router)


async def test_a_client_stream_may_begin_while_its_call_waits(router: Router, make_node: MakeNode) -> None:
    router.expect("default", "shop", True)
    call = StreamCall("shop", "upload", timeout=5, credit=INITIAL_CREDIT)
    router.send(call)
    await call.send(b"one")
    await call.send(b"two")
    call.close_send()
    node = make_node()
    heard = Ear(node)
    router.switch("default", "shop", [await node.link(router)], [])
    (inbound,) = await node.arrived(1)
    async with asyncio.timeout(20):
        await heard.ended.wait()
    assert heard.items == [b"one", b"two"]
    inbound.reply(b"done")
    assert await call.reply() == b"done"


async def test_a_waiting_stream_keeps_no_more_than_its_credit(router: Router) -> None:
    router.expect("default", "shop", True)
    polite = StreamCall("shop", "upload", timeout=5, credit=INITIAL_CREDIT)
    router.send(polite)
    sending = asyncio.ensure_future(_send_much(polite))
    await asyncio.sleep(0)
    assert not sending.done()
    sending.cancel()
    polite.cancel()
    rude = StreamCall("shop", "upload", timeout=5, credit=INITIAL_CREDIT)
    router.send(rude)
    assert rude.channel is not None
    for _ in range(3):
        if rude.channel is not None:
            rude.channel.send_item(rude, bytes(INITIAL_CREDIT))
    with pytest.raises(errors.BadRequest, match="more than it had credit for"):
        await rude.reply()


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until something holds."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0)


async def _send_much(call: StreamCall) -> None:
    for _ in range(100):
        await call.send(bytes(INITIAL_CREDIT // 10))


# -- another node --------------------------------------------------------------------------------------------------------


async def two_nodes(router: Router, make_node: MakeNode) -> tuple[Node, Node]:
    """The first one is asked first: the other has an answer pending."""
    one, other = make_node("one"), make_node("other")
    links = [await one.link(router), await other.link(router)]
    router.switch("default", "shop", links[1:], [])
    busy = unary(router)
    await other.arrived(1)
    busy.add_done_callback(lambda task: task.exception())
    router.switch("default", "shop", links, [])
    return one, other


async def test_a_refused_call_goes_to_the_next_node(router: Router, make_node: MakeNode) -> None:
    one, other = await two_nodes(router, make_node)
    one.refusal = "too many calls"
    calling = [unary(router) for _ in range(5)]
    for inbound in (await other.arrived(6))[1:]:
        inbound.reply(b"from the other")
    assert await asyncio.gather(*calling) == [b"from the other"] * 5
    assert not one.calls


async def test_a_call_is_offered_to_every_node_before_it_fails(router: Router, make_node: MakeNode) -> None:
    nodes = [make_node(str(number)) for number in range(4)]
    for node in nodes:
        node.refusal = "too many calls"
    nodes[-1].refusal = ""
    nodes[-1].answer = b"taken"
    router.switch("default", "shop", [await node.link(router) for node in nodes], [])
    assert await asyncio.gather(*(unary(router) for _ in range(20))) == [b"taken"] * 20


async def test_a_call_that_every_node_refuses_fails_as_unstarted(router: Router, make_node: MakeNode) -> None:
    one, other = await two_nodes(router, make_node)
    one.refusal = other.refusal = "too many calls"
    with pytest.raises(errors.ServiceUnavailable, match="too many calls") as caught:
        await unary(router)
    assert not isinstance(caught.value, errors.OutcomeUnknown)


async def test_a_node_that_goes_away_finishes_what_it_started_and_gets_no_more(
    router: Router, make_node: MakeNode
) -> None:
    one, other = await two_nodes(router, make_node)
    started = unary(router)
    (inbound,) = await one.arrived(1)
    one.accepted.go_away("stopping")
    later = [unary(router) for _ in range(3)]  # some of them before the news has come
    await asyncio.sleep(0)
    for late in (await other.arrived(4))[1:]:
        late.reply(b"later")
    inbound.reply(b"started")
    assert await started == b"started"
    assert await asyncio.gather(*later) == [b"later"] * 3
    assert len(one.calls) == 1


async def test_a_call_is_lost_with_its_connection_unless_it_may_be_repeated(
    router: Router, make_node: MakeNode
) -> None:
    one, other = await two_nodes(router, make_node)
    once = unary(router)
    await one.arrived(1)
    again = unary(router, idempotent=True)  # to the one or to the other, which are equally busy
    await until(lambda: len(one.calls) + len(other.calls) == 3)
    one.accepted.abort()
    with pytest.raises(errors.OutcomeUnknown):
        await once
    for inbound in (await other.arrived(2))[1:]:
        inbound.reply(b"again")
    assert await again == b"again"


async def test_with_no_node_left_a_call_waits_for_the_expected_one(router: Router, make_node: MakeNode) -> None:
    first, second = make_node("node"), make_node("node", generation=1)
    router.expect("default", "shop", True)
    router.switch("default", "shop", [await first.link(router)], [])
    await until(lambda: bool(first.listener.connections))
    first.accepted.go_away("stopping")
    calling = unary(router)  # sent before the news has come
    await until(lambda: not first.connection.usable)
    assert not first.calls
    second.answer = b"second"
    router.switch("default", "shop", [await second.link(router)], [])
    assert await calling == b"second"


# -- the table -----------------------------------------------------------------------------------------------------------


async def test_a_switch_gives_back_what_it_took_out(router: Router, make_node: MakeNode) -> None:
    old, new, other = make_node("a"), make_node("a", generation=2), make_node("b")
    link_old, link_new, link_other = [await node.link(router) for node in (old, new, other)]
    assert router.switch("default", "shop", [link_old, link_other], []) == []
    assert router.switch("default", "shop", [link_new], ["b"]) == [link_old, link_other]
    new.answer = b"new"
    assert await asyncio.gather(*(unary(router) for _ in range(10))) == [b"new"] * 10
    assert not old.calls
    assert not other.calls


async def test_a_late_old_generation_does_not_take_the_place_of_its_successor(
    router: Router, make_node: MakeNode
) -> None:
    old, new = make_node("a"), make_node("a", generation=2)
    link_old, link_new = await old.link(router), await new.link(router)
    router.switch("default", "shop", [link_new], [])
    assert router.switch("default", "shop", [link_old], []) == []
    new.answer = b"new"
    assert await unary(router) == b"new"
    router.remove_link(link_old)
    assert await unary(router) == b"new"


async def test_http_programs_are_lent_and_given_back(router: Router, make_node: MakeNode) -> None:
    router.expect("default", "shop", True)
    asking = asyncio.ensure_future(router.acquire("default", "shop"))
    await asyncio.sleep(0)
    link = make_node().undialled()
    router.switch("default", "shop", [link], [])
    assert await asking is link
    assert not await link.idle(0.01, 0.01)
    router.release(link)
    assert await link.idle(0.01, 0.01)
    router.expect("default", "shop", True)
    router.remove_link(link)
    with pytest.raises(errors.Timeout):
        await router.acquire("default", "shop", timeout=0.01)


async def test_websockets_of_a_program_have_less_time_than_requests(make_node: MakeNode) -> None:
    """Nothing tells when they will end; where there is hurry they have none at all."""
    link = make_node().undialled()
    link.leases = 2
    link.begin_stream()
    assert (link.leases, link.streams, link.load) == (1, 1, 2)
    assert not await link.idle(0.01, 60.0)
    link.release()
    assert await link.idle(60.0, 0.01)
    waiting = asyncio.ensure_future(link.idle(60.0, 60.0))
    await asyncio.sleep(0)
    assert not waiting.done()
    link.end_stream()
    assert await waiting
    link.leases = 1
    link.begin_stream()
    waiting = asyncio.ensure_future(link.idle(60.0, 60.0))
    await asyncio.sleep(0)
    link.hurry()
    assert await waiting


# -- nodes that are dialled when they are needed -------------------------------------------------------------------------


def dialling(dialled: list[str]) -> Router:
    """The router of a node."""
    from microlite.core.clock import ManualClock
    from microlite.core.network.router import Router

    async def open_link(link: Link) -> Connection:
        dialled.append(link.node)
        link.connection = await dial(link.address, Unwilling(), role="peer")
        return link.connection

    return Router(ManualClock(), dial=lambda link: asyncio.ensure_future(open_link(link)))


async def test_a_node_that_takes_no_connection_is_passed_over(make_node: MakeNode) -> None:
    dialled: list[str] = []
    router = dialling(dialled)
    gone, there = make_node("gone"), make_node("there")
    await there.listener.start()
    there.answer = b"there"
    router.switch("default", "shop", [gone.undialled()], [])
    with pytest.raises(errors.ServiceNotFound):
        await unary(router)
    router.switch("default", "shop", [gone.undialled(), there.undialled()], [])
    assert await asyncio.gather(*(unary(router) for _ in range(8))) == [b"there"] * 8
    links = router.table.find("default", "shop").links  # type: ignore[union-attr]
    assert [link.node for link in links if link.connection is not None] == ["there"]
    links[0].connection.close()  # type: ignore[union-attr]
    await links[0].connection.closed  # type: ignore[union-attr]


async def test_what_is_streamed_before_the_connection_stands_is_not_lost(make_node: MakeNode) -> None:
    router = dialling([])
    gone, there = make_node("gone"), make_node("there")
    heard = Ear(there)
    await there.listener.start()
    router.switch("default", "shop", [gone.undialled()], [])
    router.switch("default", "shop", [there.undialled()], [])
    call = StreamCall("shop", "upload", timeout=5, credit=INITIAL_CREDIT)
    router.send(call)
    await call.send(b"one")
    await call.send(b"two")
    call.close_send()
    (inbound,) = await there.arrived(1)
    async with asyncio.timeout(20):
        await heard.ended.wait()
    assert heard.items == [b"one", b"two"]
    inbound.reply(b"")
    await call.reply()
    (connection,) = there.listener.connections
    connection.close()
    await connection.closed


class Ear:
    """Hears what is streamed to a node."""

    def __init__(self, node: Node) -> None:
        self.items: list[bytes] = []
        self.ended = asyncio.Event()
        accept = node.accept

        def accept_and_hear(inbound: object) -> None:
            inbound.receiver = self  # type: ignore[attr-defined]
            accept(inbound)  # type: ignore[arg-type]

        node.accept = accept_and_hear  # type: ignore[method-assign]
        node.listener._acceptor = node

    def on_item(self, payload: bytes) -> None:
        """See `Receiver`."""
        self.items.append(payload)

    def on_end(self) -> None:
        """See `Receiver`."""
        self.ended.set()

    def on_credit(self, size: int) -> None:
        """See `Receiver`."""

    def on_cancel(self, error: errors.Error) -> None:
        """See `Receiver`."""
        self.ended.set()
