"""permessage-deflate (RFC 7692) for WebSockets, with bounds on memory and on time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from websockets.exceptions import InvalidHeader, NegotiationError
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.headers import build_extension, parse_extension

if TYPE_CHECKING:
    from websockets.extensions import Extension
    from websockets.frames import Frame

LEAST: Final = 512
MOST: Final = 256 * 1024
"""Bytes of a message that is worth compressing, and of one that would hold up all other requests meanwhile."""

_WINDOW: Final = 12
"""Bits of the window on both sides: 4 KiB, so that a connection costs some 40 KiB and not 300."""

_FACTORY: Final = ServerPerMessageDeflateFactory(
    server_max_window_bits=_WINDOW,
    client_max_window_bits=_WINDOW,
    compress_settings={"level": 1, "memLevel": 5},
)


class ChosenDeflate(PerMessageDeflate):
    """The extension, which leaves messages as they are where compressing them does not pay."""

    def encode(self, frame: Frame) -> Frame:
        """Compress an outgoing message, or not."""
        return super().encode(frame) if LEAST <= len(frame.data) <= MOST else frame


def negotiate(header: bytes | None) -> tuple[bytes, list[Extension]]:
    """What `Sec-WebSocket-Extensions` says in the answer, empty for nothing, and the extensions that it stands for.

    Args:
        header: as the client sent it. One that is malformed counts as none.
    """
    if not header:
        return b"", []
    try:
        offers = parse_extension(header.decode("latin-1"))
    except InvalidHeader:
        return b"", []
    for name, parameters in offers:
        if name == _FACTORY.name:
            try:
                agreed, extension = _FACTORY.process_request_params(parameters, [])
            except NegotiationError:
                continue
            chosen = ChosenDeflate(
                extension.remote_no_context_takeover,
                extension.local_no_context_takeover,
                extension.remote_max_window_bits,
                extension.local_max_window_bits,
                extension.compress_settings,
            )
            return build_extension([(name, agreed)]).encode(), [chosen]
    return b"", []
