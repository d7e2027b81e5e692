"""Signed tokens (RFC 7519): what proves by itself who asks, for some minutes."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

import msgspec

from microlite.core import errors
from microlite.core.auth.keys import ALGORITHM
from microlite.core.auth.marks import LONGEST, token_mark
from microlite.core.policy.identity import Identity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from microlite.core.auth.keys import Keys
    from microlite.core.clock import Clock
    from microlite.core.context import Account

ISSUER: Final = "microlite"
AUDIENCE: Final = "microlite"

LEEWAY: Final = 5.0
"""Seconds by which the clock of this machine may be set back without a token that was just made being refused."""

MAX_CHARACTERS: Final = 8_192
"""Longest token that is looked at."""

_HEADER: Final = frozenset({"alg", "kid", "typ"})


TYPE: Final = "at+jwt"
"""The type in the header (RFC 9068). What is signed for another use, as the ticket of a node, has another, or none."""


class _Claims(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    iss: str
    aud: str
    sub: str
    ns: str
    typ: str
    iat: float
    exp: float
    jti: str
    name: str = ""
    scopes: tuple[str, ...] = ()
    metadata: dict[str, str] = {}
    marks: tuple[str, ...] = ()


class Signed(msgspec.Struct, frozen=True):
    """A token that was just made.

    Attributes:
        token: itself.
        id: of this one.
        created: when, in seconds since the Unix epoch.
        expires: until when it holds.
    """

    token: str
    id: str
    created: float
    expires: float


class Proven(msgspec.Struct, frozen=True):
    """What a token says, which is proven by its signature.

    Attributes:
        identity: whom it stands for; its marks are those it carries, and its own.
        id: its own.
    """

    identity: Identity
    id: str


class SignedTokens:
    """Makes tokens, and proves them. It asks no record: whether their account is still there is for others to say.

    Args:
        keys: sign and prove.
        clock: says when one has expired.
    """

    def __init__(self, keys: Keys, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock

    def sign(self, account: Account, lifetime: float, marks: Sequence[str] = ()) -> Signed:
        """Make a token.

        Args:
            account: for whom it stands.
            lifetime: seconds, an hour at most.
            marks: it holds no more when one of these is revoked, or its own.
        """
        import jwt  # late: it takes 100 ms

        now = self._clock.now()
        claims = _Claims(
            iss=ISSUER,
            aud=AUDIENCE,
            sub=account.id,
            ns=account.namespace,
            typ=account.type,
            name=account.name,
            scopes=account.scopes,
            metadata=account.metadata,
            iat=now,
            exp=now + min(lifetime, LONGEST),
            jti=secrets.token_urlsafe(12),
            marks=tuple(marks),
        )
        kid, key = self._keys.signer()
        payload: dict[str, Any] = msgspec.to_builtins(claims)
        token = jwt.encode(payload, key, algorithm=ALGORITHM, headers={"kid": kid, "typ": TYPE})
        return Signed(token, claims.jti, now, claims.exp)

    def prove(self, token: str) -> Proven:
        """What a token says.

        Raises:
            Unauthorized: it is none, or not signed by this platform, or has expired. The detail does not say more about a
                token that was never one.
        """
        import jwt  # late: it takes 100 ms

        if len(token) > MAX_CHARACTERS:
            raise _invalid()
        try:
            header = jwt.get_unverified_header(token)
            kid = header.get("kid", "")
            if (
                set(header) != _HEADER
                or (header["alg"], header["typ"]) != (ALGORITHM, TYPE)
                or not isinstance(kid, str)
            ):
                raise _invalid()
            key = self._keys.prover(kid)
            if key is None:
                raise _invalid()
            payload = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                audience=AUDIENCE,
                options={
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                    "require": ["exp", "iat", "jti"],
                },
            )
            claims = msgspec.convert(payload, _Claims)
        except (jwt.InvalidTokenError, msgspec.ValidationError, ValueError, TypeError):
            raise _invalid() from None
        now = self._clock.now()
        if claims.iat > now + LEEWAY:
            raise errors.Unauthorized("the token is of a time to come: is the clock of this machine right?")
        if now >= claims.exp:
            raise errors.Unauthorized("the token has expired; renew it, or log in again")
        identity = Identity(
            account=claims.sub,
            type=claims.typ,
            name=claims.name,
            namespace=claims.ns,
            scopes=claims.scopes,
            metadata=claims.metadata,
            expires=claims.exp,
            marks=(*claims.marks, token_mark(claims.jti)),
        )
        return Proven(identity, claims.jti)


def _invalid() -> errors.Unauthorized:
    return errors.Unauthorized("the token is not valid")
