"""The public keys with which anybody can prove the platform's tokens (RFC 7517)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.web.gateway.exchange import Exchange

PATH: Final = b"/.well-known/jwks.json"

_TYPE: Final = b"application/jwk-set+json"
_KEEP: Final = (b"cache-control", b"public, max-age=300")
"""A rotated key is used at once, so whoever meets an unknown one has to ask anew anyhow."""


class JwksPage:
    """Answers with the keys, to all.

    Args:
        document: makes the JWK set; it may take a while the first time.
    """

    def __init__(self, document: Callable[[], dict[str, Any]]) -> None:
        self._document = document

    async def __call__(self, exchange: Exchange) -> None:
        """Answer a request."""
        document = await asyncio.to_thread(self._document)
        await exchange.reply(msgspec.json.encode(document), content_type=_TYPE, headers=[_KEEP])
