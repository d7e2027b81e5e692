"""`docs/reference/wire.md` says what the code does: its tables are the frames, its bytes are what it says of them."""

from __future__ import annotations

import re
import typing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from microlite.core import errors
from microlite.core.context import Account
from microlite.core.rpc import frames, outgoing
from tests.rpc.rpc_parts import Service, on_wire, turn

TEXT = (Path(__file__).parents[2] / "docs" / "reference" / "wire.md").read_text()
KINDS: dict[int, type[frames.Frame]] = {
    int(str(kind.__struct_config__.tag)): kind for kind in frames.Frame.__subclasses__()
}
TYPES: dict[Any, str] = {
    frames.Natural: "uint",
    str: "str",
    bytes: "bytes",
    dict[str, str]: "map",
    dict[str, str] | None: "map or nil",
    Account | None: "map or nil",
}


def section(heading: str) -> str:
    (found,) = re.findall(rf"^{re.escape(heading)}\n(.*?)(?=^##|\Z)", TEXT, re.MULTILINE | re.DOTALL)
    return str(found)


def rows(text: str) -> list[list[str]]:
    """The cells of the first table in a text, without its head."""
    lines = re.findall(r"^\|(.*)\|$", text, re.MULTILINE)
    return [[cell.strip() for cell in line.split("|")] for line in lines[2:]]


def default_of(field: msgspec.structs.FieldInfo) -> str:
    if field.default_factory is not msgspec.NODEFAULT:
        return repr(field.default_factory())
    if field.default is msgspec.NODEFAULT:
        return ""
    if field.default is None:
        return "nil"
    return repr(field.default).replace("''", '""').replace("b''", 'b""')


@pytest.mark.parametrize("number", sorted(KINDS), ids=lambda number: KINDS[number].__name__)
def test_each_frame_has_a_section_with_its_fields_in_order(number: int) -> None:
    kind = KINDS[number]
    hints = typing.get_type_hints(kind, include_extras=True)
    fields = [[field.name, TYPES[hints[field.name]], default_of(field)] for field in msgspec.structs.fields(kind)]
    assert [row[:3] for row in rows(section(f"### {number} {kind.__name__.upper()}"))] == fields


def test_the_table_of_frames_and_the_table_of_errors_are_complete() -> None:
    listed = {int(number): name for number, name, *_ in rows(section("## Frames"))}
    assert listed == {number: kind.__name__.upper() for number, kind in KINDS.items()}
    told = [(int(code), status) for code, status, _ in rows(section("## Errors"))]
    assert told == [(kind.error.code, kind.error.status) for kind in errors.KINDS]


def test_the_limits_are_those_of_the_code() -> None:
    for number in (frames.MAX_FRAME, frames.INITIAL_CREDIT, outgoing.MAX_PENDING):
        assert f"{number:,}" in TEXT
    assert f"and {frames.ITEM_OVERHEAD} bytes" in section("## Credit")
    assert f"Version {frames.VERSION}." in TEXT


def conversation() -> list[tuple[str, bytes]]:
    """Each run of lines in one direction, as the side that sends it and its bytes."""
    said: list[tuple[str, bytes]] = []
    for block in re.findall(r"```wire\n(.*?)```", TEXT, re.DOTALL):
        for part in block.strip().split("\n\n"):
            side = part[0]
            data = bytearray()
            for line in part.splitlines():
                assert line[0] == side
                code = re.match(r". ((?:[0-9a-f]{2} ?)+)(?:  |$)", line)
                assert code, line
                data += bytes.fromhex(code[1])
            said.append((side, bytes(data)))
    return said


def test_the_bytes_decode_to_what_the_document_says_of_them() -> None:
    decoders = {">": frames.FrameDecoder(), "<": frames.FrameDecoder()}
    found = [(side, frame) for side, data in conversation() for frame in decoders[side].feed(data)]
    assert found == [
        (">", frames.Hello(1, "client")),
        ("<", frames.Hello(1, "platform", {"version": "0.1.0"})),
        (">", frames.Call(1, "greeter", "hello", b'{"name":"Ada"}', 1, 5_000)),
        ("<", frames.Reply(1, b'{"message":"Hello Ada"}')),
        (">", frames.Call(3, "prices", "watch", b"{}", 1, 0, 100)),
        ("<", frames.Item(3, b'{"price":7}')),
        (">", frames.Credit(3, 75)),
        (">", frames.Cancel(3)),
        (">", frames.Call(5, "nope", "run")),
        ("<", frames.Failure(5, 404, "Service Not Found", 'Service "nope" not found')),
    ]
    assert all(decoder.error is None and decoder.pending == 0 for decoder in decoders.values())


def test_what_the_document_says_beside_the_bytes_is_right() -> None:
    for line in re.findall(r"^[<>] (.*)$", TEXT, re.MULTILINE):
        code, _, words = line.partition("   ")
        data = bytes.fromhex(code)
        if match := re.search(r"(?:length|payload|timeout|credit): (\d+)", words):
            value = len(data) - 2 if words.rstrip().endswith("{}") else int(match[1])
            assert int(match[1]) == value
            if "length" in words:
                assert int.from_bytes(data, "big") == int(match[1])
            elif "payload" not in words:
                assert msgspec.msgpack.decode(data) == int(match[1])
        for text in re.findall(r'^[^"]*"(\w[\w. ]*)"$', words.strip()):
            assert msgspec.msgpack.decode(data) == text


async def test_a_connection_answers_the_conversation() -> None:
    """What the client of the document says is understood, call by call."""
    service = Service()
    connection, wire = on_wire(service, hello=False)
    for side, data in conversation():
        if side == ">":
            connection.data_received(data)
    await turn()
    assert service.seen == [b'{"name":"Ada"}', b"{}", b""]
    assert not wire.closing
    assert connection.serving == 0
    connection.connection_lost(None)
