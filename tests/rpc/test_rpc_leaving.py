"""The ends of connections: who may send a call again, who may not, and the handshakes by which none is lost."""

from __future__ import annotations

import asyncio

import pytest

from microlite.core import errors
from microlite.core.rpc import frames
from microlite.core.rpc.call import StreamCall, UnaryCall
from microlite.core.rpc.connection import Connection
from microlite.core.rpc.frames import encode
from tests.rpc.rpc_parts import HELLO, Service, Watched, Wire, joined, on_wire, turn


async def test_go_away_sends_again_what_was_not_started_and_waits_for_the_rest() -> None:
    service = Service()
    async with joined(service) as (client, server):
        before = [Watched("hold").resendable() for _ in range(2)]
        for call in before:
            client.start(call)
        held = [await service.arrived.get() for _ in before]
        server.go_away("the node is stopping")
        after = [Watched("echo").resendable(), Watched("echo"), Watched("echo").resendable()]
        after[2].streamed = True
        for call in after:
            client.start(call)  # still believes that it may
        await client.ping()
        assert [call.reasons for call in after] == [["the node is stopping"], [], []]
        assert after[0].ends == []
        assert after[0].channel is None
        assert isinstance(after[1].error, errors.ServiceUnavailable)
        assert isinstance(after[2].error, errors.ServiceUnavailable), "a streamed call is not sent again"
        assert not client.usable
        client.start(late := Watched().resendable())
        assert late.reasons == ["the connection is closed"]
        assert len(service.seen) == 2
        for hearing in held:
            hearing.inbound.reply(b"done")
        await client.ping()
        assert [call.ends for call in before] == [[b"done"]] * 2
        await server.settled()


async def test_go_away_is_said_once_and_calls_the_other_way_go_on() -> None:
    async with joined() as (_, server):
        server.go_away("one")
        server.go_away("two")
        assert await UnaryCall("s", "echo", b"x").run(server.start) == b"x"


async def test_a_refused_call_goes_elsewhere_unless_it_has_streamed() -> None:
    async with joined() as (client, _):
        call = Watched("refuse").resendable()
        client.start(call)
        await client.ping()
        assert (call.reasons, call.ends) == (["not now"], [])
        with pytest.raises(errors.ServiceUnavailable, match="not now"):
            await UnaryCall("s", "refuse").run(client.start)
        assert client.usable


async def test_a_broken_connection_leaves_outcomes_unknown_but_for_the_idempotent() -> None:
    service, served_here = Service(), Service()
    async with joined(service, served_here) as (client, server):
        calls = [Watched("hold"), Watched("hold").resendable(), Watched("hold", idempotent=True).resendable()]
        lone = Watched("hold", idempotent=True)
        streamed = Watched("hold", idempotent=True, credit=100).resendable()
        for call in (*calls, lone, streamed):
            client.start(call)
        client.send_item(streamed, b"chunk")
        streamed.streamed = True
        held = [await service.arrived.get() for _ in range(5)]
        server.start(Watched("hold"))
        here = await served_here.arrived.get()
        lost: list[object] = []
        client.add_lost_callback(lambda connection: lost.append([len(call.reasons) for call in calls]))
        server.abort()
        await client.closed
        assert lost == [[0, 0, 0]], "whoever keeps the table hears of it before anything is sent again"
        for call in (calls[0], calls[1], lone, streamed):
            assert isinstance(call.error, errors.OutcomeUnknown)
            assert call.error.code == 503
        assert (calls[2].reasons, calls[2].ends) == (["the connection broke"], [])
        assert isinstance(await here.canceled, errors.Canceled)
        await server.closed
        for hearing in held:
            assert isinstance(await hearing.canceled, errors.Canceled)
        client.add_lost_callback(lambda connection: lost.append("at once"))
        assert lost[-1] == "at once"
        with pytest.raises(errors.ServiceUnavailable):
            await client.ping()


async def test_calls_that_never_left_are_sent_again_when_the_connection_breaks() -> None:
    connection, wire = on_wire(dialled=True)
    sent = Watched().resendable()
    connection.start(sent)
    await turn()
    wire.closing = True  # broken, and the protocol has not been told yet
    late = [Watched().resendable(), Watched()]
    for call in late:
        connection.start(call)
    await turn()
    connection.connection_lost(BrokenPipeError())
    assert isinstance(sent.error, errors.OutcomeUnknown)
    assert late[0].reasons == ["the connection broke"]
    assert type(late[1].error) is errors.ServiceUnavailable


async def test_a_stream_breaks_with_the_connection_after_what_came_before() -> None:
    service = Service()
    async with joined(service) as (client, server):
        call = StreamCall("s", "hold", credit=1_000)
        client.start(call)
        (await service.arrived.get()).inbound.item(b"one")
        await client.ping()
        server.abort()
        items = call.items()
        assert await anext(items) == b"one"
        with pytest.raises(errors.OutcomeUnknown):
            await anext(items)
        with pytest.raises(errors.OutcomeUnknown):
            await call.send(b"x")


