"""Bytes to frames and back, however the bytes arrive and whatever they are."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microlite.core.rpc import frames
from microlite.core.rpc.frames import FrameDecoder, ProtocolError, encode, pack

numbers = st.integers(min_value=0, max_value=2**63 - 1)
texts = st.text(max_size=20)
payloads = st.binary(max_size=300)
pairs = st.dictionaries(texts, texts, max_size=3)

any_frame: st.SearchStrategy[frames.AnyFrame] = st.one_of(
    st.builds(frames.Hello, numbers, texts, pairs),
    st.builds(
        frames.Call, numbers, texts, texts, payloads, numbers, numbers, numbers, texts, st.one_of(st.none(), pairs)
    ),
    st.builds(frames.Reply, numbers, payloads),
    st.builds(frames.Failure, numbers, numbers, texts, texts, texts),
    st.builds(frames.Item, numbers, payloads),
    st.builds(frames.End, numbers),
    st.builds(frames.Credit, numbers, numbers),
    st.builds(frames.Cancel, numbers),
    st.builds(frames.Ping, numbers),
    st.builds(frames.Pong, numbers),
    st.builds(frames.Drain, numbers),
    st.builds(frames.Drained),
    st.builds(frames.GoAway, numbers, texts),
    st.builds(frames.Refused, numbers, texts),
)


def torn(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(places)]


def framed(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


@given(st.lists(any_frame, max_size=8), st.lists(st.integers(0, 10_000), max_size=12))
def test_frames_survive_the_way_however_they_are_torn(sent: list[frames.AnyFrame], cuts: list[int]) -> None:
    decoder = FrameDecoder()
    arrived = [frame for part in torn(b"".join(map(encode, sent)), cuts) for frame in decoder.feed(part)]
    assert arrived == sent
    assert decoder.error is None
    assert decoder.pending == 0


def test_a_frame_torn_at_every_byte_arrives_once() -> None:
    call = frames.Call(7, "greeter", "hello", b"x" * 300, 1, 5_000, 9, "shop", {"k": "v"})
    data = encode(call)
    for place in range(len(data) + 1):
        decoder = FrameDecoder()
        assert [*decoder.feed(data[:place]), *decoder.feed(data[place:])] == [call]
    decoder = FrameDecoder()
    assert [frame for byte in data for frame in decoder.feed(bytes([byte]))] == [call]


@given(st.binary(max_size=2_000), st.lists(st.integers(0, 10_000), max_size=6))
def test_no_bytes_make_the_decoder_raise_or_hold_more_than_a_frame(data: bytes, cuts: list[int]) -> None:
    decoder = FrameDecoder(limit=1_000)
    for part in torn(data, cuts):
        decoder.feed(part)
        assert decoder.pending <= 1_004
    if decoder.error is not None:
        assert decoder.feed(encode(frames.Ping(1))) == []


@given(any_frame, st.integers(0, 10_000), st.integers(0, 255))
def test_a_changed_byte_is_another_frame_or_an_error_and_never_an_exception(
    frame: frames.AnyFrame, place: int, value: int
) -> None:
    body = bytearray(pack(frame))
    body[place % len(body)] = value
    decoder = FrameDecoder()
    found = decoder.feed(framed(bytes(body)))
    assert len(found) == 1 or isinstance(decoder.error, ProtocolError)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc0",
        b"\x90",
        b"\x91\xc0",
        b"\x91\xa1x",
        b"\x92\x0e\x01",
        b"\x92\xff\x01",
        b"\x92\xcc\xff\x01",
        b"\x81\x02\x01",
        b"\x91\x02",
        pack((2, -1, b"")),
        pack((2, 1.5, b"")),
        pack((2, True, b"")),
        pack((2, "1", b"")),
        pack((2, 1, "text")),
        pack((1, 1, b"s", "e")),
        pack((1, 1, "s", "e", b"", -1)),
        pack((1, 1, "s", "e", b"", 0, -1)),
        pack((1, 1, "s", "e", b"", 0, 0, -1)),
        pack((1, 1, "s", "e", b"", 0, 0, 0, "", {"k": 1})),
        pack((1, 1, "s", "e", b"", 0, 0, 0, "", [])),
        pack((6, 1, -5)),
        pack((6, 1)),
        pack((12, "all")),
        pack((2, 1, b"")) + b"\x00",
        pack((2, 1, b"whole"))[:-1],
        b"\x93\x0c\x01\xa2\xff\xfe",
        b"\x93\x02\xcf" + b"\xff" * 7,
        b"\x93\x00\x01\xdb\xff\xff\xff\xff",
        b"\x94\x00\x01\xa1x\xdf\xff\xff\xff\xff",
        b"\xdd\xff\xff\xff\xff\x02\x01",
        b"\x94\x02\x01\xc4\x00\xc7\xff\xff",
        b"\x94\x02\x01\xc4\x00" + b"\x91" * 200_000,
        b"\x94\x02\x01\xc4\x00" + b"\x81\x00" * 100_000,
    ],
)
def test_a_hostile_body_is_an_error_that_names_itself_after_the_frames_before_it(body: bytes) -> None:
    decoder = FrameDecoder()
    assert decoder.feed(encode(frames.Ping(1)) + framed(body) + encode(frames.Ping(2))) == [frames.Ping(1)]
    assert "malformed frame" in str(decoder.error)
    assert decoder.feed(encode(frames.Ping(3))) == []


@pytest.mark.parametrize("length", [frames.MAX_FRAME + 1, 2**32 - 1])
def test_an_oversized_length_is_refused_before_anything_is_held(length: int) -> None:
    for split in range(5):
        decoder = FrameDecoder()
        data = length.to_bytes(4, "big") + b"rest"
        assert decoder.feed(data[:split]) == decoder.feed(data[split:]) == []
        assert "larger than the limit" in str(decoder.error)
        assert decoder.pending <= 8


def test_the_largest_frame_passes_and_one_byte_more_does_not() -> None:
    largest = frames.Item(1, bytes(frames.MAX_FRAME - 8))
    assert len(encode(largest)) == frames.MAX_FRAME + 4
    decoder = FrameDecoder()
    data = encode(largest)
    found = [frame for start in range(0, len(data), 262_144) for frame in decoder.feed(data[start : start + 262_144])]
    assert found == [largest]
    with pytest.raises(ProtocolError, match="larger than the limit"):
        encode(frames.Item(1, bytes(frames.MAX_FRAME - 7)))


def test_defaults_may_be_left_out_and_unknown_fields_are_passed_over() -> None:
    decoder = FrameDecoder()
    short = framed(msgspec.msgpack.encode([1, 3, "s", "e"]))
    long = framed(msgspec.msgpack.encode([5, 3, {"from": ["the", "future"]}, None, 1.5]))
    assert decoder.feed(short + long) == [frames.Call(3, "s", "e"), frames.End(3)]


@given(numbers, texts, payloads, st.one_of(st.none(), pairs))
def test_the_short_cuts_of_the_hot_path_give_the_same_bytes_as_the_frames(
    number: int, text: str, payload: bytes, metadata: dict[str, str] | None
) -> None:
    call = (frames.CALL, number, text, text, payload, 1, number, number, text, metadata, text, None)
    assert pack(call) == pack(frames.Call(number, text, text, payload, 1, number, number, text, metadata, text))
    assert pack((frames.REPLY, number, payload)) == pack(frames.Reply(number, payload))
    assert pack((frames.ITEM, number, payload)) == pack(frames.Item(number, payload))
