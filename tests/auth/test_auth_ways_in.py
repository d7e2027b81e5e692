"""One-time links and sessions: over a real engine, with a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from microlite.core import errors
from microlite.core.auth.accounts import Accounts
from microlite.core.auth.one_time_links import LIFETIME, Invitation, OneTimeLinks
from microlite.core.auth.records import StoredAccount
from microlite.core.auth.web_sessions import IDLE, LONGEST, WebSessions
from microlite.core.clock import ManualClock
from microlite.core.context import Account
from microlite.core.engine.sqlite import SQLiteEngine
from microlite.testing import platform


class _Everybody:
    async def find(self, namespace: str, id: str) -> StoredAccount:
        return StoredAccount(id=id, scopes=("admin",), stamp="1")


EVERYBODY = cast("Accounts", _Everybody())
ANN = Account(id="ann", scopes=("admin",))
INVITATION = Invitation(account=ANN, namespace="shop")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def engine(tmp_path: Path, clock: ManualClock) -> AsyncIterator[SQLiteEngine]:
    async with SQLiteEngine(tmp_path / "engine.db", clock) as engine:
        yield engine


async def test_a_link_is_good_for_one(engine: SQLiteEngine, clock: ManualClock) -> None:
    links = OneTimeLinks(engine, clock)
    secret, expires = await links.issue(INVITATION)
    assert expires == clock.now() + LIFETIME
    assert await links.redeem(secret) == INVITATION
    assert await links.redeem(secret) is None
    assert await links.redeem("made up") is None


async def test_of_two_who_come_at_once_one_gets_in(engine: SQLiteEngine, clock: ManualClock) -> None:
    links = OneTimeLinks(engine, clock)
    secret, _ = await links.issue(INVITATION)
    found = await asyncio.gather(*(links.redeem(secret) for _ in range(8)))
    assert found.count(INVITATION) == 1
    assert found.count(None) == 7


async def test_a_link_is_too_old_after_a_minute(engine: SQLiteEngine, clock: ManualClock) -> None:
    links = OneTimeLinks(engine, clock)
    secret, _ = await links.issue(INVITATION)
    clock.advance(LIFETIME)
    assert await links.redeem(secret) is None


async def test_a_session_is_found_by_its_secret_until_it_ends(engine: SQLiteEngine, clock: ManualClock) -> None:
    sessions = WebSessions(engine, clock, EVERYBODY)
    secret = await sessions.open(ANN, "shop")
    found = await sessions.find(secret)
    assert found is not None
    assert (found.account, found.namespace) == (ANN, "shop")
    await sessions.end(secret)
    assert await sessions.find(secret) is None
    assert not await sessions.lasts(secret)
    await sessions.end(secret)


async def test_an_unused_session_ends_and_a_used_one_goes_on(engine: SQLiteEngine, clock: ManualClock) -> None:
    sessions = WebSessions(engine, clock, EVERYBODY)
    used, unused, watched = [await sessions.open(ANN) for _ in range(3)]
    clock.advance(IDLE / 2)
    assert await sessions.find(used) is not None
    assert await sessions.lasts(watched)  # to ask is no use
    clock.advance(IDLE / 2)
    assert await sessions.find(used) is not None
    assert await sessions.find(unused) is None
    assert not await sessions.lasts(watched)


async def test_a_session_ends_in_the_end(engine: SQLiteEngine, clock: ManualClock) -> None:
    """However much it is used."""
    sessions = WebSessions(engine, clock, EVERYBODY)
    secret = await sessions.open(ANN)
    for _ in range(int(LONGEST / (IDLE / 2)) - 1):
        clock.advance(IDLE / 2)
        assert await sessions.find(secret) is not None
    clock.advance(IDLE / 2)
    assert await sessions.find(secret) is None


async def test_a_session_outlives_the_platform(tmp_path: Path, clock: ManualClock) -> None:
    async with SQLiteEngine(tmp_path / "again.db", clock) as engine:
        secret = await WebSessions(engine, clock, EVERYBODY).open(ANN)
    async with SQLiteEngine(tmp_path / "again.db", clock) as engine:
        assert await WebSessions(engine, clock, EVERYBODY).find(secret) is not None


async def test_the_database_holds_no_secret(tmp_path: Path, clock: ManualClock) -> None:
    """Who reads the file gets into nothing."""
    async with SQLiteEngine(tmp_path / "open.db", clock) as engine:
        secrets = [
            await WebSessions(engine, clock, EVERYBODY).open(ANN),
            (await OneTimeLinks(engine, clock).issue(INVITATION))[0],
        ]
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"ann" in written
    for secret in secrets:
        assert len(secret) == 43
        assert secret.encode() not in written


async def test_a_platform_without_a_dashboard_makes_no_link() -> None:
    async with platform() as p:
        with pytest.raises(errors.NotFound, match="no dashboard"):
            await p.call("auth.link")


async def test_the_link_leads_to_the_dashboard_of_the_platform() -> None:
    async with platform(dashboard=True) as p:
        await p.call("namespaces.create", name="shop")
        link = await p.options(namespace="shop").call("auth.link")
        assert link["url"].startswith(f"{p.dashboard}/login/")
        assert link["expires"] == p.clock.now() + LIFETIME