async def test_a_ping_is_answered_and_fails_with_the_connection() -> None:
    async with joined() as (client, server):
        await asyncio.gather(client.ping(), client.ping(), server.ping())
    connection, _ = on_wire()
    waiting = asyncio.ensure_future(connection.ping())
    await turn()
    connection.connection_lost(None)
    with pytest.raises(errors.ServiceUnavailable):
        await waiting
    assert connection._pings == {}


# -- draining ----------------------------------------------------------------------------------------------------------


async def test_drain_returns_when_the_other_side_has_finished() -> None:
    service = Service()
    async with joined(service) as (client, server):
        graces: list[float] = []
        server.on_drain(graces.append)
        call = Watched("hold")
        client.start(call)
        hearing = await service.arrived.get()
        draining = asyncio.create_task(client.drain(7.5))
        again = asyncio.create_task(client.drain(7.5))
        await client.ping()
        assert graces == [7.5]
        assert not client.usable
        client.start(late := Watched().resendable())
        assert late.reasons == ["the connection is closed"]
        settled = asyncio.create_task(server.settled())
        await turn()
        assert not settled.done()
        assert not draining.done()
        hearing.inbound.reply(b"done")
        await settled
        server.say_drained()
        assert await draining
        assert await again
        assert call.ends == [b"done"], "the answer came before DRAINED"


async def test_drain_works_after_the_other_side_said_go_away() -> None:
    """A node that was asked to stop still finishes what it started: its platform must not close over it."""
    service = Service()
    async with joined(service) as (client, server):
        server.on_drain(lambda grace: None)
        call = Watched("hold")
        client.start(call)
        hearing = await service.arrived.get()
        server.go_away("the node is stopping")
        await client.ping()
        draining = asyncio.create_task(client.drain(5))
        await client.ping()
        assert not draining.done()
        hearing.inbound.reply(b"done")
        await server.settled()
        server.say_drained()
        assert await draining
        assert call.ends == [b"done"]


async def test_who_leaves_and_has_finished_says_so_and_the_other_side_closes() -> None:
    service = Service()
    async with joined(service) as (client, server):
        call = Watched("hold")
        client.start(call)
        hearing = await service.arrived.get()
        server.go_away("the node is stopping")
        hearing.inbound.reply(b"done")
        server.say_drained()
        await client.closed
        await server.closed
        assert call.ends == [b"done"]
        assert await client.drain(5), "it has finished, as DRAIN would have asked it to"


async def test_drain_ends_with_the_connection_and_with_its_grace() -> None:
    async with joined() as (client, server):
        draining = asyncio.create_task(client.drain(30))
        await client.ping()
        server.abort()
        assert not await draining
        assert not await client.drain(30)
    async with joined() as (client, _):
        assert not await client.drain(-0.99)


async def test_settled_wakes_everybody_who_waits_for_it_and_ends_with_the_connection() -> None:
    service = Service()
    async with joined(service) as (client, server):
        await server.settled()
        client.start(Watched("hold"))
        hearing = await service.arrived.get()
        waiting = [asyncio.create_task(server.settled()) for _ in range(3)]
        await turn()
        hearing.inbound.reply(b"")
        await asyncio.gather(*waiting)
        client.start(Watched("hold"))
        await service.arrived.get()
        waiting = [asyncio.create_task(server.settled()) for _ in range(2)]
        await turn()
        client.abort()
        await asyncio.gather(*waiting)


async def test_streams_of_each_direction_can_be_ended_while_unary_calls_go_on() -> None:
    service = Service()
    async with joined(service) as (client, server):
        unary, down = Watched("hold"), Watched("hold", credit=1_000)
        up = StreamCall("s", "hold", timeout=None)
        for call in (unary, down, up):
            client.start(call)
        await up.send(b"first")
        held = [await service.arrived.get() for _ in range(3)]
        await client.ping()
        server.end_streams(errors.ServiceUnavailable("the node was replaced; call again"))
        with pytest.raises(errors.ServiceUnavailable, match="replaced"):
            await up.reply()
        await client.ping()
        assert "replaced" in str(down.error)
        assert [hearing.canceled.done() for hearing in held] == [False, True, True]
        held[0].inbound.reply(b"done")
        await client.ping()
        assert unary.ends == [b"done"]


async def test_closing_sends_what_waits_and_takes_no_further_call() -> None:
    service = Service()
    async with joined(service) as (client, server):
        client.start(Watched("hold"))
        hearing = await service.arrived.get()
        server.start(late := Watched("echo", b"from the callee"))
        hearing.inbound.item(b"x" * 100_000)
        hearing.inbound.reply(b"done")
        server.close()
        server.start(refused := Watched().resendable())
        assert refused.reasons == ["the connection is closed"]
        await client.closed
        await server.closed
        assert isinstance(late.error, errors.OutcomeUnknown)


async def test_a_listener_that_turns_a_caller_away_serves_nothing_of_it() -> None:
    service = Service()
    connection = Connection(service, dialled=False, hello=HELLO, on_hello=lambda found: found.close())
    connection.connection_made(Wire())
    connection.data_received(encode(HELLO) + encode(frames.Call(1, "s", "echo", b"secret")))
    assert service.seen == []
