"""Schedules as services and people use them, on a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from microlite import Context, Service, errors
from microlite.core.clock import ManualClock
from microlite.core.schedules.api import KEPT_RUNS, Outcome, Run, Schedule

if TYPE_CHECKING:
    from microlite.testing import RunningPlatform


class Work:
    """A service with schedules, what they did, and a gate that holds them where a test wants that."""

    def __init__(self) -> None:
        self.ran: asyncio.Queue[str] = asyncio.Queue()
        self.gate = asyncio.Event()
        self.gate.set()
        self.fails = 0

    async def do(self, ctx: Context, name: str) -> None:
        self.ran.put_nowait(f"{name} {ctx.node} {ctx.metadata.get('schedule-due', '')}".strip())
        await self.gate.wait()
        if self.fails:
            self.fails -= 1
            raise errors.Conflict("not today")

    def service(self, *, every: str | None = "10m", **options: Any) -> Service:
        service = Service("work")
        when: tuple[Any, ...] = () if every is None else (every,)

        @service.every(*when, **options)
        async def tick(ctx: Context) -> None:
            await self.do(ctx, "tick")

        @service.endpoint
        async def once(ctx: Context, id: int = 0) -> None:
            await self.do(ctx, f"once-{id}")

        return service

    async def next(self) -> str:
        async with asyncio.timeout(20):
            return await self.ran.get()

    async def name(self) -> str:
        return (await self.next()).split()[0]


@pytest.fixture
def work() -> Work:
    return Work()


def clock(platform: RunningPlatform) -> ManualClock:
    assert isinstance(platform.clock, ManualClock)
    return platform.clock


async def schedule(platform: RunningPlatform, name: str = "work.tick") -> Schedule:
    return msgspec.convert(await platform.call("schedules.get", name=name), Schedule)


async def history(platform: RunningPlatform, name: str = "work.tick", limit: int = 100) -> list[Run]:
    return msgspec.convert(await platform.call("schedules.history", name=name, limit=limit), list[Run])


async def until(platform: RunningPlatform, *outcomes: str, name: str = "work.tick") -> list[Run]:
    """The history, latest first, as soon as its outcomes are these."""
    async with asyncio.timeout(20):
        async for _ in platform.stream("schedules.watch"):
            runs = await history(platform, name)
            if [str(run.outcome) for run in runs] == list(outcomes):
                return runs
    raise AssertionError("the watch has ended")


# -- by its times ----------------------------------------------------------------------------------------------------------


async def test_each_time_is_run_once_however_many_nodes_there_are(platform: RunningPlatform, work: Work) -> None:
    service = work.service()
    for _ in range(3):
        await platform.serve(service)
    for number in range(1, 6):
        platform.advance(600)
        assert (await work.next()).startswith("tick work-")
        await until(platform, *["done"] * number)
    assert work.ran.empty()
    assert [run.due for run in await history(platform)] == [1_000_000_600 + 600 * step for step in (4, 3, 2, 1, 0)]


async def test_a_handler_knows_for_which_time_it_runs(platform: RunningPlatform, work: Work) -> None:
    await platform.serve(work.service())
    platform.advance(600)
    assert await work.next() == "tick work-1 2001-09-09T01:56:40+00:00"


async def test_cron_runs_in_its_zone(platform: RunningPlatform, work: Work) -> None:
    await platform.serve(work.service(every=None, cron="0 6 * * *", zone="Europe/Berlin"))
    assert (await schedule(platform)).next == datetime(2001, 9, 9, 4, tzinfo=UTC).timestamp()
    platform.advance(3 * 3600)
    assert await work.name() == "tick"


async def test_a_reload_neither_resets_a_schedule_nor_runs_it_twice(platform: RunningPlatform, work: Work) -> None:
    await platform.serve(work.service())
    platform.advance(300)
    await platform.restart("work", work.service())
    assert (await schedule(platform)).next == 1_000_000_600
    platform.advance(300)
    await platform.restart("work", work.service())
    await until(platform, "done")
    await platform.restart("work", work.service())
    assert work.ran.qsize() == 1


async def test_a_changed_declaration_takes_its_new_times(platform: RunningPlatform, work: Work) -> None:
    await platform.serve(work.service())
    await platform.call("schedules.pause", name="work.tick")
    platform.advance(100)
    await platform.restart("work", work.service(every="1h", retries=3))
    assert ((await schedule(platform)).every, (await schedule(platform)).retries) == (3600, 3)
    assert (await schedule(platform)).paused
    await platform.call("schedules.resume", name="work.tick")
    assert (await schedule(platform)).next == 1_000_003_700


async def test_a_schedule_that_is_gone_from_the_code_is_gone(platform: RunningPlatform, work: Work) -> None:
    await platform.serve(work.service())
    plain = Service("work")

    @plain.endpoint
    async def once() -> None: ...

    await platform.restart("work", plain)
    assert await platform.call("schedules.list") == []
    platform.advance(1200)
    assert work.ran.empty()


async def test_a_service_that_is_only_down_keeps_its_schedules(platform: RunningPlatform, work: Work) -> None:
    """It says what it waits for, and can be removed then."""
    await platform.serve(work.service())
    with pytest.raises(errors.BadRequest, match="declared in the code of work"):
        await platform.call("schedules.remove", name="work.tick")
    await platform.stop("work")
    platform.advance(600)
    async with asyncio.timeout(20):
        async for listed in platform.stream("schedules.watch"):
            if listed[0]["trouble"]:
                break
    assert (await schedule(platform)).trouble == "no node of work is there"
    await platform.call("schedules.remove", name="work.tick")
    assert await platform.call("schedules.list") == []
    await platform.serve(work.service())
    assert (await schedule(platform)).next == 1_000_001_200


async def test_a_machine_that_slept_makes_up_for_it_within_a_minute(platform: RunningPlatform, work: Work) -> None:
    await platform.serve(work.service(every="4h"))
    clock(platform).jump(5 * 3600)
    platform.advance(60)
    assert await work.name() == "tick"
    assert (await schedule(platform)).next == 1_000_000_000 + 8 * 3600


async def test_a_clock_that_is_set_back_holds_no_interval_up(platform: RunningPlatform, work: Work) -> None:
    await platform.serve(work.service())
    clock(platform).jump(-86_400)
    platform.advance(60)
    async with asyncio.timeout(20):
        async for listed in platform.stream("schedules.watch"):
            if listed[0]["next"] < 1_000_000_000:
                break
    platform.advance(600)
    assert await work.name() == "tick"


# -- what was missed -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("missed", "outcomes", "counts"),
    [("once", ["done"], [6]), ("skip", ["missed"], [6]), ("all", ["done"] * 6, [1] * 6)],
)
async def test_missed_times_follow_the_policy(
    platform: RunningPlatform, work: Work, missed: str, outcomes: list[str], counts: list[int]
) -> None:
    """Six times pass while no node is there."""
    await platform.serve(work.service(missed=missed))
    await platform.stop("work")
    platform.advance(3700)
    await platform.serve(work.service(missed=missed))
    runs = await until(platform, *outcomes)
    assert [run.count for run in runs] == counts
    assert (await schedule(platform)).next == 1_000_004_200


async def test_a_time_that_has_just_passed_is_not_missed(platform: RunningPlatform, work: Work) -> None:
    await platform.serve(work.service(missed="skip"))
    await platform.stop("work")
    platform.advance(630)
    await platform.serve(work.service(missed="skip"))
    await until(platform, "done")


async def test_of_very_many_missed_times_the_latest_hundred_are_made_up_for(
    platform: RunningPlatform, work: Work
) -> None:
    await platform.serve(work.service(missed="all", every="1m"))
    await platform.stop("work")
    platform.advance(60 * 250)
    await platform.serve(work.service(missed="all", every="1m"))
    ran = [await work.next() for _ in range(100)]
    assert ran == sorted(ran)
    assert ran[-1].endswith("2001-09-09T05:56:40+00:00")
    assert work.ran.empty()


# -- overlap ---------------------------------------------------------------------------------------------------------------


async def test_a_run_that_would_overlap_is_skipped_and_told(platform: RunningPlatform, work: Work) -> None:
    work.gate.clear()
    await platform.serve(work.service())
    platform.advance(600)
    await work.next()
    platform.advance(600)
    runs = await until(platform, "skipped", "running")
    assert runs[0].error == "the run before has not ended"
    work.gate.set()
    await until(platform, "skipped", "done")


async def test_runs_queue_where_that_is_declared(platform: RunningPlatform, work: Work) -> None:
    work.gate.clear()
    await platform.serve(work.service(overlap="queue"))
    platform.advance(600)
    await work.next()
    for number in (1, 2):
        platform.advance(600)
        await until(platform, *["waiting"] * number, "running")
    assert work.ran.empty()
    work.gate.set()
    ran = [await work.next() for _ in range(2)]
    assert ran == sorted(ran)
    await until(platform, "done", "done", "done")


async def test_runs_stand_side_by_side_where_that_is_declared(platform: RunningPlatform, work: Work) -> None:
    work.gate.clear()
    await platform.serve(work.service(overlap="allow"))
    for _ in range(3):
        platform.advance(600)
        await work.next()
    assert (await schedule(platform)).running == 3
    work.gate.set()
    await until(platform, "done", "done", "done")


# -- failure ---------------------------------------------------------------------------------------------------------------


async def test_a_run_that_fails_is_told_and_tried_again_as_declared(platform: RunningPlatform, work: Work) -> None:
    work.fails = 2
    await platform.serve(work.service(retries=2, backoff="30s"))
    platform.advance(600)
    runs = await until(platform, "waiting")
    assert (runs[0].error, runs[0].next_try) == ("not today", 1_000_000_630)
    platform.advance(30)
    await work.next()
    await work.next()
    runs = await until(platform, "waiting")
    assert (runs[0].attempt, runs[0].next_try) == (2, 1_000_000_690)
    platform.advance(60)
    runs = await until(platform, "done")
    assert (runs[0].attempt, runs[0].error) == (3, "")


async def test_a_clock_that_is_set_back_holds_no_further_try_up(platform: RunningPlatform, work: Work) -> None:
    work.fails = 1
    await platform.serve(work.service(retries=1, backoff="30s"))
    await platform.call("schedules.pause", name="work.tick")
    await platform.call("schedules.run", name="work.tick")
    await until(platform, "waiting")
    clock(platform).jump(-86_400)
    platform.advance(30)
    platform.advance(30)
    await until(platform, "done")


async def test_a_run_without_retries_fails_once(platform: RunningPlatform, work: Work) -> None:
    work.fails = 1
    await platform.serve(work.service())
    platform.advance(600)
    (run,) = await until(platform, "failed")
    assert (run.error, run.attempt) == ("not today", 1)
    last = (await schedule(platform)).last
    assert last is not None
    assert last.outcome is Outcome.FAILED


async def test_a_run_that_takes_too_long_fails(platform: RunningPlatform, work: Work) -> None:
    work.gate.clear()
    await platform.serve(work.service(timeout=0.05))
    platform.advance(600)
    (run,) = await until(platform, "failed")
    assert "time" in run.error


async def test_a_node_that_dies_in_a_run_interrupts_it(platform: RunningPlatform, work: Work) -> None:
    """Whether it has done its work cannot be known, so it is not done again, but told."""
    work.gate.clear()
    await platform.serve(work.service(retries=5))
    platform.advance(600)
    await work.next()
    await platform.kill("work")
    (run,) = await until(platform, "interrupted")
    assert run.attempt == 1
    assert work.ran.empty()


async def test_an_idempotent_run_that_was_interrupted_is_run_again(platform: RunningPlatform, work: Work) -> None:
    work.gate.clear()
    await platform.serve(work.service(idempotent=True))
    platform.advance(600)
    await work.next()
    await platform.kill("work")
    work.gate.set()
    await platform.serve(work.service(idempotent=True))
    await until(platform, "done")
    assert await work.name() == "tick"


# -- by people -------------------------------------------------------------------------------------------------------------


async def test_run_now_runs_now_and_leaves_the_times_as_they_are(platform: RunningPlatform, work: Work) -> None:
    await platform.serve(work.service())
    await platform.call("schedules.pause", name="work.tick")
    run = msgspec.convert(await platform.call("schedules.run", name="work.tick", wait=True), Run)
    assert (run.outcome, run.by, run.attempt) == (Outcome.DONE, "admin", 1)
    await platform.call("schedules.resume", name="work.tick")
    assert (await schedule(platform)).next == 1_000_000_600


async def test_run_now_is_refused_where_runs_may_not_overlap(platform: RunningPlatform, work: Work) -> None:
    work.gate.clear()
    await platform.serve(work.service())
    await platform.call("schedules.run", name="work.tick")
    with pytest.raises(errors.Conflict, match="the run before has not ended"):
        await platform.call("schedules.run", name="work.tick")
    work.gate.set()
    await platform.stop("work")
    with pytest.raises(errors.ServiceUnavailable, match="no node of work"):
        await platform.call("schedules.run", name="work.tick")


async def test_of_many_who_ask_at_once_one_runs_it(platform: RunningPlatform, work: Work) -> None:
    work.gate.clear()
    await platform.serve(work.service())
    asked = [platform.call("schedules.run", name="work.tick") for _ in range(20)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(not isinstance(answer, errors.Conflict) for answer in answers) == 1


async def test_times_pass_while_a_schedule_is_paused(platform: RunningPlatform, work: Work) -> None:
    await platform.serve(work.service(missed="all"))
    await platform.call("schedules.pause", name="work.tick")
    platform.advance(1500)
    assert (await schedule(platform)).next == 0
    await platform.call("schedules.resume", name="work.tick")
    assert (await schedule(platform)).next == 1_000_001_800
    assert work.ran.empty()


async def test_the_history_keeps_the_last_hundred(platform: RunningPlatform, work: Work) -> None:
    await platform.serve(work.service())
    for _ in range(KEPT_RUNS + 40):
        await platform.call("schedules.run", name="work.tick", wait=True)
        platform.advance(0.001)
    runs = await history(platform, limit=1000)
    assert KEPT_RUNS <= len(runs) < KEPT_RUNS + 20
    clock(platform).jump(31 * 86_400)
    assert await history(platform, limit=1000) == []


async def test_pages_of_list_and_history_follow_each_other(platform: RunningPlatform, work: Work) -> None:
    await platform.serve(work.service())
    for number in range(5):
        await platform.call("schedules.add", schedule={"target": "work.once", "id": f"n{number}", "every": 60.0})
        await platform.call("schedules.run", name="work.tick", wait=True)
        platform.advance(1)
    names = [one["name"] for one in await platform.call("schedules.list", prefix="n", limit=3)]
    names += [one["name"] for one in await platform.call("schedules.list", prefix="n", limit=3, after=names[-1])]
    assert names == [f"n{number}" for number in range(5)]
    whole = [run.id for run in await history(platform)]
    page = await platform.call("schedules.history", name="work.tick", limit=2, before=whole[1])
    assert [run["id"] for run in page] == whole[2:4]


# -- single calls, and schedules that are added ----------------------------------------------------------------------------


async def test_a_call_is_made_once_at_its_time(platform: RunningPlatform, work: Work) -> None:
    await platform.serve(work.service())
    await platform.call(
        "schedules.add", schedule={"target": "work.once", "id": "x", "request": {"id": 7}, "delay": 60.0}
    )
    platform.advance(59)
    assert work.ran.empty()
    platform.advance(1)
    assert await work.name() == "once-7"
    await until(platform, "done", name="x")
    assert [one["name"] for one in await platform.call("schedules.list")] == ["work.tick"]
    assert [run["schedule"] for run in await platform.call("schedules.history")] == ["x"]


async def test_a_handler_schedules_and_cancels_by_names_of_its_own(platform: RunningPlatform, work: Work) -> None:
    """Two services use one name without meeting."""
    shops = []
    for name in ("north", "south"):
        shop = Service(name)

        @shop.endpoint
        async def order(ctx: Context, id: int) -> str:
            return await ctx.schedules.call("work.once", {"id": id}, delay="1m", id="expire", replace=True)

        @shop.endpoint
        async def pay(ctx: Context) -> bool:
            return await ctx.schedules.cancel("expire")

        @shop.endpoint
        def pay_in_a_thread(ctx: Context) -> bool:
            return bool(ctx.sync.schedules.cancel("expire"))

        shops.append(shop)
        await platform.serve(shop)
    await platform.serve(work.service())
    assert await platform.call("north.order", id=1) == "north:expire"
    assert await platform.call("south.order", id=2) == "south:expire"
    assert await platform.call("south.order", id=3) == "south:expire"
    assert await platform.call("north.pay") is True
    assert await platform.call("north.pay") is False
    platform.advance(60)
    assert await work.name() == "once-3"
    assert work.ran.empty()
    await platform.call("north.order", id=4)
    assert await platform.call("north.pay-in-a-thread") is True


async def test_of_two_who_cancel_at_once_one_hears_that_there_was_something(platform: RunningPlatform) -> None:
    """And nobody an error: the call may also be made in that moment."""
    for number in range(20):
        schedule = {"target": "work.once", "id": "x", "request": {"id": number}, "delay": 60.0}
        await platform.call("schedules.add", schedule=schedule)
        canceled = await asyncio.gather(*(platform.call("schedules.cancel", id="x") for _ in range(3)))
        assert sorted(canceled) == [False, False, True]


async def test_a_call_waits_for_its_service(platform: RunningPlatform, work: Work) -> None:
    """However late: a single call is never left out."""
    await platform.call("schedules.add", schedule={"target": "work.once", "request": {"id": 1}, "delay": 60.0})
    platform.advance(100_000)
    await platform.serve(work.service())
    assert await work.name() == "once-1"


async def test_a_single_call_can_be_made_now(platform: RunningPlatform, work: Work) -> None:
    await platform.serve(work.service())
    await platform.call("schedules.add", schedule={"target": "work.once", "id": "x", "delay": 60.0})
    await platform.call("schedules.run", name="x", wait=True)
    platform.advance(100)
    with pytest.raises(errors.NotFound):
        await platform.call("schedules.get", name="x")
    assert work.ran.qsize() == 1


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"every": 60.0, "delay": 1.0}, errors.BadRequest, "exactly one of"),
        ({}, errors.BadRequest, "exactly one of"),
        ({"every": 0.5}, errors.BadRequest, "every: 0.5 is not between 1 seconds"),
        ({"cron": "0 25 * * *"}, errors.BadRequest, "'25' in '0 25 \\* \\* \\*' is no hour"),
        ({"cron": "0 6 30 2 *"}, errors.BadRequest, "cannot be"),
        ({"cron": "0 6 * * *", "zone": "Europe/Berlim"}, errors.BadRequest, "did you mean"),
        ({"delay": -1.0}, errors.BadRequest, "from now on"),
        ({"every": 60.0, "id": "a.b"}, errors.BadRequest, "no name for a schedule"),
        ({"every": 60.0, "target": "work.onze"}, errors.EndpointNotFound, 'did you mean "once"'),
        ({"every": 60.0, "target": "work.flow"}, errors.BadRequest, "streams"),
        ({"every": 60.0, "request": {"id": "x" * 70_000}}, errors.PayloadTooLarge, "keep them in the store"),
        ({"every": 60.0, "id": "taken"}, errors.Conflict, "there is a schedule 'taken' already"),
    ],
)
async def test_what_cannot_be_scheduled_is_refused(
    platform: RunningPlatform, work: Work, change: dict[str, Any], error: type[errors.Error], says: str
) -> None:
    service = work.service()

    @service.endpoint
    async def flow() -> AsyncIterator[int]:
        yield 1

    await platform.serve(service)
    await platform.call("schedules.add", schedule={"target": "work.once", "id": "taken", "every": 60.0})
    with pytest.raises(error, match=says):
        await platform.call("schedules.add", schedule={"target": "work.once", **change})


async def test_a_schedule_calls_with_the_rights_of_who_added_it(platform: RunningPlatform) -> None:
    """An admin's may operate the platform; in a transaction of somebody else's it may not."""
    await platform.call("schedules.add", schedule={"target": "runtime.status", "id": "mine", "every": 60.0})
    run = await platform.call("schedules.run", name="mine", wait=True)
    assert run["outcome"] == "done"


async def test_namespaces_do_not_see_each_other(platform: RunningPlatform, work: Work) -> None:
    await platform.serve(work.service(), namespace="blue")
    assert await platform.call("schedules.list") == []
    blue = platform.options(namespace="blue")
    assert [one["name"] for one in await blue.call("schedules.list")] == ["work.tick"]
    platform.advance(600)
    await work.next()
