"""What the engine keeps of a configuration: a record for each leaf, one for the whole, one for each change."""

from __future__ import annotations

from typing import Any, Final

import msgspec

LEAVES: Final = "config"
"""The bucket of the leaves, by canonical path, and of the head."""

HEAD: Final = "."
"""The key of the head, which is no path."""

HISTORY: Final = "config/history"
"""The bucket of the changes, by their revision in ten digits."""

MAX_HISTORY: Final = 1_000
"""Changes that are remembered."""


class Sealed(msgspec.Struct, frozen=True):
    """A secret value, encrypted.

    Attributes:
        key: the id of the key.
        data: nonce and ciphertext.
    """

    key: str
    data: bytes


class Kept(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One leaf as it is kept.

    Attributes:
        value: of one that is no secret.
        sealed: of one that is.
        revision: the change that set it.
    """

    value: Any = None
    sealed: Sealed | None = None
    revision: int = 0
    author: str = ""
    at: float = 0.0

    @property
    def is_empty_table(self) -> bool:
        """Whether it stands for a table without anything in it."""
        return self.sealed is None and isinstance(self.value, dict) and not self.value


class Head(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What holds for the configuration of a namespace as a whole. Each change expects the head that it was made from.

    Attributes:
        revision: counts the changes.
        leaves: how many there are.
        size: bytes that they have together, encoded.
        key: the key for secrets when it was written last; its rotation is a new head, so that no change slips in that was
            made ready with the key before.
    """

    revision: int = 0
    leaves: int = 0
    size: int = 0
    key: str = ""


class Step(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One leaf in a change: before and after; none where there was, or is, nothing."""

    path: str
    old: Kept | None = None
    new: Kept | None = None


class Past(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One change, as it is remembered."""

    revision: int
    at: float
    author: str = ""
    service: str = ""
    action: str = "set"
    steps: tuple[Step, ...] = ()


encode: Final = msgspec.msgpack.Encoder().encode
decode_kept: Final = msgspec.msgpack.Decoder(Kept).decode
decode_head: Final = msgspec.msgpack.Decoder(Head).decode
decode_past: Final = msgspec.msgpack.Decoder(Past).decode


def history_key(revision: int) -> str:
    """The key of a change."""
    return f"{revision:010d}"
