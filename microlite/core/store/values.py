"""Values on their way in and out: kept as MessagePack, written as JSON for the faces that speak it.

Between programs that both speak MessagePack a value is passed on as it is, without being looked at.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

import msgspec

from microlite.core import errors
from microlite.core.description.structs import Encoding
from microlite.core.store.api import ValueEncoding

NOTHING: Final = {Encoding.MSGPACK: msgspec.Raw(b"\xc0"), Encoding.JSON: msgspec.Raw(b"null")}
"""The value that says that there is none, by encoding."""

_PLAIN: Final = ValueEncoding.PLAIN
_BYTES: Final = frozenset((0xC4, 0xC5, 0xC6))  # the first byte of bytes in MessagePack
_FAILS: Final = (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError)

_read_msgpack: Final = msgspec.msgpack.Decoder().decode
_write_msgpack: Final = msgspec.msgpack.Encoder().encode
_read_json: Final = msgspec.json.Decoder().decode
_write_json: Final = msgspec.json.Encoder().encode


def pack(value: msgspec.Raw, asked: Encoding, encoding: ValueEncoding = ValueEncoding.PLAIN) -> bytes:
    """A value of a request as it is kept, which is MessagePack.

    Args:
        value: as it came.
        asked: how the request is written.
        encoding: what the request says of the value.

    Raises:
        BadRequest: it cannot be kept, or is not in base64.
    """
    if encoding is _PLAIN:
        if asked is Encoding.MSGPACK:
            return bytes(value)
        try:
            return _write_msgpack(_read_json(value))
        except _FAILS as error:
            raise errors.BadRequest(f"value: it cannot be kept: {error}") from None
    text = _read(value, asked)
    content = text if isinstance(text, bytes) else _from_base64(text)
    if encoding is ValueEncoding.BASE64:
        return _write_msgpack(content)
    try:
        _read_msgpack(content)
    except _FAILS as error:
        raise errors.BadRequest(f"value: the base64 holds no MessagePack: {error}") from None
    return content


def unpack(kept: bytes, answered: Encoding) -> tuple[msgspec.Raw, ValueEncoding]:
    """A kept value as it is answered, and how it is written there."""
    if answered is Encoding.MSGPACK:
        return msgspec.Raw(kept), _PLAIN
    try:
        value = _read_msgpack(kept)
        if type(value) is bytes:
            return msgspec.Raw(_write_json(value)), ValueEncoding.BASE64
        return msgspec.Raw(_write_json(value)), _PLAIN
    except _FAILS:
        return msgspec.Raw(_write_json(kept)), ValueEncoding.MSGPACK


def exact(kept: bytes) -> tuple[msgspec.Raw, ValueEncoding]:
    """A kept value as JSON from which `pack` makes the very same again.

    What JSON would change on the way, such as a time or bytes inside a value, is written as MessagePack in base64.
    """
    value, encoding = unpack(kept, Encoding.JSON)
    if encoding is _PLAIN and _write_msgpack(_read_json(value)) != _write_msgpack(_read_msgpack(kept)):
        return msgspec.Raw(_write_json(kept)), ValueEncoding.MSGPACK
    return value, encoding


def text(kept: bytes) -> str:
    """A kept value as people read it: text as it is, bytes by their size and the first of them, all else as JSON."""
    if is_bytes(kept):
        content: bytes = _read_msgpack(kept)
        return f"{len(content):,} bytes: {content[:16].hex(' ')}{' …' if len(content) > 16 else ''}"
    value, encoding = unpack(kept, Encoding.JSON)
    if encoding is not _PLAIN:
        return f"{len(kept):,} bytes of MessagePack that JSON cannot carry"
    document = bytes(value)
    return str(_read_json(document)) if document.startswith(b'"') else document.decode()


def is_bytes(kept: bytes) -> bool:
    """Whether a kept value is plain bytes."""
    return kept[:1] != b"" and kept[0] in _BYTES


def _read(value: msgspec.Raw, asked: Encoding) -> object:
    try:
        return _read_json(value) if asked is Encoding.JSON else _read_msgpack(value)
    except _FAILS as error:
        raise errors.BadRequest(f"value: {error}") from None


def _from_base64(text: object) -> bytes:
    try:
        if isinstance(text, str):
            return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        pass
    raise errors.BadRequest("value: with this `encoding` it is a string in base64, as in aGVsbG8=")
