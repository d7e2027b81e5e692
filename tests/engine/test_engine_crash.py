"""What was acknowledged is there after `kill -9`, and no batch is half there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import apsw

from microlite.core.clock import SystemClock
from microlite.core.engine.sqlite import SQLiteEngine

PROGRAM = Path(__file__).with_name("crash_program.py")
ROUNDS = (1, 400, 1_500)
"""Acknowledgements after which each round is killed."""


def run_and_kill(database: Path, first: int, after: int) -> dict[int, tuple[int, int, int]]:
    """Return the last number, revision and position that each writer had acknowledged."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, str(PROGRAM), str(database), str(first)]
    acknowledged: dict[int, tuple[int, int, int]] = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as program:
        assert program.stdout is not None
        for count, line in enumerate(program.stdout, start=1):
            if count == after:
                program.send_signal(signal.SIGKILL)
            if line.endswith("\n"):  # what was still in the pipe counts as well
                writer, number, revision, position = map(int, line.split())
                acknowledged[writer] = number, revision, position
        assert program.wait() == -signal.SIGKILL
    return acknowledged


def assert_counted(database: Path) -> None:
    """What the namespace is said to hold is what is there."""
    connection = apsw.Connection(str(database))
    there = connection.execute(
        "SELECT count(*), sum(length(value)) + (SELECT sum(length(value)) FROM entries) FROM records"
    ).get
    assert connection.execute("SELECT records, bytes FROM usage WHERE namespace = 'default'").get == there
    connection.close()


async def test_every_acknowledged_write_is_there_after_a_kill_and_none_is_half_there(tmp_path: Path) -> None:
    database = tmp_path / "engine.db"
    last_revision = first = 0
    for after in ROUNDS:
        acknowledged = run_and_kill(database, first, after)
        assert sum(number - first for number, _, _ in acknowledged.values()) >= after
        async with SQLiteEngine(database, SystemClock()) as engine:
            for writer, (number, revision, position) in acknowledged.items():
                left = await engine.get("default", "left", f"w{writer}")
                right = await engine.get("default", "right", f"w{writer}")
                assert left is not None
                assert right is not None
                assert int(left.value) >= number
                assert left.revision >= revision > last_revision
                assert (left.value, left.revision) == (right.value, right.revision)
                page = await engine.scan("default", "log", prefix=f"{writer}/", limit=1_000)
                kept = sorted(int(record.value) for record in page.records)
                assert kept == list(range(max(1, int(left.value) - 49), int(left.value) + 1)) or first
                assert kept[-1] == int(left.value)
                entries = (await engine.read("default", f"w{writer}", reverse=True, limit=1)).entries
                assert entries[0].value == left.value
                entries = (await engine.read("default", "all", after=position - 1, limit=1)).entries
                assert (entries[0].position, entries[0].value) == (position, b"%d/%d" % (writer, number))
            # Each batch stands in both streams, or in none.
            state = await engine.stream_state("default", "all")
            lasts = [await engine.stream_state("default", name) for name in await engine.streams("default")]
            assert state.count == state.last == sum(one.count for one in lasts) - state.count
            last_revision = page.revision
        assert_counted(database)
        first += 1_000_000
    connection = apsw.Connection(str(database))
    assert connection.execute("PRAGMA integrity_check").get == "ok"
    connection.close()
