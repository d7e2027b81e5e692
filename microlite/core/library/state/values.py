"""Values of a service's state as the types that its code asks for."""

from __future__ import annotations

import functools
from typing import Any, Final

import msgspec

from microlite.core import errors
from microlite.core.description.codec import Codec, decode_builtin

_read: Final = msgspec.msgpack.Decoder().decode


def decode(kept: msgspec.Raw | bytes, of: Any, what: str) -> Any:
    """A value as the type that is asked for, however it was written: in Python, or as JSON by somebody else.

    Args:
        kept: the value, in MessagePack.
        of: a type that an endpoint could take; `Any` for plain Python values.
        what: what it is, for the error.

    Raises:
        Unprocessable: it is not of that type.
    """
    if of is Any:
        return _read(kept)
    try:
        return _codec(of).decode_msgpack(kept)
    except msgspec.ValidationError as error:
        try:
            # JSON has no bytes: who wrote it there wrote base64.
            return msgspec.convert(_read(kept), of, dec_hook=decode_builtin)
        except (msgspec.ValidationError, msgspec.DecodeError):
            pass
        name = getattr(of, "__qualname__", str(of))
        raise errors.Unprocessable(f"{what} is no {name}: {error}") from None


@functools.lru_cache(maxsize=512)
def _codec(of: Any) -> Codec:
    return Codec(of)
