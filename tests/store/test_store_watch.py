"""Watches that outlive what carries them."""

from __future__ import annotations

import asyncio

import pytest

import microlite
from microlite import Context, Service, errors
from microlite.core.library.state import following
from microlite.testing import RunningPlatform


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Open a stream that broke again at once."""
    monkeypatch.setattr(following, "AGAIN", 0.001)


class Follower:
    """A service that mirrors a table of its own for as long as it runs."""

    def __init__(self) -> None:
        self.seen: asyncio.Queue[tuple[str, str, object]] = asyncio.Queue()
        self.service = service = Service("orders")
        tasks: list[asyncio.Task[None]] = []

        @service.on_start
        async def start(ctx: Context) -> None:
            tasks.append(asyncio.create_task(self._mirror(ctx)))

        @service.on_stop
        async def stop() -> None:
            tasks.pop().cancel()

        @service.endpoint
        async def write(ctx: Context, key: str, value: int) -> None:
            await ctx.store.write(key, value)

    async def _mirror(self, ctx: Context) -> None:
        async for change in ctx.store.watch(of=int, state=True):
            self.seen.put_nowait((change.kind, change.key, change.value))


async def test_a_watch_goes_on_where_it_was_when_the_connection_breaks(platform: RunningPlatform) -> None:
    follower = Follower()
    await platform.serve(follower.service)
    assert await follower.seen.get() == ("reset", "", None)
    assert await follower.seen.get() == ("synced", "", None)
    await platform.call("orders.write", key="a", value=1)
    assert await follower.seen.get() == ("write", "a", 1)
    await platform.faults.break_connection("orders")
    await platform.call("orders.write", key="b", value=2)
    assert await follower.seen.get() == ("write", "b", 2)
    assert follower.seen.empty()


async def test_a_service_that_cannot_be_reached_for_a_while_is_waited_for(platform: RunningPlatform) -> None:
    with platform.faults.fail("store.watch", errors.ServiceUnavailable("not now"), times=3) as fault:
        follower = Follower()
        await platform.serve(follower.service)
        assert await follower.seen.get() == ("reset", "", None)
        assert fault.hits == 3


async def test_what_was_forgotten_meanwhile_begins_with_the_state_itself(platform: RunningPlatform) -> None:
    """Deletions are remembered for an hour; who comes later must know that there may have been some."""
    async with microlite.connect(platform.home) as m:
        await m.store.write_many({"a": 1, "b": 2})
        since = (await m.store.page()).revision
        await m.store.delete("a")
        platform.clock.advance(2 * 3600)  # type: ignore[attr-defined]  # the harness's clock is one that is moved
        await m.store.write("c", 3)
        await m.store.write("c", 3)
        kinds: list[str] = []
        async for change in m.store.watch(since=since):
            kinds.append(f"{change.kind} {change.key}".strip())
            if change.key == "c":
                break
        assert kinds in (["reset", "write b", "write c"], ["delete a", "write c"])


async def test_a_refusal_is_no_break(platform: RunningPlatform) -> None:
    async with microlite.connect(platform.home) as m:
        with pytest.raises(errors.BadRequest, match="no name for a table"):
            await anext(m.store.table("a/b").watch())


async def test_a_key_that_was_reset_is_not_missed_by_a_slow_reader(platform: RunningPlatform) -> None:
    """Who does not read gets the state in place of the changes that were too many to be kept for him."""
    async with microlite.connect(platform.home) as m, microlite.connect(platform.home) as other:
        changes = m.store.watch(state=True)
        while (await anext(changes)).kind != "synced":
            pass
        for number in range(40):
            await other.store.write_many({f"k{n:03}": [number] * 10_000 for n in range(50)})
        mirror: dict[str, object] = {}
        async for change in changes:
            if change.kind == "reset":
                mirror.clear()
            elif change.kind == "write":
                mirror[change.key] = change.value[0]
            if len(mirror) == 50 and set(mirror.values()) == {39}:
                break
