"""Detached services as they are kept: the variables of their nodes, which are full of secrets, encrypted by themselves.

The key lies beside the database and in no backup of it. Where it is gone, a service still is what it was, but for what its
terminal's environment said.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
from typing import TYPE_CHECKING, Any, Final

import msgspec

from microlite.core import errors
from microlite.core.private_files import read_private
from microlite.core.runtime.api import Desired

if TYPE_CHECKING:
    from pathlib import Path

KEY_FILE: Final = "runtime.key"
"""The file in a home with the key of the variables."""

_SIZE: Final = 32
_NONCE: Final = 12
_ARRAY: Final = b"\x92"
"""How MessagePack begins an array of two."""

log = logging.getLogger(__name__)


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    """What stands in a record. One that is no array is a service as earlier versions kept it.

    Attributes:
        desired: without its variables.
        sealed: those, as a nonce and what AES-256-GCM makes of them, bound to the key of the record.
    """

    desired: Desired
    sealed: bytes


class _Variables(msgspec.Struct, frozen=True, array_like=True):
    environment: dict[str, str]
    env: dict[str, str]


class Keeper:
    """Turns what is detached into records, and back.

    Args:
        home: where the key is; made when it is needed first.
    """

    def __init__(self, home: Path) -> None:
        self._path = home / KEY_FILE
        self._cipher: Any = None

    def pack(self, key: str, desired: Desired) -> bytes:
        """The record of a service.

        Args:
            key: of the record.
            desired: the service.

        Raises:
            Forbidden: the file of the key can be read by others.
        """
        asked = desired.asked
        variables = msgspec.msgpack.encode(_Variables(asked.environment, asked.env))
        nonce = secrets.token_bytes(_NONCE)
        sealed = nonce + self._aes(make=True).encrypt(nonce, variables, key.encode())
        bare = msgspec.structs.replace(desired, asked=msgspec.structs.replace(asked, environment={}, env={}))
        return msgspec.msgpack.encode(_Kept(bare, sealed))

    def unpack(self, key: str, value: bytes) -> Desired:
        """The service of a record; without its variables, and a line in the log, where they cannot be decrypted.

        Raises:
            DecodeError: it is no such record.
        """
        if not value.startswith(_ARRAY):
            return msgspec.msgpack.decode(value, type=Desired)
        kept = msgspec.msgpack.decode(value, type=_Kept)
        try:
            plain = self._aes(make=False).decrypt(kept.sealed[:_NONCE], kept.sealed[_NONCE:], key.encode())
        except (errors.Error, ValueError, _invalid_tag()):
            log.warning(
                "the variables of the detached service %s cannot be decrypted, since %s is not the one that they were kept "
                "with: it starts without them; run it again with --detach to give it new ones",
                *(key, self._path),
            )
            return kept.desired
        variables = msgspec.msgpack.decode(plain, type=_Variables)
        asked = msgspec.structs.replace(kept.desired.asked, environment=variables.environment, env=variables.env)
        return msgspec.structs.replace(kept.desired, asked=asked)

    def _aes(self, *, make: bool) -> Any:
        if self._cipher is None:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # late: it takes 50 ms

            self._cipher = AESGCM(self._key(make=make))
        return self._cipher

    def _key(self, *, make: bool) -> bytes:
        found = read_private(self._path)
        if found is not None and len(found) == _SIZE:
            return found
        if not make:
            raise errors.NotFound(f"{self._path} holds no key")
        key = secrets.token_bytes(_SIZE)
        aside = self._path.with_suffix(".new")
        with contextlib.suppress(FileNotFoundError):
            aside.unlink()
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(key)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(self._path)
        return key


def _invalid_tag() -> type[Exception]:
    from cryptography.exceptions import InvalidTag

    return InvalidTag
