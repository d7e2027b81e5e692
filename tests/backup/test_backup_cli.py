"""`microlite backup` and `microlite restore`: whole or not at all, and nothing is written over."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import re
import signal
import sqlite3
import stat
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from microlite.cli import backup as backup_command
from microlite.core.backup.api import Chunk, Part
from microlite.core.clock import ManualClock
from microlite.core.engine.api import Append, Batch, Operation, Put
from microlite.core.engine.integrity import Health
from microlite.core.engine.migrations import FOLDER, newest_version
from microlite.core.engine.sqlite import SQLiteEngine
from microlite.core.settings import CONFIG_KEYS, DATABASE
from microlite.testing import RunningPlatform
from tests.backup.conftest import Microlite
from tests.engine.test_engine_faults import damage


async def fill(engine: SQLiteEngine) -> int:
    operations: tuple[Operation, ...] = (
        *(Put("b", f"k{number}", os.urandom(20_000)) for number in range(100)),
        Append("s", b"entry"),
    )
    return (await engine.commit(Batch("default", operations))).revision


async def make_home(home: Path) -> None:
    """A home in which a platform has run, and runs no more."""
    home.mkdir(mode=0o700)
    async with SQLiteEngine(home / DATABASE, ManualClock()) as engine:
        await fill(engine)


async def is_same(database: Path, engine: SQLiteEngine) -> bool:
    async with SQLiteEngine(database, ManualClock()) as restored:
        for number in range(100):
            assert await restored.get("default", "b", f"k{number}") == await engine.get("default", "b", f"k{number}")
        return await restored.read("default", "s") == await engine.read("default", "s")


async def test_a_running_platform_is_backed_up_and_restored_into_another_home(
    microlite: Microlite, p: RunningPlatform, engine: SQLiteEngine, tmp_path: Path
) -> None:
    revision = await fill(engine)
    file = tmp_path / "a.db"
    assert await microlite("backup", file, home=p.home) == (0, b"", "")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["a.db"]
    assert await microlite("restore", file) == (0, b"", "")
    assert stat.S_IMODE((tmp_path / "home" / DATABASE).stat().st_mode) == 0o600
    assert await is_same(tmp_path / "home" / DATABASE, engine)
    said = await microlite("restore", file, "--output", "json", home=tmp_path / "second")
    done = json.loads(said.out)
    assert (done["revision"], done["version"], done["keys"]) == (revision + 1, newest_version(), False)
    assert done["size"] == file.stat().st_size


async def test_the_document_of_a_backup_says_what_it_is(
    microlite: Microlite, p: RunningPlatform, engine: SQLiteEngine, tmp_path: Path
) -> None:
    revision = await fill(engine)
    said = await microlite("backup", tmp_path / "a.db", "--output", "json", home=p.home)
    done = json.loads(said.out)
    assert (done["file"], done["keys"], done["revision"]) == (str(tmp_path / "a.db"), "", revision + 1)
    assert done["size"] == (tmp_path / "a.db").stat().st_size
    assert done["log_growth"] >= 0


async def test_without_a_name_it_has_that_of_the_time(
    microlite: Microlite, p: RunningPlatform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert (await microlite("backup", home=p.home)).code == 0
    (file,) = tmp_path.iterdir()
    assert re.fullmatch(r"microlite-\d{8}-\d{6}\.db", file.name)


async def test_standard_output_and_input_carry_it_too(
    microlite: Microlite, p: RunningPlatform, engine: SQLiteEngine, tmp_path: Path
) -> None:
    await fill(engine)
    said = await microlite("backup", "-", home=p.home)
    assert (said.code, said.err) == (0, "")
    assert await microlite("restore", "-", stdin=said.out) == (0, b"", "")
    assert await is_same(tmp_path / "home" / DATABASE, engine)
    for words, word in ((("--with-keys",), "second file"), (("--output", "json"), "either the backup or a document")):
        refused = await microlite("backup", "-", *words, home=p.home)
        assert (refused.code, refused.out) == (2, b"")
        assert word in refused.err


async def test_a_home_on_which_nothing_runs_is_backed_up_as_well(microlite: Microlite, tmp_path: Path) -> None:
    home = tmp_path / "old"
    await make_home(home)
    assert await microlite("backup", tmp_path / "a.db", home=home) == (0, b"", "")
    assert sorted(one.name for one in home.iterdir()) == [DATABASE, f"{DATABASE}.lock"]
    assert (await microlite("restore", tmp_path / "a.db")).code == 0
    async with SQLiteEngine(home / DATABASE, ManualClock()) as engine:
        assert await is_same(tmp_path / "home" / DATABASE, engine)


async def test_where_there_is_nothing_that_is_said(microlite: Microlite, tmp_path: Path) -> None:
    said = await microlite("backup", tmp_path / "a.db")
    assert (said.code, said.out) == (4, b"")
    assert "no platform has ever run at" in said.err
    assert not list(tmp_path.iterdir())


async def test_a_file_that_is_there_is_written_over_only_when_asked(
    microlite: Microlite, p: RunningPlatform, tmp_path: Path
) -> None:
    file = tmp_path / "a.db"
    file.write_bytes(b"precious")
    said = await microlite("backup", file, home=p.home)
    assert said.code == 1
    assert f"{file} is there already" in said.err
    assert file.read_bytes() == b"precious"
    assert (await microlite("backup", file, "--force", home=p.home)).code == 0
    assert file.read_bytes().startswith(b"SQLite")


async def test_a_backup_that_breaks_off_leaves_no_file(
    microlite: Microlite,
    p: RunningPlatform,
    engine: SQLiteEngine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await fill(engine)
    whole = backup_command._parts

    def cut(*arguments: object) -> object:
        for part in whole(*arguments):  # type: ignore[arg-type]
            yield part
            if isinstance(part, Chunk):
                raise OSError(5, "the line is dead")

    def shortened(*arguments: object) -> object:
        seen: list[Part] = list(whole(*arguments))  # type: ignore[arg-type]
        del seen[next(place for place, part in enumerate(seen) if isinstance(part, Chunk))]
        yield from seen

    for fault, word in ((cut, "the line is dead"), (shortened, "changed or cut short")):
        monkeypatch.setattr(backup_command, "_parts", fault)
        (tmp_path / "a.db").write_bytes(b"the one before")
        said = await microlite("backup", tmp_path / "a.db", "--force", home=p.home)
        assert said.code == 1
        assert word in said.err.lower()
        assert [one.name for one in tmp_path.iterdir()] == ["a.db"]
        assert (tmp_path / "a.db").read_bytes() == b"the one before"


async def test_keys_come_in_a_file_of_their_own_when_asked_for(
    microlite: Microlite, p: RunningPlatform, tmp_path: Path
) -> None:
    (p.home / CONFIG_KEYS).write_bytes(b"{}")
    assert (await microlite("backup", tmp_path / "a.db", "--with-keys", home=p.home)).code == 0
    keys = tmp_path / "a.db.keys"
    assert keys.read_bytes() == b"{}"
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    assert (await microlite("restore", tmp_path / "a.db")).code == 0
    restored = tmp_path / "home" / CONFIG_KEYS
    assert restored.read_bytes() == b"{}"
    assert stat.S_IMODE(restored.stat().st_mode) == 0o600
    # Keys that are there are not written over, and then nothing is restored either.
    other = tmp_path / "other"
    other.mkdir()
    (other / CONFIG_KEYS).write_bytes(b"others")
    said = await microlite("restore", tmp_path / "a.db", home=other)
    assert said.code != 0
    assert "there already" in said.err
    assert not (other / DATABASE).exists()


async def test_nothing_is_restored_over_a_database_or_under_a_platform(
    microlite: Microlite, p: RunningPlatform, engine: SQLiteEngine, tmp_path: Path
) -> None:
    await fill(engine)
    file = tmp_path / "a.db"
    await microlite("backup", file, home=p.home)
    said = await microlite("restore", file, home=p.home)
    assert said.code != 0
    assert f"a platform runs on {p.home}" in said.err.lower()
    await microlite("restore", file)
    before = (tmp_path / "home" / DATABASE).read_bytes()
    said = await microlite("restore", file)
    assert said.code != 0
    assert "there already" in said.err
    assert (tmp_path / "home" / DATABASE).read_bytes() == before
    leftover = tmp_path / "third"
    leftover.mkdir()
    (leftover / f"{DATABASE}-wal").write_bytes(b"of another database")
    said = await microlite("restore", file, home=leftover)
    assert f"{DATABASE}-wal is there already" in said.err


def flip(path: Path) -> None:
    damage(path)


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def change(statement: str) -> object:
    def apply(path: Path) -> None:
        connection = sqlite3.connect(path)
        connection.executescript(statement)
        connection.close()

    return apply


@pytest.mark.parametrize(
    ("harm", "word"),
    [
        (flip, "damaged or cut short"),
        (cut_short, "damaged or cut short"),
        (lambda path: path.write_bytes(b"just some text\n" * 1_000), "not even a database"),
        (lambda path: path.write_bytes(b""), "not even a database"),
        (change("PRAGMA user_version = 99"), "newer microlite"),
        (change("PRAGMA application_id = 7"), "another program"),
        (change("DROP TABLE entries"), "lacks table entries"),
        (change("DROP INDEX records_by_key"), "lacks index records_by_key"),
    ],
    ids=["flipped", "cut", "text", "empty", "newer", "foreign", "table", "index"],
)
async def test_what_is_no_sound_backup_of_ours_is_refused_and_the_home_stays_empty(
    microlite: Microlite, tmp_path: Path, harm: object, word: str
) -> None:
    await make_home(tmp_path / "old")
    file = tmp_path / "a.db"
    await microlite("backup", file, home=tmp_path / "old")
    assert callable(harm)
    harm(file)
    for words, stdin in ((("restore", file), b""), (("restore", "-"), file.read_bytes())):
        said = await microlite(*words, stdin=stdin)
        assert said.code == 1
        assert word in said.err
        assert ("Standard input" if words[1] == "-" else str(file)) in said.err
        assert said.err.count("\n") == 1
        assert [one.name for one in (tmp_path / "home").iterdir()] == [f"{DATABASE}.lock"]


async def test_an_older_backup_is_brought_up_to_date_by_the_first_start(microlite: Microlite, tmp_path: Path) -> None:
    file = tmp_path / "old.db"
    connection = sqlite3.connect(file)
    connection.executescript((FOLDER / "0001_records.sql").read_text())
    connection.executescript("PRAGMA user_version = 1; PRAGMA application_id = 0x6D6C6974")
    connection.close()
    said = await microlite("restore", file, "--output", "json")
    assert json.loads(said.out)["version"] == 1
    async with SQLiteEngine(tmp_path / "home" / DATABASE, ManualClock()) as engine:
        assert (await engine.commit(Batch("default", (Append("s", b""),)))).positions == (1,)
        assert (await engine.health()).version == newest_version()


async def test_a_file_that_is_in_use_is_no_backup(microlite: Microlite, tmp_path: Path) -> None:
    home = tmp_path / "old"
    home.mkdir()
    async with SQLiteEngine(home / DATABASE, ManualClock()) as engine:
        await fill(engine)
        said = await microlite("restore", home / DATABASE)
    assert said.code == 1
    assert "in use" in said.err


async def test_a_damaged_home_on_which_nothing_runs_gives_no_backup(microlite: Microlite, tmp_path: Path) -> None:
    home = tmp_path / "old"
    await make_home(home)
    damage(home / DATABASE)
    said = await microlite("backup", tmp_path / "a.db", home=home)
    assert said.code != 0
    assert "damaged" in said.err
    assert [one.name for one in tmp_path.iterdir()] == ["old"]
    assert sorted(one.name for one in home.iterdir()) == [DATABASE, f"{DATABASE}.lock"]


async def test_a_folder_that_cannot_be_written_is_named(
    microlite: Microlite, p: RunningPlatform, tmp_path: Path
) -> None:
    said = await microlite("backup", tmp_path / "none" / "a.db", home=p.home)
    assert said.code == 1
    assert str(tmp_path / "none") in said.err
    assert "There is no folder" in said.err


def test_a_terminal_sees_how_far_it_is(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from microlite.cli.percent import Percent

    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    percent = Percent()
    percent.show("copying", 1_000_000, 4_000_000)
    percent.show("copying", 1_100_000, 4_000_000)  # too soon for another line
    now = 1.0
    percent.show("copying", 3_000_000, 4_000_000)
    percent.show("checking", 0, 0)
    percent.end("done")
    said = capsys.readouterr().err.replace("\r\x1b[K", "|")
    assert said == "|copying    25 %  1.0 of 4.0 MB|copying    75 %  3.0 of 4.0 MB|checking  0.0 MB|done\n"


async def test_doctor_has_a_running_platform_look_and_says_how_to_mend(
    microlite: Microlite, p: RunningPlatform, engine: SQLiteEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MICROLITE_CACHE", str(tmp_path / "cache"))
    await fill(engine)

    async def database() -> dict[str, str]:
        said = await microlite("doctor", "--output", "json", home=p.home)
        return next(one for one in json.loads(said.out) if one["check"] == "database")

    found = await database()
    assert found["verdict"] == "ok"
    assert "looked through while it is in use" in found["detail"]

    async def damaged(*, full: bool = False) -> Health:
        return Health(problems=("Tree 4 page 7: it is torn",), size=1, free=0, version=2, revision=1)

    monkeypatch.setattr(engine, "health", damaged)
    found = await database()
    assert found["verdict"] == "broken"
    assert "Tree 4 page 7: it is torn" in found["detail"]
    assert found["mend"].startswith(f"kill {os.getpid()} && mkdir -p {p.home}/damaged && mv {p.home}/{DATABASE}*")
    assert found["mend"].endswith("microlite restore BACKUP")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_backup_that_is_ended_by_a_signal_leaves_nothing(tmp_path: Path, number: int) -> None:
    home, target = tmp_path / "old", tmp_path / "target"
    home.mkdir(mode=0o700)
    target.mkdir()
    async with SQLiteEngine(home / DATABASE, ManualClock()) as engine:
        for key in range(48):
            await engine.commit(Batch("default", (Put("b", f"k{key}", os.urandom(1 << 20)),)))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "microlite", "--home", home, "backup", target / "a.db"), env=environment
    )
    while not list(home.glob("*.copy-*")):
        assert process.returncode is None, "it was done before it could be ended"
        await asyncio.sleep(0.0005)
    process.send_signal(number)
    assert await process.wait() == 128 + number
    assert list(target.iterdir()) == []
    assert sorted(one.name for one in home.iterdir()) == [DATABASE, f"{DATABASE}.lock"]


async def test_a_full_disk_is_said_in_one_line_and_nothing_is_left(
    microlite: Microlite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "old"
    await make_home(home)
    file = tmp_path / "a.db"
    await microlite("backup", file, home=home)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    said = await microlite("restore", file)
    assert (said.code, said.err.count("\n")) == (1, 1)
    assert f"not enough room in {tmp_path / 'home'}" in said.err
    assert [one.name for one in (tmp_path / "home").iterdir()] == [f"{DATABASE}.lock"]
    said = await microlite("backup", tmp_path / "b.db", home=home)
    assert (said.code, said.err.count("\n")) == (1, 1)
    assert "No space left on device" in said.err
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.db", "home", "old"]
    assert sorted(one.name for one in home.iterdir()) == [DATABASE, f"{DATABASE}.lock"]


async def test_a_pipe_that_takes_nothing_more_ends_it(tmp_path: Path) -> None:
    home = tmp_path / "old"
    await make_home(home)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    nowhere = os.open("/dev/full", os.O_WRONLY)
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "microlite", "--home", home, "backup", "-"),
            env=environment,
            stdout=nowhere,
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await process.communicate()
    finally:
        os.close(nowhere)
    assert (process.returncode, said) == (1, b"No space left on device\n")
    assert sorted(one.name for one in home.iterdir()) == [DATABASE, f"{DATABASE}.lock"]


async def test_a_restored_home_runs_with_all_that_was_in_it(tmp_path: Path) -> None:
    """As a user does it: a platform with a detached program, a backup, another home, another platform."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "NO_COLOR": "1"}

    async def microlite(home: str, *words: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "microlite", "--home", str(tmp_path / home), *words),
            env=environment,
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await process.communicate()
        assert process.returncode == 0
        return said.decode()

    @contextlib.asynccontextmanager
    async def platform_on(home: str) -> AsyncIterator[None]:
        ours, theirs = os.pipe()
        server = ("server", "--port", "0", "--no-dashboard", "--ready-fd", str(theirs))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "microlite", "--home", str(tmp_path / home), *server),
            env=environment,
            pass_fds=(theirs,),
            stdout=asyncio.subprocess.DEVNULL,
        )
        os.close(theirs)
        try:
            with os.fdopen(ours) as said:
                assert await asyncio.to_thread(said.read) == "ready"
            yield
        finally:
            process.terminate()
            await process.wait()

    code = 'from microlite import Service\n\nshop = Service("shop")\n\n\n@shop.endpoint\nasync def hello() -> str:\n'
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "main.py").write_text(f'{code}    return "here"\n\n\nif __name__ == "__main__":\n    shop.run()\n')
    async with platform_on("one"):
        await microlite("one", "run", "--detach", str(folder))
        await microlite("one", "backup", str(tmp_path / "a.db"))
    await microlite("two", "restore", str(tmp_path / "a.db"))
    async with platform_on("two"):
        assert await microlite("two", "call", "shop.hello") == '"here"\n'
