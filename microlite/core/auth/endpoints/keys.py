"""The endpoints of the keys that sign tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microlite.core.auth.api import Key
from microlite.core.context import PLATFORM_NAMESPACE
from microlite.core.description import Role
from microlite.core.library.context import Context

if TYPE_CHECKING:
    from microlite.core.auth.identities import Identities
    from microlite.core.library.service import Service


def serve_keys(service: Service, identities: Identities) -> None:
    """Add the endpoints of keys. No endpoint shows what is secret of them."""

    @service.endpoint(role=Role.PLATFORM, reads=True, name="keys.list")
    async def list_(ctx: Context) -> list[Key]:  # noqa: ARG001 - every handler takes one
        """List the keys that prove tokens, the one that signs first. Their public parts are at `/.well-known/jwks.json`."""
        return identities.keys.shown()

    @service.endpoint(role=Role.PLATFORM, name="keys.rotate")
    async def rotate(ctx: Context) -> Key:
        """Make a new key that signs all tokens from now on.

        Nobody is logged out: the key before proves the tokens that it has signed until the last of them has expired.
        """
        await identities.audit.note(ctx.origin.within(PLATFORM_NAMESPACE), "auth.keys.rotate")
        return identities.keys.rotate()
