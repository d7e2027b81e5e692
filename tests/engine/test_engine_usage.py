"""What a namespace holds is counted with each commit, held to its quota, and can be dropped as a whole."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import apsw
import pytest

from microlite.core import errors
from microlite.core.clock import ManualClock
from microlite.core.engine.api import (
    Append,
    Batch,
    ChangeKind,
    Delete,
    Engine,
    Operation,
    Presence,
    Put,
    Quota,
    Usage,
)
from microlite.core.engine.migrations import FOLDER, migrate
from microlite.core.engine.sqlite import SQLiteEngine
from tests.engine.engine_parts import Faults, OpenEngine, commit


async def until_swept(engine: Engine, expected: Usage, namespace: str = "default") -> None:
    """Upkeep comes between writes: wait until it has done its part."""
    async with asyncio.timeout(10):
        while engine.usage(namespace) != expected:
            await asyncio.sleep(0.001)


async def test_records_and_bytes_are_counted(open_engine: OpenEngine) -> None:
    """Put, overwritten, deleted and appended: the numbers are those of what is there."""
    async with open_engine() as engine:
        assert engine.usage("default") == Usage()
        await commit(engine, Put("b", "x", b"123"), Put("b", "y", b"45"), Append("s", b"6789"))
        assert engine.usage("default") == Usage(2, 9)
        await commit(engine, Put("b", "x", b"1"), Delete("b", "y"), Delete("b", "never"))
        assert engine.usage("default") == Usage(1, 5)
        assert engine.used_namespaces() == ("default",)
    async with open_engine() as engine:
        assert engine.usage("default") == Usage(1, 5)


async def test_batches_that_are_committed_together_count_each_on_what_those_before_left(
    open_engine: OpenEngine,
) -> None:
    """Sixty writes of one turn go to disk at once, and some of them undo what others did."""
    chance = random.Random(7)
    async with open_engine() as engine:
        model: dict[str, bytes] = {}
        for _ in range(20):
            writes: list[Operation] = []
            for _ in range(60):
                key = f"k{chance.randrange(20)}"
                if chance.random() < 0.3:
                    model.pop(key, None)
                    writes.append(Delete("b", key))
                else:
                    model[key] = bytes(chance.randrange(50))
                    writes.append(Put("b", key, model[key]))
            await asyncio.gather(*(engine.commit(Batch("default", (write,))) for write in writes))
            assert engine.usage("default") == Usage(len(model), sum(map(len, model.values())))


async def test_a_refused_batch_counts_nothing(open_engine: OpenEngine) -> None:
    """A precondition that does not hold leaves the numbers as they were, of the others of its commit too."""
    async with open_engine() as engine:
        await commit(engine, Put("b", "x", b"1"))
        outcomes = await asyncio.gather(
            engine.commit(Batch("default", (Put("b", "x", b"12345", expect=Presence.ABSENT), Append("s", b"1")))),
            engine.commit(Batch("default", (Put("b", "y", b"12"),))),
            return_exceptions=True,
        )
        assert isinstance(outcomes[0], errors.Conflict)
        assert engine.usage("default") == Usage(2, 3)


async def test_what_expires_and_what_is_trimmed_counts_no_more(open_engine: OpenEngine, clock: ManualClock) -> None:
    """As soon as it is off the disk; a record that is written over after its time counts once."""
    async with open_engine() as engine:
        await commit(engine, Put("b", "x", b"123", expires_at=clock.now() + 1), Put("b", "y", b"1"))
        await commit(engine, *(Append("s", b"12345") for _ in range(10)))
        assert engine.usage("default") == Usage(2, 54)
        clock.advance(2)
        await until_swept(engine, Usage(1, 51))
        await engine.trim("default", "s", 4)
        await until_swept(engine, Usage(1, 31))
        await engine.drop_stream("default", "s")
        await until_swept(engine, Usage(1, 1))


async def test_a_batch_within_quota_is_refused_when_it_would_go_beyond(open_engine: OpenEngine) -> None:
    """Exactly at the limit is fine; one more says what is used and what to do, and what only shrinks always works."""
    async with open_engine() as engine:
        engine.set_quota("shop", Quota(records=2))

        async def put(key: str, value: bytes = b"1", *, within: bool = True) -> None:
            await engine.commit(Batch("shop", (Put("b", key, value),), within_quota=within))

        await put("x")
        await put("y")
        with pytest.raises(errors.InsufficientStorage, match=r"holds 2 of at most 2 records.*--max-records") as caught:
            await put("z")
        assert '"shop"' in str(caught.value)
        await put("y", b"12345")  # no further record
        await put("z", within=False)  # the platform's own
        await engine.commit(Batch("shop", (Delete("b", "x"),), within_quota=True))
        with pytest.raises(errors.InsufficientStorage):
            await put("x")
        engine.set_quota("shop", Quota(bytes=6))
        with pytest.raises(errors.InsufficientStorage, match="holds 6 of at most 6 bytes"):
            await put("y", b"123456")
        with pytest.raises(errors.InsufficientStorage):
            await engine.commit(Batch("shop", (Append("s", b"1"),), within_quota=True))
        await put("y", b"1")
        engine.set_quota("shop", Quota())
        await put("w", bytes(100))
        await engine.commit(Batch("other", (Put("b", "k", bytes(100)),), within_quota=True))


async def test_writers_at_the_same_time_do_not_get_beyond_a_quota_together(open_engine: OpenEngine) -> None:
    """Of a hundred that come in one turn exactly as many get through as there is room for."""
    async with open_engine() as engine:
        engine.set_quota("default", Quota(records=10))
        outcomes = await asyncio.gather(
            *(engine.commit(Batch("default", (Put("b", str(n), b"1"),), within_quota=True)) for n in range(100)),
            return_exceptions=True,
        )
        assert sum(isinstance(outcome, errors.InsufficientStorage) for outcome in outcomes) == 90
        assert engine.usage("default") == Usage(10, 10)


async def test_a_dropped_namespace_holds_nothing(open_engine: OpenEngine) -> None:
    """Records of all buckets and entries of all streams go, watchers see it, and other namespaces stay as they are."""
    async with open_engine() as engine:
        for namespace in ("shop", "other"):
            for bucket in ("a", "b"):
                for start in range(0, 1500, 500):
                    puts = tuple(Put(bucket, f"{n:04}", b"v" * 100) for n in range(start, start + 500))
                    await engine.commit(Batch(namespace, puts))
            await engine.commit(Batch(namespace, tuple(Append(f"s{n % 3}", b"e" * 10) for n in range(900))))
        async with engine.watch("shop", "a", prefix="0001") as watch:
            await engine.drop_namespace("shop")
            change = await anext(watch)
            assert getattr(change, "kind", None) is ChangeKind.EXPIRE
        assert engine.usage("shop") == Usage()
        assert engine.used_namespaces() == ("other",)
        assert await engine.buckets("shop") == ()
        assert await engine.streams("shop") == ()
        assert (await engine.stream_state("shop", "s1")).count == 0
        assert engine.usage("other") == Usage(3000, 309_000)
        assert await engine.streams("other") == ("s0", "s1", "s2")
    async with open_engine() as engine:
        assert engine.used_namespaces() == ("other",)


async def test_a_namespace_takes_no_commits_while_it_is_dropped_and_all_after(open_engine: OpenEngine) -> None:
    """What came before goes with it, what comes meanwhile is refused, and what comes later is a new beginning."""
    async with open_engine() as engine:
        before = asyncio.ensure_future(engine.commit(Batch("shop", (Put("b", "x", b"1"), Append("s", b"1")))))
        await asyncio.sleep(0)
        dropping = asyncio.ensure_future(engine.drop_namespace("shop"))
        await asyncio.sleep(0)
        with pytest.raises(errors.NotFound, match="being deleted"):
            await engine.commit(Batch("shop", (Put("b", "y", b"1"),)))
        await engine.drop_namespace("shop")  # a second one waits for the same
        await asyncio.gather(before, dropping)
        assert engine.usage("shop") == Usage()
        committed = await engine.commit(Batch("shop", (Put("b", "x", b"1", expect=Presence.ABSENT), Append("s", b"2"))))
        assert committed.positions == (2,)
        assert [entry.value for entry in (await engine.read("shop", "s")).entries] == [b"2"]
        assert engine.usage("shop") == Usage(1, 2)


async def test_who_follows_a_dropped_namespace_sees_nothing_of_a_later_one(open_engine: OpenEngine) -> None:
    """Watches, tails and subscriptions end, when what they had was read; those in other namespaces go on."""
    async with open_engine() as engine:
        await engine.commit(Batch("shop", (Put("b", "x", b"1"), Append("s", b"1"))))
        watch, other = engine.watch("shop", "b"), engine.watch("other", "b")
        tail, subscription = engine.tail("shop", "s"), engine.subscribe("shop", "t")
        async with watch, other, tail, subscription:
            waiting = [asyncio.ensure_future(anext(subscription)), asyncio.ensure_future(tail.moved(1))]
            await asyncio.sleep(0)
            await engine.drop_namespace("shop")
            for one in waiting:
                with pytest.raises(errors.ServiceUnavailable, match="deleted"):
                    await one
            await engine.commit(Batch("shop", (Put("b", "y", b"2"),)))
            assert getattr(await anext(watch), "key", "") == "x"
            with pytest.raises(errors.ServiceUnavailable, match="deleted"):
                await anext(watch)
            await engine.commit(Batch("other", (Put("b", "z", b"3"),)))
            assert getattr(await anext(other), "key", "") == "z"


async def test_a_drop_that_was_cut_off_can_be_called_again(open_engine: OpenEngine) -> None:
    """The engine closes in between: what is left is counted right, and goes at the second call."""
    async with open_engine() as engine:
        for start in range(0, 20_000, 1000):
            await engine.commit(Batch("shop", tuple(Put("b", f"{n:05}", b"v") for n in range(start, start + 1000))))
        dropping = asyncio.ensure_future(engine.drop_namespace("shop"))
        await asyncio.sleep(0)
    with pytest.raises(errors.ServiceUnavailable):
        await dropping
    async with open_engine() as engine:
        assert engine.usage("shop").records == await engine.count("shop", "b")
        await engine.drop_namespace("shop")
        assert engine.used_namespaces() == ()


async def test_writes_of_others_wait_for_no_more_than_a_slice(open_engine: OpenEngine) -> None:
    """A drop of megabytes of values happens between the writes of a neighbour, which go on."""
    async with open_engine() as engine:
        for n in range(64):
            await engine.commit(Batch("shop", (Put("b", str(n), bytes(1 << 20)),)))
        dropping = asyncio.ensure_future(engine.drop_namespace("shop"))
        written = 0
        while not dropping.done():
            await engine.commit(Batch("other", (Put("b", "k", b"1"),)))
            written += 1
        await dropping
        assert written >= 16  # 2 MiB a slice at most
        assert engine.usage("shop") == Usage()


async def test_a_database_from_before_is_counted_once(tmp_path: Path, clock: ManualClock) -> None:
    """The migration finds what each namespace holds."""
    path = tmp_path / "engine.db"
    async with SQLiteEngine(path, clock) as engine:
        await commit(engine, Put("b", "x", b"123"), Append("s", b"45"), Append("s", b"6"))
        await commit(engine, Put("b", "x", b"12"), namespace="shop")
        await commit(engine, Append("only", b"123"), namespace="log")
    connection = apsw.Connection(str(path))
    connection.execute("DROP TABLE usage; PRAGMA user_version = 2")
    connection.close()
    async with SQLiteEngine(path, clock) as engine:
        assert engine.usage("default") == Usage(1, 6)
        assert engine.usage("shop") == Usage(1, 2)
        assert engine.usage("log") == Usage(0, 3)


def test_the_counts_join_the_schema_by_a_migration_of_their_own(tmp_path: Path) -> None:
    """An older database is brought up without a record in it, too."""
    connection = apsw.Connection(str(tmp_path / "old.db"))
    migrate(connection, "old.db", FOLDER, until=2)
    migrate(connection, "old.db", FOLDER)
    assert connection.execute("SELECT count(*) FROM usage").get == 0
    connection.close()


async def test_a_commit_of_unknown_outcome_leaves_the_counts_as_the_disk_has_them(
    tmp_path: Path, clock: ManualClock, faults: Faults
) -> None:
    """The next commit counts on what is there, whatever became of the doubtful one."""
    async with SQLiteEngine(tmp_path / "engine.db", clock, vfs=faults.name) as engine:
        await commit(engine, Put("b", "x", b"1"))
        faults.sync_error = apsw.IOError("the disk is gone")
        with pytest.raises(errors.Error):
            await commit(engine, Put("b", "y", b"12"))
        faults.sync_error = None
        await commit(engine, Put("b", "z", b"123"))
        page = await engine.scan("default", "b")
        assert engine.usage("default") == Usage(len(page.records), sum(len(record.value) for record in page.records))
