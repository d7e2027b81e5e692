"""The keys that sign tokens: EdDSA, in a file beside the database and not in it.

A new key signs from the moment it is on disk. The one before proves its tokens until the last of them has expired, so that
a rotation logs nobody out. cryptography and PyJWT are imported by the first use: a start waits for neither.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import threading
from typing import TYPE_CHECKING, Any, Final

import msgspec

from microlite.core import errors
from microlite.core.auth.api import Key
from microlite.core.private_files import read_private, write_private
from microlite.core.settings import AUTH_KEYS

if TYPE_CHECKING:
    from pathlib import Path

    from microlite.core.clock import Clock

ALGORITHM: Final = "EdDSA"
"""The one algorithm in which tokens are signed and proven (RFC 8037); a token that names another is none."""

MOST: Final = 16
"""Most keys at a time: one that signs, and those before it whose tokens are still out."""

_SIZE: Final = 32


class _Kept(msgspec.Struct, frozen=True):
    """One key, as it is written: its private part in base 64, and until when it is needed; 0 for as long as it signs."""

    private: str
    created: float
    until: float = 0.0


class _Ring(msgspec.Struct, frozen=True):
    """All keys of a home, which one signs, and what refresh tokens are derived from."""

    signing: str
    keys: dict[str, _Kept]
    refresh: str


class Keys:
    """The keys of one home. The file is made at the first use.

    Args:
        home: the folder of the platform.
        clock: says which are needed no more.
        kept: seconds that a key is kept after it has signed its last token; as long as the longest-lived of them holds.
    """

    def __init__(self, home: Path, clock: Clock, *, kept: float) -> None:
        self._path = home / AUTH_KEYS
        self._clock = clock
        self._kept = kept
        self._ring: _Ring | None = None
        self._private: dict[str, Any] = {}
        self._public: dict[str, Any] = {}
        self._lock = threading.Lock()

    def signer(self) -> tuple[str, Any]:
        """The id and the private key that sign now."""
        ring = self._load()
        key = self._private.get(ring.signing)
        if key is None:
            key = self._private[ring.signing] = _private_key(ring.keys[ring.signing].private)
        return ring.signing, key

    def prover(self, kid: str) -> Any | None:
        """The public key of this id, if it proves tokens still."""
        kept = self._load().keys.get(kid)
        if kept is None or (kept.until and kept.until <= self._clock.now()):
            return None
        key = self._public.get(kid)
        if key is None:
            key = self._public[kid] = _private_key(kept.private).public_key()
        return key

    def derive(self, *parts: str) -> str:
        """A secret that only this home can make, and makes alike each time, from what it is for."""
        key = base64.b64decode(self._load().refresh)
        found = hmac.new(key, "\0".join(parts).encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(found).rstrip(b"=").decode()

    def rotate(self) -> Key:
        """Make a new key and sign by it from now on. Returns when it is on disk.

        Raises:
            TooManyRequests: so many are kept already that this was done again and again.
        """
        ring, now = self._load(), self._clock.now()
        with self._lock:
            keys = {kid: kept for kid, kept in ring.keys.items() if not kept.until or kept.until > now}
            if len(keys) >= MOST:
                first = min(kept.until for kept in keys.values() if kept.until)
                raise errors.TooManyRequests(
                    f"{MOST} keys are kept already; the next one can be made in {int(first - now) + 1} s, "
                    "when the first of them is needed no more"
                )
            old = keys[ring.signing]
            keys[ring.signing] = msgspec.structs.replace(old, until=now + self._kept)
            kid, made = _new(now)
            self._write(_Ring(kid, {**keys, kid: made}, ring.refresh))
        return Key(id=kid, created=made.created, signs=True)

    def shown(self) -> list[Key]:
        """All keys that prove tokens, the one that signs first."""
        ring, now = self._load(), self._clock.now()
        found = [
            Key(id=kid, created=kept.created, signs=kid == ring.signing, until=kept.until)
            for kid, kept in ring.keys.items()
            if not kept.until or kept.until > now
        ]
        return sorted(found, key=lambda key: (not key.signs, -key.created))

    def document(self) -> dict[str, Any]:
        """The public keys as a JWK set (RFC 7517): what somebody else needs in order to prove a token."""
        return {"keys": [self._jwk(key.id) for key in self.shown()]}

    def _jwk(self, kid: str) -> dict[str, str]:
        public = self.prover(kid)
        assert public is not None
        x = base64.urlsafe_b64encode(public.public_bytes_raw()).rstrip(b"=").decode()
        return {"kty": "OKP", "crv": "Ed25519", "alg": ALGORITHM, "use": "sig", "kid": kid, "x": x}

    def _load(self) -> _Ring:
        ring = self._ring
        if ring is None:
            with self._lock:
                ring = self._ring
                if ring is None:
                    ring = self._read()
                    if ring is None:
                        kid, made = _new(self._clock.now())
                        ring = _Ring(kid, {kid: made}, base64.b64encode(secrets.token_bytes(_SIZE)).decode())
                        self._write(ring)
                    self._ring = ring
        return ring

    def _read(self) -> _Ring | None:
        written = read_private(self._path)
        if written is None:
            return None
        try:
            ring = msgspec.json.decode(written, type=_Ring)
            parts = [kept.private for kept in ring.keys.values()]
            if ring.signing in ring.keys and all(len(base64.b64decode(one)) == _SIZE for one in (*parts, ring.refresh)):
                return ring
        except ValueError:
            pass  # said below, without a word of what stands there
        raise errors.Unprocessable(
            f"{self._path} does not hold keys as the platform writes them; put it back from a copy, or delete it: then the "
            "next start makes new ones, and everybody has to log in again"
        )

    def _write(self, ring: _Ring) -> None:
        write_private(self._path, msgspec.json.format(msgspec.json.encode(ring), indent=2) + b"\n")
        self._ring = ring


def _new(now: float) -> tuple[str, _Kept]:
    private = base64.b64encode(secrets.token_bytes(_SIZE)).decode()
    return secrets.token_hex(8), _Kept(private=private, created=now)


def _private_key(private: str) -> Any:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # late: it takes 50 ms

    return Ed25519PrivateKey.from_private_bytes(base64.b64decode(private))
