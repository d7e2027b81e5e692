"""Who may open a database, what is refused, and what is left on the disk."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from microlite.core import errors
from microlite.core.clock import ManualClock
from microlite.core.engine import migrations
from microlite.core.engine.lock import Held
from microlite.core.engine.sqlite import SQLiteEngine
from tests.engine.engine_parts import batch, contents, fill

HOLDER = """
import asyncio, sys
from microlite.core.clock import SystemClock
from microlite.core.engine.sqlite import SQLiteEngine

async def main():
    async with SQLiteEngine(sys.argv[1], SystemClock()):
        print("open", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def modes_in(folder: Path) -> dict[str, int]:
    """The files of a folder, with their permissions."""
    return {one.name: stat.S_IMODE(one.stat().st_mode) for one in folder.iterdir()}


async def test_a_second_process_learns_who_holds_the_database_and_gets_in_when_that_one_is_killed(
    tmp_path: Path, clock: ManualClock
) -> None:
    path = tmp_path / "engine.db"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(  # noqa: ASYNC220 - the test has nothing to do until that process speaks
        [sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, env=environment
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"open\n"
        with pytest.raises(Held, match=f"process {holder.pid}") as refusal:
            await SQLiteEngine(path, clock).__aenter__()
        assert refusal.value.pid == holder.pid
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    async with SQLiteEngine(path, clock) as engine:
        await fill(engine, "k")


async def test_one_process_cannot_open_it_twice_and_the_refused_one_does_no_harm(
    tmp_path: Path, clock: ManualClock
) -> None:
    path = tmp_path / "engine.db"
    async with SQLiteEngine(path, clock) as engine:
        with pytest.raises(errors.Conflict, match=str(os.getpid())):
            async with SQLiteEngine(path, clock):
                raise AssertionError("opened twice")
        await fill(engine, "k")
    async with SQLiteEngine(path, clock) as engine:
        assert await contents(engine) == {"k": b"k"}


async def test_files_are_for_their_owner_only(tmp_path: Path, clock: ManualClock) -> None:
    path = tmp_path / "engine.db"
    old = os.umask(0)
    try:
        async with SQLiteEngine(path, clock) as engine:
            await fill(engine, "k")
            modes = modes_in(tmp_path)
    finally:
        os.umask(old)
    assert modes.pop("engine.db-wal") == 0o600
    assert set(modes.values()) == {0o600}
    path.chmod(0o644)
    async with SQLiteEngine(path, clock):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_it_writes_ahead_waits_for_the_disk_and_gives_pages_back(tmp_path: Path, clock: ManualClock) -> None:
    path = tmp_path / "engine.db"
    async with SQLiteEngine(path, clock) as engine:
        connection = engine._writer._ledger.connection
        assert connection is not None
        assert connection.pragma("journal_mode") == "wal"
        assert connection.pragma("synchronous") == 2
        assert connection.pragma("auto_vacuum") == 2
    assert sorted(modes_in(tmp_path)) == ["engine.db", "engine.db.lock"]


async def test_a_database_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path, clock: ManualClock) -> None:
    path = tmp_path / "engine.db"
    async with SQLiteEngine(path, clock) as engine:
        await fill(engine, "k")
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    content = path.read_bytes()
    with pytest.raises(errors.PreconditionFailed, match=r"newer microlite.*99"):
        await SQLiteEngine(path, clock).__aenter__()
    assert path.read_bytes() == content
    with pytest.raises(errors.PreconditionFailed):  # and the lock is free again
        await SQLiteEngine(path, clock).__aenter__()


async def test_an_older_database_is_brought_up_to_date_step_by_step(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "engine.db"
    async with SQLiteEngine(path, clock) as engine:
        await fill(engine, "k")
    steps = shutil.copytree(migrations.FOLDER, tmp_path / "migrations")
    number = len(list(steps.glob("*.sql"))) + 1
    (steps / f"{number:04}_extra.sql").write_text("CREATE TABLE extra (id INTEGER PRIMARY KEY) STRICT;")
    connection = apsw.Connection(str(path))
    migrations.migrate(connection, str(path), steps)
    assert connection.pragma("user_version") == number
    assert connection.execute("SELECT count(*) FROM extra").get == 0
    (steps / f"{number + 1:04}_wrong.sql").write_text(
        "CREATE TABLE half (id INTEGER); CREATE TABLE extra (id INTEGER);"
    )
    with pytest.raises(apsw.SQLError):
        migrations.migrate(connection, str(path), steps)
    assert connection.pragma("user_version") == number
    assert connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'half'").get == 0
    connection.close()


async def test_somebody_elses_file_is_refused_and_left_alone(tmp_path: Path, clock: ManualClock) -> None:
    other = tmp_path / "other.db"
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE theirs (id INTEGER)")
    connection.commit()
    connection.close()
    text = tmp_path / "notes.txt"
    text.write_text("no database at all\n" * 200)
    for path, word in ((other, "another program"), (text, "not a database of microlite")):
        tables = path.read_bytes()[100:]
        with pytest.raises(errors.PreconditionFailed, match=word):
            await SQLiteEngine(path, clock).__aenter__()
        assert path.read_bytes()[100:] == tables


async def test_a_missing_folder_is_one_clear_sentence(tmp_path: Path, clock: ManualClock) -> None:
    with pytest.raises(errors.ServiceUnavailable, match=r"none.*No such file or directory"):
        await SQLiteEngine(tmp_path / "none" / "engine.db", clock).__aenter__()
    (tmp_path / "folder.db").mkdir()
    with pytest.raises(errors.ServiceUnavailable, match=r"folder\.db cannot be opened"):
        await SQLiteEngine(tmp_path / "folder.db", clock).__aenter__()


async def test_a_start_that_was_cut_short_is_begun_again(tmp_path: Path, clock: ManualClock) -> None:
    (tmp_path / "engine.db.new").write_bytes(b"half a database")
    (tmp_path / "engine.db").touch()
    async with SQLiteEngine(tmp_path / "engine.db", clock) as engine:
        await fill(engine, "k")
    assert not (tmp_path / "engine.db.new").exists()


async def test_closing_twice_and_closing_what_was_never_open_do_nothing(tmp_path: Path, clock: ManualClock) -> None:
    engine = SQLiteEngine(tmp_path / "engine.db", clock)
    await engine.close()
    async with SQLiteEngine(tmp_path / "engine.db", clock) as engine:
        await engine.close()
        await engine.close()


async def test_a_long_read_can_be_given_up_and_ends_when_the_engine_closes(tmp_path: Path, clock: ManualClock) -> None:
    path = tmp_path / "engine.db"
    async with SQLiteEngine(path, clock) as engine:
        for start in range(0, 20_000, 1_000):
            await fill(engine, *(f"{number:06d}" for number in range(start, start + 1_000)))
        counting = asyncio.ensure_future(engine.count("default", "b", suffix="none"))
        await asyncio.sleep(0)  # it begins; its answer cannot be here before another turn of the loop
        counting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await counting
        assert await engine.count("default", "b", suffix="00") == 200
        reads = [asyncio.ensure_future(engine.count("default", "b", suffix="x")) for _ in range(20)]
        await engine.commit(batch())
    for outcome in await asyncio.gather(*reads, return_exceptions=True):
        assert outcome == 0 or isinstance(outcome, errors.ServiceUnavailable)
