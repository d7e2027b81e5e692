"""Secrets of the configuration: AES-GCM, one value at a time, with keys that lie beside the database and not in it."""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
from typing import TYPE_CHECKING, Any, Final

import msgspec

from microlite.core import errors
from microlite.core.config.records import Sealed
from microlite.core.private_files import read_private
from microlite.core.settings import CONFIG_KEYS

if TYPE_CHECKING:
    from pathlib import Path

_NONCE: Final = 12


class _Ring(msgspec.Struct):
    """The keys of one namespace: which one encrypts, and all that may be needed to decrypt."""

    current: str
    keys: dict[str, str]


class Keys:
    """The keys of one home, by namespace. The file is made with the first secret.

    What a key encrypts is bound to namespace and path (as associated data): a value that somebody moves within the database
    does not open elsewhere.

    Args:
        home: the folder of the platform.
    """

    def __init__(self, home: Path) -> None:
        self._path = home / CONFIG_KEYS
        self._rings: dict[str, _Ring] | None = None
        self._ciphers: dict[tuple[str, str], Any] = {}

    def current(self, namespace: str) -> str:
        """The id of the key that encrypts; empty where there was never a secret."""
        ring = self._load().get(namespace)
        return ring.current if ring is not None else ""

    def known(self, namespace: str) -> tuple[str, ...]:
        """The ids of all keys."""
        ring = self._load().get(namespace)
        return tuple(ring.keys) if ring is not None else ()

    def seal(self, namespace: str, path: str, value: object) -> Sealed:
        """Encrypt a value for one place."""
        key = self.current(namespace) or self.add(namespace)
        nonce = secrets.token_bytes(_NONCE)
        data = self._cipher(namespace, key).encrypt(nonce, msgspec.msgpack.encode(value), _bound(namespace, path))
        return Sealed(key, nonce + data)

    def open(self, namespace: str, path: str, sealed: Sealed) -> Any:
        """The value that was sealed.

        Raises:
            Unprocessable: its key is lost, or it was sealed for another place; the detail names what is lost.
        """
        ring = self._load().get(namespace)
        if ring is None or sealed.key not in ring.keys:
            raise errors.Unprocessable(
                f"the secret {path} cannot be read: it is encrypted with the key {sealed.key}, which {self._path} does not "
                f"have; put that file back from a backup, or set {path} anew"
            )
        from cryptography.exceptions import InvalidTag

        try:
            data = self._cipher(namespace, sealed.key).decrypt(
                sealed.data[:_NONCE], sealed.data[_NONCE:], _bound(namespace, path)
            )
        except (InvalidTag, ValueError):
            raise errors.Unprocessable(
                f"the secret {path} cannot be read: what is kept was damaged, or belongs to another place; set it anew"
            ) from None
        return msgspec.msgpack.decode(data)

    def add(self, namespace: str) -> str:
        """Make a new key and use it from now on; the others stay, to decrypt. Returns its id when it is on disk."""
        rings = self._load()
        key = secrets.token_hex(4)
        made = base64.b64encode(secrets.token_bytes(32)).decode()
        ring = rings.get(namespace)
        keys = {**ring.keys, key: made} if ring is not None else {key: made}
        self._write({**rings, namespace: _Ring(key, keys)})
        return key

    def retire(self, namespace: str) -> tuple[str, ...]:
        """Forget all keys but the current one; returns their ids."""
        rings = self._load()
        ring = rings[namespace]
        retired = tuple(key for key in ring.keys if key != ring.current)
        if retired:
            self._write({**rings, namespace: _Ring(ring.current, {ring.current: ring.keys[ring.current]})})
            for key in retired:
                self._ciphers.pop((namespace, key), None)
        return retired

    def _cipher(self, namespace: str, key: str) -> Any:
        cipher = self._ciphers.get((namespace, key))
        if cipher is None:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # late: few need it, and it takes 50 ms

            cipher = self._ciphers[namespace, key] = AESGCM(base64.b64decode(self._load()[namespace].keys[key]))
        return cipher

    def _load(self) -> dict[str, _Ring]:
        if self._rings is None:
            self._rings = self._read()
        return self._rings

    def _read(self) -> dict[str, _Ring]:
        written = read_private(self._path)
        if written is None:
            return {}
        try:
            rings = msgspec.json.decode(written, type=dict[str, _Ring])
            if all(
                ring.current in ring.keys and all(len(base64.b64decode(key)) == 32 for key in ring.keys.values())
                for ring in rings.values()
            ):
                return rings
        except ValueError:
            pass  # said below, without a word of what stands there
        raise errors.Unprocessable(
            f"{self._path} does not hold keys of the configuration as the platform writes them; put it back from a backup"
        )

    def _write(self, rings: dict[str, _Ring]) -> None:
        aside = self._path.with_suffix(".new")
        with contextlib.suppress(FileNotFoundError):
            aside.unlink()
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(rings), indent=2) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        aside.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # a value must never be on disk whose key is not
        finally:
            os.close(folder)
        self._rings = rings


def _bound(namespace: str, path: str) -> bytes:
    return f"{namespace}\0{path}".encode()
