"""A connection whose other end keeps to no rule: nothing raises, nothing grows, and every call still ends once."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microlite.core import errors
from microlite.core.rpc import connection as connections
from microlite.core.rpc import frames, outgoing
from microlite.core.rpc.call import StreamCall, UnaryCall
from microlite.core.rpc.frames import encode
from tests.rpc.rpc_parts import HELLO, Service, Watched, Wire, on_wire, turn
from tests.rpc.test_rpc_frames import any_frame, torn


def farewell(wire: Wire) -> frames.GoAway:
    """The last frame that was sent, which must say why the connection ended."""
    assert wire.closing
    last = wire.frames()[-1]
    assert isinstance(last, frames.GoAway)
    return last


@pytest.mark.parametrize(
    "first", [frames.Call(1, "s", "echo"), frames.Reply(2), frames.Ping(), frames.Item(1), frames.Drained()]
)
async def test_who_does_not_say_hello_first_is_told_and_cut_off(first: frames.AnyFrame) -> None:
    service = Service()
    connection, wire = on_wire(service, hello=False)
    connection.data_received(encode(first) + encode(HELLO) + encode(frames.Call(3, "s", "echo")))
    assert farewell(wire) == frames.GoAway(0, "protocol error: the first frame is not HELLO")
    assert service.seen == []


async def test_another_version_is_told_and_cut_off() -> None:
    service = Service()
    connection, wire = on_wire(service, hello=False)
    connection.data_received(encode(frames.Hello(2, "peer")) + encode(frames.Call(1, "s", "echo")))
    assert "version 2 of the wire is not spoken here" in farewell(wire).reason
    assert service.seen == []
    assert connection.peer is None


async def test_a_second_hello_ends_the_connection() -> None:
    connection, wire = on_wire()
    connection.data_received(encode(frames.Call(1, "s", "echo")) + encode(HELLO))
    assert farewell(wire) == frames.GoAway(1, "protocol error: HELLO is out of place")


@pytest.mark.parametrize(
    ("dialled", "ids"), [(False, [2]), (False, [3, 1]), (False, [3, 3]), (False, [0]), (True, [1])]
)
async def test_call_ids_of_wrong_parity_or_order_end_the_connection(dialled: bool, ids: list[int]) -> None:
    service = Service()
    connection, wire = on_wire(service, dialled=dialled)
    for number in ids:
        connection.data_received(encode(frames.Call(number, "s", "echo")))
    assert "out of order" in farewell(wire).reason
    assert len(service.seen) == len(ids) - 1


async def test_what_came_before_a_malformed_frame_is_served_and_nothing_after() -> None:
    service = Service()
    connection, wire = on_wire(service)
    call = encode(frames.Call(1, "s", "echo", b"good"))
    connection.data_received(call + b"\x00\x00\x00\x01\xc1" + encode(frames.Call(3, "s", "echo", b"late")))
    *_, reply, end = wire.frames()
    assert reply == frames.Reply(1, b"good")
    assert isinstance(end, frames.GoAway)
    assert end.last == 1
    connection.data_received(encode(frames.Call(5, "s", "echo", b"later")))
    assert service.seen == [b"good"]


async def test_frames_for_calls_that_nobody_knows_are_passed_over() -> None:
    connection, wire = on_wire()
    await turn()
    wire.frames()
    for number in (1, 2, 8, 2**60):
        for frame in (
            frames.Reply(number, b"?"),
            frames.Failure(number, 500),
            frames.Item(number, b"?"),
            frames.End(number),
            frames.Credit(number, 1_000),
            frames.Cancel(number),
            frames.Refused(number, "?"),
        ):
            connection.data_received(encode(frame))
    connection.data_received(encode(frames.Pong(5)) + encode(frames.Ping(9)))
    await turn()
    assert wire.frames() == [frames.Pong(9)]


async def test_a_call_ends_once_although_the_callee_goes_on_talking() -> None:
    connection, _ = on_wire(dialled=True)
    for last in (frames.Reply(1, b"r"), frames.Failure(3, 404), frames.End(5), frames.Refused(7, "no")):
        call = Watched(credit=100)
        connection.start(call)
        rest = [type(frame)(call.id) for frame in (frames.Reply(0), frames.End(0), frames.Item(0), frames.Refused(0))]
        connection.data_received(b"".join(map(encode, [frames.Item(call.id, b"i"), last, *rest])))
        assert call.items == [b"i"]
        assert len(call.ends) == 1
    connection.connection_lost(None)


async def test_a_stream_beyond_its_credit_is_canceled_and_held_no_further() -> None:
    connection, wire = on_wire(dialled=True)
    call = StreamCall("s", "flood", credit=1_000)
    connection.start(call)
    connection.data_received(b"".join(encode(frames.Item(1, bytes(436))) for _ in range(50)))
    await turn()
    assert wire.frames()[-1] == frames.Cancel(1)
    assert connection.load == 0
    items = call.items()
    assert [len(await anext(items)) for _ in range(2)] == [436, 436]
    with pytest.raises(errors.BadRequest, match="more than it had credit for"):
        await anext(items)


async def test_a_reply_to_a_stream_and_a_stream_to_a_unary_call_end_them() -> None:
    connection, _ = on_wire(dialled=True)
    waiting = asyncio.ensure_future(UnaryCall("s", "count").run(connection.start))
    await turn()
    connection.data_received(encode(frames.Item(1, b"1")) + encode(frames.End(1)))
    with pytest.raises(errors.BadGateway, match="answered with a stream"):
        await waiting
    call = StreamCall("s", "echo", credit=100)
    connection.start(call)
    connection.data_received(encode(frames.Reply(3, b"only")))
    assert [item async for item in call.items()] == [b"only"]


async def test_more_calls_than_may_wait_are_refused_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_PENDING", 3)
    monkeypatch.setattr(outgoing, "MAX_PENDING", 2)
    service = Service()
    connection, wire = on_wire(service)
    connection.data_received(b"".join(encode(frames.Call(number, "s", "hold")) for number in (1, 3, 5, 7)))
    await turn()
    assert wire.frames()[-1] == frames.Refused(7, "too many calls at a time")
    assert connection.serving == 3
    calls = [Watched(timeout=None) for _ in range(3)]
    for call in calls:
        connection.start(call)
    assert isinstance(calls[2].error, errors.TooManyRequests)
    assert [call.ends for call in calls[:2]] == [[], []]


parts = st.one_of(
    st.lists(any_frame, max_size=3).map(lambda found: b"".join(map(encode, found))),
    st.sampled_from(["echo", "fail", "hold", "count", "total", "chat", "refuse", "x"]).map(
        lambda endpoint: endpoint.encode()
    ),
    st.integers(0, 20).map(lambda number: encode(frames.Cancel(number))),
    st.tuples(st.integers(0, 20), st.binary(max_size=50)).map(lambda pair: encode(frames.Item(*pair))),
    st.integers(0, 20).map(lambda number: encode(frames.End(number))),
    st.tuples(st.integers(0, 20), st.integers(0, 2**62)).map(lambda pair: encode(frames.Credit(*pair))),
    st.tuples(st.integers(0, 20), st.binary(max_size=20)).map(lambda pair: encode(frames.Reply(*pair))),
    st.binary(max_size=8),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(parts, max_size=25), st.lists(st.integers(0, 5_000), max_size=10), st.booleans())
def test_whatever_arrives_nothing_raises_and_every_call_ends_once(
    script: list[bytes], cuts: list[int], dialled: bool
) -> None:
    """Calls of our own are under way meanwhile; both they and those that are served end when the connection does."""
    number = 2 if dialled else 1
    data = b""
    for part in script:
        if part.isalpha():
            endpoint = part.decode()
            payload = {"fail": b'[404, "Not Found", "", ""]', "count": b"20 30"}.get(endpoint, b"")
            part = encode(frames.Call(number, "s", endpoint, payload, credit=100))
            number += 2
        data += part

    async def run() -> None:
        service = Service()
        connection, wire = on_wire(service, dialled=dialled)
        calls = [Watched(credit=credit) for credit in (0, 1_000, 0)]
        streams = [StreamCall("s", "count", credit=500) for _ in range(2)]
        for call in [*calls, *streams]:
            connection.start(call)
        for part in torn(data, cuts):
            if not wire.closing:
                connection.data_received(part)
                await asyncio.sleep(0)
        wire.frames()
        wire.closing = True
        connection.connection_lost(None)
        await turn()
        assert [len(call.ends) for call in calls] == [1, 1, 1]
        assert all(stream.ended for stream in streams)
        while not service.arrived.empty():
            hearing = service.arrived.get_nowait()
            assert hearing.inbound.done
            assert hearing.queue.held <= frames.INITIAL_CREDIT
        assert connection.serving == connection.load == 0
        await service.finished()

    asyncio.run(run())
