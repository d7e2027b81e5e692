"""Signs tickets with the keys of the platform."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microlite.core import errors
from microlite.core.auth.keys import ALGORITHM

if TYPE_CHECKING:
    from collections.abc import Mapping

    from microlite.core.auth.keys import Keys

MAX_TOKEN = 4_096
"""Characters of a token that is looked at."""


class KeySigner:
    """See `tickets.Signer`.

    Args:
        keys: of the home.
    """

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def sign(self, claims: Mapping[str, object]) -> str:
        """See `Signer`."""
        import jwt  # late: it takes 50 ms, and no node starts without a ticket

        kid, key = self._keys.signer()
        return jwt.encode(dict(claims), key, algorithm=ALGORITHM, headers={"kid": kid})

    def verify(self, token: str) -> dict[str, object]:
        """See `Signer`. The time is for whoever asks, who has a clock."""
        import jwt

        if len(token) > MAX_TOKEN:
            raise errors.Unauthorized("this is no ticket of this platform")
        try:
            kid = jwt.get_unverified_header(token).get("kid")
            key = self._keys.prover(kid) if isinstance(kid, str) else None
            if key is None:
                raise errors.Unauthorized("this is no ticket of this platform")
            claims: dict[str, object] = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                options={"verify_exp": False, "verify_iat": False, "verify_nbf": False, "require": ["exp"]},
            )
        except (jwt.PyJWTError, ValueError):
            raise errors.Unauthorized("this is no ticket of this platform") from None
        return claims
