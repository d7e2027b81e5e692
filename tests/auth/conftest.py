"""What the tests of `auth` work with: its logic over a real engine, with a clock that they move and cheap hashes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from microlite.core.audit.audit import Audit
from microlite.core.auth.identities import Identities
from microlite.core.auth.passwords import CHEAP
from microlite.core.clock import ManualClock
from microlite.core.context import PLATFORM_ADMIN, Account, Origin
from microlite.core.description.structs import EndpointDescription, Role
from microlite.core.engine.sqlite import SQLiteEngine

ADMIN_TOKEN = "the-token-of-the-admin-of-this-machine"
SECRET = "correct horse"


class Place:
    """One platform's `auth`, which a test can close and open again."""

    def __init__(self, home: Path, clock: ManualClock) -> None:
        self.home = home
        self.clock = clock
        self.engine: SQLiteEngine
        self.auth: Identities

    async def open(self) -> None:
        """Start."""
        self.engine = SQLiteEngine(self.home / "engine.db", self.clock)
        await self.engine.__aenter__()
        self.audit = Audit(self.engine)
        self.auth = Identities(self.engine, self.audit, self.home, self.clock, ADMIN_TOKEN, _describe, CHEAP)
        await self.auth.open()

    async def close(self) -> None:
        """Stop."""
        self.auth.close()
        await self.engine.__aexit__(None, None, None)

    async def again(self) -> None:
        """Restart."""
        await self.close()
        await self.open()

    async def account(self, id: str = "ann", *scopes: str, namespace: str = "shop", secret: str = SECRET) -> Account:
        """Make an account, as the platform's admin does."""
        origin = by(PLATFORM_ADMIN, namespace)
        await self.auth.accounts.create(origin, PLATFORM_ADMIN, id=id, scopes=scopes, secret=secret)
        found = await self.auth.accounts.find(namespace, id)
        assert found is not None
        return found.account(namespace)


def by(actor: Account, namespace: str = "shop") -> Origin:
    """Who acts, and where."""
    return Origin(namespace, account=actor.id, account_namespace=actor.namespace)


def _describe(_namespace: str, service: str, endpoint: str) -> EndpointDescription | None:
    if service == "auth":
        return EndpointDescription(name=endpoint, role=Role.ADMIN)
    if (service, endpoint) == ("orders", "refund"):
        return EndpointDescription(name=endpoint, scopes=("orders:refund",))
    return EndpointDescription(name=endpoint) if service == "orders" else None


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def place(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Place]:
    place = Place(tmp_path, clock)
    await place.open()
    yield place
    await place.close()
