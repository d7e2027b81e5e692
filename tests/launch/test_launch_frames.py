"""Frames and their descriptors arrive whole and in order, however the socket tears them."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microlite.core.runtime.launch.frames import LIMIT, Channel, Ended, Failed, Message, Ready, Start, Started


@pytest.fixture
def pair() -> Iterator[tuple[Channel, Channel]]:
    ours, theirs = (Channel(sock) for sock in socket.socketpair())
    yield ours, theirs
    ours.close()
    theirs.close()


def pipe_with(content: bytes) -> int:
    reader, writer = os.pipe()
    os.write(writer, content)
    os.close(writer)
    return reader


def content_of(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


def start(number: int, size: int = 0) -> Start:
    return Start(number, "n", b"/\xff.py", [b"\xfe"], b"/", {b"A\xff": b"x" * size}, b"", b"", [], [])


async def test_descriptors_stay_with_their_frames(pair: tuple[Channel, Channel]) -> None:
    ours, theirs = pair
    for number in range(20):
        ours.send(start(number), [pipe_with(b"%d-%d" % (number, index)) for index in range(4)])
        ours.send(Ready({"module": "why"}))
    received: list[tuple[Message, list[int]]] = []
    while len(received) < 40:
        received += theirs.receive()
    assert theirs.receive() == []
    for number in range(20):
        message, descriptors = received[2 * number]
        assert message == start(number)
        assert [content_of(descriptor) for descriptor in descriptors] == [b"%d-%d" % (number, i) for i in range(4)]
        assert received[2 * number + 1] == (Ready({"module": "why"}), [])


async def test_a_frame_larger_than_the_socket_takes_is_sent_in_parts(pair: tuple[Channel, Channel]) -> None:
    ours, theirs = pair
    big = start(1, 3_000_000)
    assert not ours.send(big, [pipe_with(b"%d" % index) for index in range(4)])
    assert not ours.send(Started(2, 3), [pipe_with(b"pidfd")])
    received: list[tuple[Message, list[int]]] = []
    while len(received) < 2:
        ours.flush()
        received += theirs.receive()
    assert received[0][0] == big
    assert [content_of(descriptor) for descriptor in received[0][1]] == [b"0", b"1", b"2", b"3"]
    assert content_of(received[1][1][0]) == b"pidfd"
    assert ours.flush()


async def test_received_descriptors_do_not_survive_exec(pair: tuple[Channel, Channel]) -> None:
    pair[0].send(Started(1, 2), [pipe_with(b"")])
    ((_, [descriptor]),) = pair[1].receive()
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)


@pytest.mark.parametrize("unread", [False, True])
async def test_the_end_is_an_end_even_with_messages_unread(pair: tuple[Channel, Channel], unread: bool) -> None:
    """The kernel answers ECONNRESET instead of an end of file when the other side had something left to read."""
    ours, theirs = pair
    theirs.send(Ended(1, 9))
    if unread:
        ours.send(Failed(1, "x"))
    theirs.close()
    received: list[tuple[Message, list[int]]] = []
    with pytest.raises(EOFError):
        received += [*ours.receive(), *ours.receive()]
    assert all(message == Ended(1, 9) for message, _ in received)


async def test_too_large_a_message_is_refused_before_anything_is_sent(pair: tuple[Channel, Channel]) -> None:
    with pytest.raises(ValueError, match="more than a frame takes"):
        pair[0].send(Failed(1, "x" * (LIMIT + 1)))
    assert pair[0].send(Failed(2, "y"))
    assert pair[1].receive() == [(Failed(2, "y"), [])]


async def test_a_length_beyond_the_limit_ends_the_conversation() -> None:
    ours, theirs = socket.socketpair()
    channel = Channel(theirs)
    ours.sendall((LIMIT + 1).to_bytes(4, "big"))
    with pytest.raises(EOFError):
        channel.receive()
    channel.close()
    ours.close()


messages = st.lists(
    st.one_of(
        st.builds(Ended, st.integers(0, 2**31), st.integers(0, 2**15)),
        st.builds(Failed, st.integers(0, 2**31), st.text(max_size=50)),
        st.builds(Ready, st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3)),
    ),
    max_size=8,
)


@settings(max_examples=60, deadline=None)
@given(messages, st.lists(st.integers(1, 40), min_size=1, max_size=200))
def test_any_tearing_gives_the_same_messages(sent: list[Message], cuts: list[int]) -> None:
    scratch, sink = socket.socketpair()
    writer = Channel(scratch)
    for message in sent:
        writer.send(message)
    writer.close()
    with sink:
        stream = b"".join(iter(lambda: sink.recv(65536), b""))
    ours, theirs = socket.socketpair()
    reader = Channel(theirs)
    received: list[Message] = []
    with ours:
        for size in (*cuts, len(stream)):
            part, stream = stream[:size], stream[size:]
            if part:
                ours.sendall(part)
                received += [message for message, _ in reader.receive()]
    reader.close()
    assert received == sent
