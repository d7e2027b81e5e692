"""The ids of server-sent events, read from the items that declare one (`event_id`)."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

_BREAKS: Final = b"\r\n\0"
"""What an id cannot hold (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""


@functools.lru_cache(maxsize=1_024)
def id_reader(field: str) -> Callable[[bytes], bytes]:
    """What reads the id of an item, a JSON document, from one of its fields: a line to be sent, or nothing."""
    item = msgspec.defstruct("Item", [("id", str | int | float | None, msgspec.field(default=None, name=field))])
    decode = msgspec.json.Decoder(item).decode

    def read(document: bytes) -> bytes:
        try:
            value = decode(document).id  # type: ignore[attr-defined]  # a struct that is made here
        except msgspec.DecodeError:
            return b""
        if value is None:
            return b""
        text = str(value).encode()
        return b"" if any(byte in text for byte in _BREAKS) else b"id: " + text + b"\n"

    return read
