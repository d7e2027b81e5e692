"""Payloads to values and back, for one type, in both encodings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from microlite.core.description import pydantic_models
from microlite.core.errors import BadGateway

if TYPE_CHECKING:
    from collections.abc import Callable

Payload: TypeAlias = bytes | bytearray | memoryview


class Codec:
    """Reads and writes the values of one type.

    Args:
        annotation: the type, resolved.

    Raises:
        TypeError: msgspec has no way to read the type.
    """

    __slots__ = ("decode_json", "decode_msgpack")

    decode_msgpack: Callable[[Payload], Any]
    decode_json: Callable[[Payload], Any]

    def __init__(self, annotation: Any) -> None:
        self.decode_msgpack = msgspec.msgpack.Decoder(annotation, dec_hook=decode_builtin).decode
        self.decode_json = msgspec.json.Decoder(annotation, dec_hook=decode_builtin).decode


def decode_builtin(annotation: type, value: Any) -> Any:
    """The hook for types that msgspec does not read itself: pydantic models."""
    if pydantic_models.is_model(annotation):
        return pydantic_models.load(annotation, value)
    raise NotImplementedError


def encode_builtin(value: Any) -> Any:
    """The hook for values that msgspec does not write itself: pydantic models."""
    if pydantic_models.is_model(type(value)):
        return pydantic_models.dump(value)
    raise TypeError(
        f"a value of type `{type(value).__qualname__}` cannot be sent; "
        "return builtins, a dataclass, a msgspec.Struct or a pydantic model"
    )


encode_msgpack: Final = msgspec.msgpack.Encoder(enc_hook=encode_builtin).encode
encode_json: Final = msgspec.json.Encoder(enc_hook=encode_builtin).encode


def encode_value(value: object, encoding: int = 0) -> bytes:
    """Any value that can travel, as a payload.

    Raises:
        TypeError: it holds something that cannot; OverflowError, ValueError: a number or string without a form there.
    """
    return encode_json(value) if encoding else encode_msgpack(value)


def decode_value(payload: Payload, encoding: int = 0) -> Any:
    """A payload of no declared type as plain Python values. An empty one is None.

    Raises:
        BadGateway: it is malformed.
    """
    if not payload:
        return None
    try:
        return _decode_json(payload) if encoding else _decode_msgpack(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadGateway(f"what the service answered cannot be read: {error}") from None


_decode_msgpack: Final = msgspec.msgpack.Decoder().decode
_decode_json: Final = msgspec.json.Decoder().decode
