"""Payloads to values and back, for one type, in both encodings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from microlite.core.description import pydantic_models

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
