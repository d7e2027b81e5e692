"""How payloads are written is the caller's choice, for what it sends and for what comes back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from microlite import Service, errors
from microlite.core.description.structs import ANSWERED, ASKED, Encoding, encoding_of
from microlite.core.library.peers import RefuseCalls
from microlite.core.rpc.call import StreamCall, UnaryCall
from microlite.core.rpc.frames import INITIAL_CREDIT
from microlite.core.rpc.paths import platform_socket
from microlite.core.rpc.sockets import dial

if TYPE_CHECKING:
    from microlite.testing import RunningPlatform

DATA = b"\x00\xff"
FORMATS: dict[Encoding, Any] = {Encoding.MSGPACK: msgspec.msgpack, Encoding.JSON: msgspec.json}


@pytest.fixture
def mirror() -> Service:
    service = Service("mirror")

    @service.endpoint
    async def turn(data: bytes) -> bytes:
        return data[::-1]

    @service.endpoint
    async def turn_all(items: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for item in items:
            yield item[::-1]

    return service


@pytest.mark.parametrize("encoding", list(Encoding))
async def test_each_way_has_its_own_encoding(encoding: Encoding, platform: RunningPlatform, mirror: Service) -> None:
    await platform.serve(mirror)
    connection = await dial(str(platform_socket(platform.home)), RefuseCalls(), role="client")
    asked, answered = FORMATS[ASKED[encoding]], FORMATS[ANSWERED[encoding]]
    call = UnaryCall("mirror", "turn", asked.encode({"data": DATA}), encoding=encoding)
    assert answered.decode(await call.run(connection.start), type=bytes) == DATA[::-1]
    stream = StreamCall("mirror", "turn-all", encoding=encoding, credit=INITIAL_CREDIT)
    async with stream:
        connection.start(stream)
        await stream.send(asked.encode(DATA))
        stream.close_send()
        assert [answered.decode(item, type=bytes) async for item in stream.items()] == [DATA[::-1]]
    connection.close()


async def test_other_encodings_are_refused(platform: RunningPlatform, mirror: Service) -> None:
    await platform.serve(mirror)
    connection = await dial(str(platform_socket(platform.home)), RefuseCalls(), role="client")
    with pytest.raises(errors.UnsupportedMediaType, match="encoding 4"):
        await UnaryCall("mirror", "turn", encoding=4).run(connection.start)
    connection.close()


def test_an_encoding_is_found_by_both_ways() -> None:
    assert [encoding_of(ASKED[one], ANSWERED[one]) for one in Encoding] == list(Encoding)
